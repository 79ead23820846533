"""The named masks: what is sampled for each, which box of the counterpart it needs, what the hybrid is pieced from."""

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from albu_diffusemix import functional
from albu_diffusemix.functional import Box, Half, Image, Piece

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
    def pieces(self, image: Image, part: Image, box: Box, seam_width: float, params: MaskParams) -> list[Piece]:
        """Return what the hybrid consists of: pieces of the image, and of the part of the counterpart for `box`."""

    def hybrid(self, image: Image, part: Image, seam_width: float, params: MaskParams) -> Image:
        """Put that part of the counterpart into the image."""
        box = self.box(image.shape[0], image.shape[1], seam_width, params)
        return functional.join(self.pieces(image, part, box, seam_width, params), np.empty(image.shape, image.dtype))


@dataclass(frozen=True)
class _HalfMask(Mask):
    half: Half

    def sample(self, rng: random.Random) -> MaskParams:
        del rng
        return {}

    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        del params
        return functional.half_box(height, width, self.half, seam_width)

    def pieces(self, image: Image, part: Image, box: Box, seam_width: float, params: MaskParams) -> list[Piece]:
        del box, params
        return functional.half_pieces(image, part, self.half, seam_width)


class _CutMixMask(Mask):
    def sample(self, rng: random.Random) -> MaskParams:
        return {"center_x": rng.random(), "center_y": rng.random(), "area": rng.betavariate(1, 1)}

    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        del seam_width
        return functional.cutmix_box(height, width, **params)

    def pieces(self, image: Image, part: Image, box: Box, seam_width: float, params: MaskParams) -> list[Piece]:
        del seam_width, params
        return functional.cutmix_pieces(image, part, box)


class _MixupMask(Mask):
    def sample(self, rng: random.Random) -> MaskParams:
        return {"weight": rng.betavariate(1, 1)}

    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        del seam_width, params
        return (0, 0, width, height)

    def pieces(self, image: Image, part: Image, box: Box, seam_width: float, params: MaskParams) -> list[Piece]:
        del seam_width
        return [(box, functional.mixup(image, part, **params))]


class _WholeMask(Mask):
    def sample(self, rng: random.Random) -> MaskParams:
        del rng
        return {}

    def box(self, height: int, width: int, seam_width: float, params: MaskParams) -> Box:
        del seam_width, params
        return (0, 0, width, height)

    def pieces(self, image: Image, part: Image, box: Box, seam_width: float, params: MaskParams) -> list[Piece]:
        del image, seam_width, params
        return [(box, part)]


MASKS: dict[str, Mask] = {
    **{half: _HalfMask(half) for half in functional.HALVES},
    "cutmix": _CutMixMask(),
    "mixup": _MixupMask(),
    "whole": _WholeMask(),
}
"""The paper's four halves, its two variants of appendix 4, and the counterpart as it is, by name."""
