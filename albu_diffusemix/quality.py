"""Is a generated image usable: finite, not blank, not flat, not a copy of its source."""

from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["BLANK_DEVIATION", "FLAT_DEVIATION", "FLAT_SHARE", "ROWS", "UNCHANGED_DIFFERENCE", "Flaw", "find_flaw"]

Flaw: TypeAlias = Literal["nonfinite", "blank", "flat", "unchanged"]

BLANK_DEVIATION = 2.0
"""Standard deviation in grey levels that a channel of an image of one colour keeps below. What a safety checker or NaN
left black has 0; JPEG puts less than 1 on it."""

FLAT_DEVIATION = 8.0
"""Standard deviation of the luma, in grey levels, under which an image can be flat: a photograph in dense fog has 10 to
15, the least of the procedural filters on photographs 17."""

FLAT_SHARE = 0.25
"""An image is flat only if it also lost three quarters of its source's contrast, so that a source with little of it may
keep what it has. The procedural filters keep 0.68 at the least."""

UNCHANGED_DIFFERENCE = 1.0
"""Mean absolute difference in grey levels under which an image is a copy of its source. JPEG at quality 90 alone moves
a photograph of 256 px by 1.7 to 3, the weakest of the procedural filters by 11."""

_ROUNDING = 0.5
"""Standard deviation that rounding to whole grey levels can take away, at the most."""

ROWS = 64
"""Rows that are looked at, evenly spread over the image, at the least: statistics of more of them are the same."""


def find_flaw(image: NDArray[Any], source: NDArray[np.uint8]) -> Flaw | None:
    """Say why a counterpart is of no use.

    NaN and infinity are looked for in all pixels, the rest in evenly spread rows. Nothing but "nonfinite" is found
    where the source is blank itself: its counterpart may well be.

    Args:
        image: The counterpart, (H, W, 3) RGB, uint8; or float in grey levels, before it was rounded.
        source: What it was made from, (H, W, 3) uint8 RGB, of the same size.

    Returns:
        "nonfinite" (a float image has NaN or infinity), "blank" (one colour), "flat" (next to no contrast
            where the source has some), "unchanged" (the source again), or None for an image that can be used.

    Raises:
        ValueError: The shapes differ.

    Examples:
        >>> import numpy as np
        >>> from albu_diffusemix.quality import find_flaw
        >>> source = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
        >>> find_flaw(np.zeros_like(source), source)
        'blank'
        >>> find_flaw(255 - source, source) is None
        True

    """
    if image.shape != source.shape:
        raise ValueError(f"counterpart has shape {image.shape}, its source {source.shape}: they must agree")
    if image.dtype != np.uint8:
        if not np.isfinite(image).all():
            return "nonfinite"
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    step = max(1, image.shape[0] // ROWS)
    image, source = image[::step], source[::step]
    contrast, source_contrast = _luma_deviation(image), _luma_deviation(source)
    if _is_blank(source, source_contrast):
        return None
    if _is_blank(image, contrast):
        return "blank"
    if cv2.norm(image, source, cv2.NORM_L1) < UNCHANGED_DIFFERENCE * image.size:
        return "unchanged"
    if contrast < FLAT_DEVIATION and contrast < FLAT_SHARE * source_contrast:
        return "flat"
    return None


def _is_blank(image: NDArray[np.uint8], contrast: float) -> bool:
    # The luma is a mean of the channels, so but for its rounding one of them deviates as much; it is known anyway.
    if contrast >= BLANK_DEVIATION + _ROUNDING:
        return False
    return bool(cv2.meanStdDev(image)[1].max() < BLANK_DEVIATION)


def _luma_deviation(image: NDArray[np.uint8]) -> float:
    return float(cv2.meanStdDev(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[1][0, 0])
