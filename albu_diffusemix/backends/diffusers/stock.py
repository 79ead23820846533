"""Any other pipeline, called as diffusers made it: in batches where that is known to be right, else one by one."""

import inspect
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from PIL import Image

from albu_diffusemix.backends.diffusers.drawing import Drawn, Wanted, generators, to_unit

__all__ = ["BatchEditor", "SingleEditor", "image_argument"]

_KEPT_PROMPTS = 256
_EMBEDDINGS = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


class BatchEditor:
    """Edits a batch with one call, each distinct prompt encoded once and kept.

    Args:
        pipeline: Image to image of SD or SDXL, or InstructPix2Pix of SDXL.
        arguments: For its call.

    """

    batches = True

    def __init__(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        self._pipeline = pipeline
        self._negative_prompt = arguments.get("negative_prompt")
        self._arguments = {name: value for name, value in arguments.items() if name != "negative_prompt"}
        self._encode = lru_cache(_KEPT_PROMPTS)(self._encode_prompt)

    @torch.no_grad()
    def edit(self, wanted: Sequence[Wanted]) -> list[Drawn]:
        """Edit a batch."""
        images = to_unit([one.image for one in wanted])
        encoded = zip(*[self._encode(one.prompt) for one in wanted], strict=True)
        embeddings = {name: torch.cat(tensors) for name, tensors in zip(_EMBEDDINGS, encoded, strict=False)}
        made = self._pipeline(
            image=images,
            generator=generators(wanted),
            output_type="pt",
            **_size(self._pipeline, images.shape[-1]),
            **embeddings,
            **self._arguments,
        )
        return _drawn(made)

    def _encode_prompt(self, prompt: str) -> tuple[torch.Tensor, ...]:
        encoded: tuple[torch.Tensor, ...] = self._pipeline.encode_prompt(
            prompt=prompt,
            device=self._pipeline.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
            negative_prompt=self._negative_prompt,
        )
        return encoded


class SingleEditor:
    """Edits one image with one call: to some pipelines, several images are references for one.

    Args:
        pipeline: Any pipeline that takes an image and a prompt.
        arguments: For its call.

    """

    batches = False

    def __init__(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        self._pipeline = pipeline
        self._arguments = arguments

    @torch.no_grad()
    def edit(self, wanted: Sequence[Wanted]) -> list[Drawn]:
        """Edit the one image."""
        [one] = wanted
        picture = Image.fromarray(one.image)
        name = image_argument(self._pipeline) or "image"
        made = self._pipeline(
            prompt=one.prompt,
            generator=generators(wanted)[0],
            output_type="pt",
            **{name: picture if name == "image" else [picture]},
            **_size(self._pipeline, one.image.shape[0]),
            **self._arguments,
        )
        return _drawn(made)


def image_argument(pipeline: Any) -> str | None:
    """Name the argument by which a pipeline takes the image to edit; None where it edits none."""
    accepted = inspect.signature(pipeline.__call__).parameters
    return next((name for name in ("image", "input_images") if name in accepted), None)


def _size(pipeline: Any, side: int) -> dict[str, int]:
    accepted = inspect.signature(pipeline.__call__).parameters
    return {name: side for name in ("height", "width") if name in accepted}


def _drawn(made: Any) -> list[Drawn]:
    arrays = made.images.permute(0, 2, 3, 1).float().cpu().numpy()
    flagged = getattr(made, "nsfw_content_detected", None) or [False] * len(arrays)
    return [Drawn(array, bool(flag)) for array, flag in zip(arrays, flagged, strict=True)]
