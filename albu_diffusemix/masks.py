"""The named masks: what is sampled for each, which box of the counterpart it needs, how it makes the hybrid."""

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from albu_diffusemix import functional
from albu_diffusemix.functional import Box, Half, Image
from albu_diffusemix.functional.boxes import half_places
from albu_diffusemix.functional.formats import with_channels_of
from albu_diffusemix.functional.hybrids import joined, joined_and_blended

__all__ = ["MASKS", "Mask", "MaskParams"]

MaskParams = dict[str, float]


class Mask(ABC):
    """One way of putting a counterpart into an image."""

    @abstractmethod
    def sample(self, rng: random.Random) -> MaskParams:
        """Draw what the mask leaves to chance, independent of the image's size."""

    @abstractmethod
    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        """Return the part of the counterpart that the hybrid needs."""

    @abstractmethod
    def hybrid(self, image: Image, part: Image, seam_width: float, params: MaskParams) -> Image:
        """Put the part of the counterpart that `box` names into the image; a new array."""

    def blended(
        self, image: Image, part: Image, seam_width: float, params: MaskParams, fractal: Image, alpha: float
    ) -> Image:
        """Return the hybrid with the fractal blended in."""
        hybrid = self.hybrid(image, part, seam_width, params)
        return functional.fractal_blend(hybrid, with_channels_of(fractal, hybrid), alpha, out=hybrid)


@dataclass(frozen=True)
class _HalfMask(Mask):
    half: Half

    def sample(self, rng: random.Random) -> MaskParams:
        del rng
        return {}

    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        del params
        return half_places(height, width, self.half, seam_width).part

    def hybrid(self, image: Image, part: Image, seam_width: float, params: MaskParams) -> Image:
        del params
        return joined(half_places(image.shape[0], image.shape[1], self.half, seam_width), image, part)

    def blended(
        self, image: Image, part: Image, seam_width: float, params: MaskParams, fractal: Image, alpha: float
    ) -> Image:
        if fractal.shape != image.shape:
            return super().blended(image, part, seam_width, params, fractal, alpha)
        places = half_places(image.shape[0], image.shape[1], self.half, seam_width)
        return joined_and_blended(places, image, part, fractal, alpha)


class _CutMixMask(Mask):
    def sample(self, rng: random.Random) -> MaskParams:
        return {"center_x": rng.random(), "center_y": rng.random(), "area": rng.betavariate(1, 1)}

    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        del seam_width
        return functional.cutmix_box(height, width, **params)

    def hybrid(self, image: Image, part: Image, seam_width: float, params: MaskParams) -> Image:
        del seam_width
        box = functional.cutmix_box(image.shape[0], image.shape[1], **params)
        return functional.cutmix(image, part, box)


class _WholeMask(Mask):
    def sample(self, rng: random.Random) -> MaskParams:
        del rng
        return {}

    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        del seam_width, params
        return (0, 0, width, height)

    def hybrid(self, image: Image, part: Image, seam_width: float, params: MaskParams) -> Image:
        del image, seam_width, params
        return np.array(part)


class _MixupMask(_WholeMask):
    def sample(self, rng: random.Random) -> MaskParams:
        return {"weight": rng.betavariate(1, 1)}

    def hybrid(self, image: Image, part: Image, seam_width: float, params: MaskParams) -> Image:
        del seam_width
        return functional.mixup(image, part, params["weight"])


MASKS: dict[str, Mask] = {
    **{half: _HalfMask(half) for half in functional.HALVES},
    "cutmix": _CutMixMask(),
    "mixup": _MixupMask(),
    "whole": _WholeMask(),
}
"""The paper's four halves, its two variants of appendix 4, and the counterpart as it is, by name."""
