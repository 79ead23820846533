"""Pipelines called as diffusers made them, each as its row of the table says."""

from collections.abc import Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from PIL import Image

from albu_diffusemix.backends.diffusers.call_plan import CallPlan
from albu_diffusemix.backends.diffusers.pipeline_editor import PipelineEditor, generators, to_outputs, to_unit
from albu_diffusemix.backends.editing import KEPT_PROMPTS, ModelInput, ModelOutput

__all__ = ["StockEditor"]

_EMBEDDINGS = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


class StockEditor(PipelineEditor):
    """Edits with one call of a pipeline what may be made together.

    Args:
        pipeline: The pipeline, on its device.
        plan: How it is called.

    """

    def __init__(self, pipeline: Any, plan: CallPlan) -> None:
        self._pipeline = pipeline
        self._family = plan.family
        self._arguments = dict(plan.arguments)
        self._negative_prompt = self._arguments.pop("negative_prompt", None)
        self._encode = lru_cache(KEPT_PROMPTS)(self._encode_prompt)
        draws_for_all = getattr(pipeline.scheduler.config, "stochastic_sampling", False)  # without their generators
        self.takes_batches = plan.family.together != "one" and not draws_for_all

    def group(self, one: ModelInput) -> Any:
        """Return what inputs of one call have in common: the shape, or the whole image."""
        return one.image.tobytes() if self._family.together == "prompts" else super().group(one)

    @torch.no_grad()
    def edit(self, inputs: Sequence[ModelInput]) -> list[ModelOutput]:
        """Edit what one call makes together."""
        with _seeded(inputs[0].seed, self._pipeline):
            made = self._pipeline(
                **self._source(inputs),
                **self._words([one.prompt for one in inputs]),
                **self._sides(*inputs[0].image.shape[:2]),
                generator=generators(inputs) if self.takes_batches else generators(inputs)[0],
                output_type="pt",
                **self._arguments,
            )
        return to_outputs(getattr(made, self._family.result), getattr(made, "nsfw_content_detected", None))

    def _source(self, inputs: Sequence[ModelInput]) -> dict[str, Any]:
        first = inputs[0].image
        if self._family.image == "tensor":
            return {self._family.image_name: to_unit([one.image for one in inputs])}
        picture = Image.fromarray(first)
        return {self._family.image_name: picture if self._family.image == "picture" else [picture]}

    def _words(self, prompts: list[str]) -> dict[str, Any]:
        if self._family.keeps_prompts:
            encoded = zip(*[self._encode(prompt) for prompt in prompts], strict=True)
            return {name: torch.cat(tensors) for name, tensors in zip(_EMBEDDINGS, encoded, strict=False)}
        negative = {} if self._negative_prompt is None else {"negative_prompt": self._negative_prompt}
        if not self.takes_batches:
            return {"prompt": prompts[0], **negative}
        return {"prompt": prompts, **{name: [text] * len(prompts) for name, text in negative.items()}}

    def _sides(self, height: int, width: int) -> dict[str, int]:
        if self._family.sized in ("image", "fixed"):
            return {}
        if self._family.sized == "resolutions":
            self._pipeline.resolutions = [(width, height)]
        area = height * width
        beside = {"area": {"max_area": area}, "resolution": {"output_resolution": round(area**0.5)}}
        return {"height": height, "width": width, **beside.get(self._family.sized, {})}

    def _encode_prompt(self, prompt: str) -> tuple[torch.Tensor, ...]:
        encoded: tuple[torch.Tensor, ...] = self._pipeline.encode_prompt(
            prompt=prompt,
            device=self._pipeline._execution_device,  # noqa: SLF001  differs from `device` where parts are offloaded
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
            negative_prompt=self._negative_prompt,
        )
        return encoded


@contextmanager
def _seeded(seed: int, pipeline: Any) -> Any:
    """Seed torch's own generators, which some pipelines draw from, and restore them afterwards."""
    device = pipeline._execution_device  # noqa: SLF001  as above
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
