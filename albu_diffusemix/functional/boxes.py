"""Where things lie in an image: boxes, halves, and the seam between them."""

from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias, get_args

from albu_diffusemix.functional.formats import Image

__all__ = [
    "HALVES",
    "Box",
    "Half",
    "HalfPlaces",
    "crop",
    "cutmix_box",
    "half_box",
    "half_places",
    "whole_box",
]

Box: TypeAlias = tuple[int, int, int, int]
"""`(x_min, y_min, x_max, y_max)` in pixels, the upper ends excluded."""

Half = Literal["left", "right", "top", "bottom"]
HALVES: tuple[Half, ...] = get_args(Half)

_SIZES_IN_MIND = 512
"""Places of halves that are kept: four for each of many sizes."""


def crop(image: Image, box: Box) -> Image:
    """Return a view of a part of the image.

    Args:
        image: (H, W) or (H, W, C).
        box: `(x_min, y_min, x_max, y_max)` in pixels, upper ends excluded.

    Returns:
        A view, not contiguous in general.

    """
    x_min, y_min, x_max, y_max = box
    return image[y_min:y_max, x_min:x_max]


def whole_box(image: Image) -> Box:
    """Return the box of all pixels.

    Args:
        image: (H, W) or (H, W, C).

    Returns:
        `(0, 0, W, H)`.

    """
    return (0, 0, image.shape[1], image.shape[0])


def half_box(height: int, width: int, mask_type: Half, seam_width: float = 0.0) -> Box:
    """Return the part of the counterpart that `half_concat` uses.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        mask_type: The half: "left", "right", "top" or "bottom". Of an odd side, left and top are the smaller.
        seam_width: Length of the soft seam as a fraction of the divided side, in [0, 1]. Default: 0.

    Returns:
        `(x_min, y_min, x_max, y_max)`, the half widened by its share of the seam.

    Raises:
        ValueError: `mask_type` names no half, or `seam_width` lies outside [0, 1].

    Examples:
        >>> from albu_diffusemix.functional import half_box
        >>> half_box(480, 640, "right")
        (320, 0, 640, 480)

    """
    return half_places(height, width, mask_type, seam_width).part


class HalfPlaces(NamedTuple):
    """Where the parts of an image with one half replaced lie; None for those of no size.

    Attributes:
        part: What is needed of the counterpart: its half, widened by its share of the seam.
        pure: Where there is nothing but the counterpart.
        rest: Where there is nothing but the image.
        seam: Where the one turns into the other.
        across: Whether the divided side is the width.
        rising: Whether the counterpart lies behind the seam, to the right or below.

    """

    part: Box
    pure: Box | None
    rest: Box | None
    seam: Box | None
    across: bool
    rising: bool


@lru_cache(_SIZES_IN_MIND)
def half_places(height: int, width: int, mask_type: Half, seam_width: float) -> HalfPlaces:
    """Return where the parts lie, for the arguments of `half_box`."""
    if mask_type not in HALVES:
        raise ValueError(f"mask_type must be one of {', '.join(HALVES)}; got {mask_type!r}")
    if not 0 <= seam_width <= 1:
        raise ValueError(f"seam_width must lie in [0, 1], as a fraction of the side; got {seam_width}")
    height, width = int(height), int(width)  # what is kept must not depend on who asked first
    across = mask_type in ("left", "right")
    side = width if across else height
    length = round(float(seam_width) * side)
    start = side // 2 - length // 2
    end = start + length

    def strip(first: int, last: int) -> Box:
        return (first, 0, last, height) if across else (0, first, width, last)

    def strip_of_some_size(first: int, last: int) -> Box | None:
        return strip(first, last) if first < last else None

    seam, before, behind = (strip_of_some_size(*ends) for ends in ((start, end), (0, start), (end, side)))
    if mask_type in ("left", "top"):
        return HalfPlaces(strip(0, end), before, behind, seam, across, rising=False)
    return HalfPlaces(strip(start, side), behind, before, seam, across, rising=True)


def cutmix_box(height: int, width: int, center_x: float, center_y: float, area: float) -> Box:
    """Place a box of the image's proportions, cut off at the image's border (CutMix, section 3.1).

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        center_x: Centre as a fraction of the width, in [0, 1].
        center_y: Centre as a fraction of the height, in [0, 1].
        area: Area of the whole box as a fraction of the image's, in [0, 1].

    Returns:
        `(x_min, y_min, x_max, y_max)`; it may be empty.

    References:
        CutMix: https://arxiv.org/abs/1905.04899

    Examples:
        >>> from albu_diffusemix.functional import cutmix_box
        >>> cutmix_box(100, 200, center_x=0.5, center_y=0.5, area=0.25)
        (50, 25, 150, 75)

    """
    box_width, box_height = round(width * area**0.5), round(height * area**0.5)
    x_min, y_min = int(center_x * width) - box_width // 2, int(center_y * height) - box_height // 2
    return (
        min(max(x_min, 0), width),
        min(max(y_min, 0), height),
        min(max(x_min + box_width, 0), width),
        min(max(y_min + box_height, 0), height),
    )
