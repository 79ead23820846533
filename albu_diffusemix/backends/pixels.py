"""Checks of requests, and the way from a model's output to a counterpart."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends import Counterpart, Request
from albu_diffusemix.functional import RGB_CHANNELS, Box, crop
from albu_diffusemix.quality import find_flaw

__all__ = ["aspect_sides", "check_request", "resize", "to_counterpart"]

_PARTS_OF_A_SIDE = 8  # sides change by so much of the square's, so that few shapes come of many
_LONGEST = 8  # so many times as long as wide at most: beyond that models give up, and images are stretched


def check_request(request: Request) -> None:
    """Refuse an image that is not uint8 RGB, and a box that is not inside of it."""
    _check_rgb(request.image)
    _check_box(request.box, request.image)


def _check_rgb(image: NDArray[np.uint8]) -> None:
    """Models take other arrays for something else, without an error."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        what = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"image must be a uint8 array (H, W, 3), RGB; got {what}")
    if image.ndim != RGB_CHANNELS or image.shape[2] != RGB_CHANNELS or image.size == 0:
        raise ValueError(f"image must be of shape (H, W, 3), RGB, with no zero side; got shape {image.shape}")


def _check_box(box: Box, image: NDArray[np.uint8]) -> None:
    x_min, y_min, x_max, y_max = box
    height, width = image.shape[:2]
    if not (0 <= x_min < x_max <= width and 0 <= y_min < y_max <= height):
        raise ValueError(
            f"box {box} must be (x_min, y_min, x_max, y_max), not empty and inside the image's {width}x{height} pixels"
        )


def resize(image: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """Resize to exactly this size: first reduced by area, then enlarged bicubically, each side as it needs."""
    least = (min(width, image.shape[1]), min(height, image.shape[0]))
    if least != (image.shape[1], image.shape[0]):
        image = cv2.resize(image, least, interpolation=cv2.INTER_AREA)
    if least != (width, height):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    return image


def _from_unit(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round [0, 1] to the nearest of 256 levels."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def aspect_sides(height: int, width: int, size: int, grid: int, least: int) -> tuple[int, int]:
    """Return the height and width of a square's area at an image's own ratio.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        size: Side of the square in pixels.
        grid: Sides are multiples of it, in pixels.
        least: The shortest side, in pixels.

    """
    step = max(grid, size // _PARTS_OF_A_SIDE // grid * grid)
    root = float(min(max(width / height, 1 / _LONGEST), _LONGEST) ** 0.5)
    shortest = -(-least // step)
    tall, wide = (max(shortest, round(side / step)) * step for side in (size / root, size * root))
    return tall, wide


def to_counterpart(request: Request, prompt: str, drawn: NDArray[np.float32]) -> Counterpart:
    """Resize what a model drew, (H, W, 3) in [0, 1] or not finite, to its source's size, judge it, cut out the box."""
    height, width = request.image.shape[:2]
    image = resize(drawn, width, height)
    flaw = find_flaw(image * 255, request.image)
    if flaw in ("nonfinite", "blank"):
        return Counterpart(None, flaw, prompt)
    return Counterpart(np.ascontiguousarray(_from_unit(crop(image, request.box))), "ok", prompt)
