"""Any other pipeline, called as diffusers made it: in batches where that is known to be right, else image by image."""

import inspect
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from PIL import Image

from albu_diffusemix.backends.diffusers.pipeline_editor import PipelineEditor, generators, to_outputs, to_unit
from albu_diffusemix.backends.editing import KEPT_PROMPTS, ModelInput, ModelOutput

__all__ = ["BatchEditor", "SingleEditor", "image_argument"]

_EMBEDDINGS = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


class BatchEditor(PipelineEditor):
    """Edits a batch with one call, each distinct prompt encoded once and kept.

    Args:
        pipeline: Image to image of SD or SDXL, or InstructPix2Pix of SDXL.
        arguments: For its call.

    """

    def __init__(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        self._pipeline = pipeline
        self._negative_prompt = arguments.get("negative_prompt")
        self._arguments = {name: value for name, value in arguments.items() if name != "negative_prompt"}
        self._encode = lru_cache(KEPT_PROMPTS)(self._encode_prompt)

    @torch.no_grad()
    def edit(self, inputs: Sequence[ModelInput]) -> list[ModelOutput]:
        """Edit a batch."""
        images = to_unit([one.image for one in inputs])
        encoded = zip(*[self._encode(one.prompt) for one in inputs], strict=True)
        embeddings = {name: torch.cat(tensors) for name, tensors in zip(_EMBEDDINGS, encoded, strict=False)}
        made = self._pipeline(
            image=images,
            generator=generators(inputs),
            output_type="pt",
            **_size(self._pipeline, images.shape[-1]),
            **embeddings,
            **self._arguments,
        )
        return _outputs(made)

    def _encode_prompt(self, prompt: str) -> tuple[torch.Tensor, ...]:
        encoded: tuple[torch.Tensor, ...] = self._pipeline.encode_prompt(
            prompt=prompt,
            device=self._pipeline.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
            negative_prompt=self._negative_prompt,
        )
        return encoded


class SingleEditor(PipelineEditor):
    """Edits one image with one call: to some pipelines, several images are references for one.

    Args:
        pipeline: Any pipeline that takes an image and a prompt.
        arguments: For its call.

    """

    takes_batches = False

    def __init__(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        self._pipeline = pipeline
        self._arguments = arguments

    @torch.no_grad()
    def edit(self, inputs: Sequence[ModelInput]) -> list[ModelOutput]:
        """Edit the one image."""
        [one] = inputs
        picture = Image.fromarray(one.image)
        name = image_argument(self._pipeline) or "image"
        made = self._pipeline(
            prompt=one.prompt,
            generator=generators(inputs)[0],
            output_type="pt",
            **{name: picture if name == "image" else [picture]},
            **_size(self._pipeline, one.image.shape[0]),
            **self._arguments,
        )
        return _outputs(made)


def image_argument(pipeline: Any) -> str | None:
    """Return the argument by which a pipeline takes the image to edit; None where it edits no image."""
    accepted = inspect.signature(pipeline.__call__).parameters
    return next((name for name in ("image", "input_images") if name in accepted), None)


def _size(pipeline: Any, side: int) -> dict[str, int]:
    accepted = inspect.signature(pipeline.__call__).parameters
    return {name: side for name in ("height", "width") if name in accepted}


def _outputs(made: Any) -> list[ModelOutput]:
    return to_outputs(made.images, getattr(made, "nsfw_content_detected", None))
