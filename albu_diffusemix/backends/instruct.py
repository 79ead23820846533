"""InstructPix2Pix's arithmetic around its networks, on the arrays of NumPy and of torch alike.

Source: Brooks, Holynski, Efros, InstructPix2Pix (CVPR 2023), https://arxiv.org/abs/2211.09800, equation 3.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends.editing import EditingSettings, ModelInput

__all__ = ["Guidance", "apply_in_chunks", "checked_guidance", "encode_images", "encode_passes", "guidance_of"]

_AUTOENCODER_BATCH = 4  # images at once: keeps memory low, and is enough to use a GPU fully


class Guidance(NamedTuple):
    """How strongly the prompt pulls, above 1, and how strongly the source holds, at least 1."""

    by_prompt: float
    by_image: float

    @property
    def passes(self) -> int:
        """How many times a step runs the network: at image guidance 1 the pass without either would cancel."""
        return 2 if self.by_image == 1 else 3

    def combine(self, by_both: Any, by_image: Any, *by_nothing: Any) -> Any:
        """Return the weighted sum of a step's passes: with prompt and image, with the image, with neither."""
        to_prompt = self.by_prompt * (by_both - by_image)
        if not by_nothing:
            return by_image + to_prompt
        return by_nothing[0] + to_prompt + self.by_image * (by_image - by_nothing[0])


def guidance_of(settings: EditingSettings) -> Guidance:
    """Return the scales that hold.

    Raises:
        ValueError: At these scales the stock pipeline switches all guidance off.

    """
    return checked_guidance(settings.or_preset("guidance_scale"), settings.or_preset("image_guidance_scale"))


def checked_guidance(by_prompt: float, by_image: float) -> Guidance:
    """Return scales that the stock pipeline uses; raise ValueError for those at which it switches all guidance off."""
    if by_prompt <= 1:
        raise ValueError(
            "guidance_scale must be above 1: at 1 and below, InstructPix2Pix switches all guidance off, by the image "
            f"too; got {by_prompt}"
        )
    if by_image < 1:
        raise ValueError(
            "image_guidance_scale must be at least 1: below it, InstructPix2Pix switches all guidance off, by the "
            f"prompt too; got {by_image}"
        )
    return Guidance(float(by_prompt), float(by_image))


def encode_passes(
    encode: Callable[[str], Any], inputs: Sequence[ModelInput], negative_prompt: str, guidance: Guidance
) -> list[Any]:
    """Return what each pass is conditioned on: the prompts in the first, the negative prompt in the others."""
    unprompted = len(inputs) * (guidance.passes - 1)
    return [*(encode(one.prompt) for one in inputs), *[encode(negative_prompt)] * unprompted]


def encode_images(encode: Callable[[list[NDArray[np.uint8]]], Any], inputs: Sequence[ModelInput]) -> Any:
    """Encode each distinct image once, and return the latents of each input."""
    keys = [one.image.tobytes() for one in inputs]
    distinct = {key: one.image for key, one in zip(keys, inputs, strict=True)}
    places = {key: place for place, key in enumerate(distinct)}
    return encode(list(distinct.values()))[[places[key] for key in keys]]


def apply_in_chunks(
    apply: Callable[[Any], Any], arrays: Any, batch_size: int, concatenate: Callable[[list[Any]], Any]
) -> Any:
    """Apply to chunks of one constant size, the last one filled up with copies."""
    size = min(_AUTOENCODER_BATCH, batch_size)
    filled = concatenate([arrays, *[arrays[-1:]] * (-len(arrays) % size)])
    chunks = [filled[start : start + size] for start in range(0, len(filled), size)]
    return concatenate([apply(chunk) for chunk in chunks])[: len(arrays)]
