"""The named masks: what is sampled for each, which box of the counterpart it needs, and how it forms the hybrid."""

import random
from dataclasses import dataclass
from typing import Protocol

from albu_diffusemix import functional
from albu_diffusemix.functional import Box, Half, Image

__all__ = ["MASKS", "Mask", "MaskParams"]

MaskParams = dict[str, float]


class Mask(Protocol):
    """One way of putting a counterpart into an image."""

    def sample(self, rng: random.Random) -> MaskParams:
        """Draw what the mask leaves to chance, independent of the image's size."""

    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        """Give the part of the counterpart that `hybrid` needs."""

    def hybrid(self, image: Image, part: Image, seam_width: float, params: MaskParams) -> Image:
        """Put that part of the counterpart into the image."""


@dataclass(frozen=True)
class _HalfMask:
    half: Half

    def sample(self, rng: random.Random) -> MaskParams:
        del rng
        return {}

    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        del params
        return functional.half_box(height, width, self.half, seam_width)

    def hybrid(self, image: Image, part: Image, seam_width: float, params: MaskParams) -> Image:
        del params
        return functional.half_concat(image, part, self.half, seam_width)


class _CutMixMask:
    def sample(self, rng: random.Random) -> MaskParams:
        return {"center_x": rng.random(), "center_y": rng.random(), "area": rng.betavariate(1, 1)}

    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        del seam_width
        return functional.cutmix_box(height, width, **params)

    def hybrid(self, image: Image, part: Image, seam_width: float, params: MaskParams) -> Image:
        return functional.cutmix(image, part, self.box(image.shape[0], image.shape[1], seam_width, params))


class _MixupMask:
    def sample(self, rng: random.Random) -> MaskParams:
        return {"weight": rng.betavariate(1, 1)}

    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        del seam_width, params
        return (0, 0, width, height)

    def hybrid(self, image: Image, part: Image, seam_width: float, params: MaskParams) -> Image:
        del seam_width
        return functional.mixup(image, part, **params)


MASKS: dict[str, Mask] = {
    **{half: _HalfMask(half) for half in functional.HALVES},
    "cutmix": _CutMixMask(),
    "mixup": _MixupMask(),
}
"""The paper's four halves, and its two variants of appendix 4, by name."""
