"""What an image is: its dtype, shape, channels and range, and the way to RGB of bytes and back."""

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "RGB_CHANNELS",
    "Image",
    "check_image",
    "format_of",
    "match_format",
    "prepare_image",
    "to_rgb",
    "with_channels_of",
]

Image: TypeAlias = NDArray[Any]

RGB_CHANNELS = 3
_BYTES, _FLOATS = np.dtype(np.uint8), np.dtype(np.float32)
_MOST_OVERSHOOT = 0.1  # what cubic resizing and sharpening leave beyond [0, 1]


def check_image(image: Any) -> None:
    """Refuse what is not an image.

    Args:
        image: The candidate.

    Raises:
        TypeError: It is not a NumPy array.
        ValueError: Its dtype, its number of dimensions or channels, or a side of zero is not allowed; or values of
            float32 lie outside [0, 1] by more than 0.1, or are not numbers.

    """
    _check_format(image)
    if image.dtype != _BYTES:
        _value_range(image)


def prepare_image(image: Any) -> Image:
    """Return an image as the arithmetic takes it: contiguous, and where float32 overshoots [0, 1] a little, clipped.

    Args:
        image: The candidate.

    Returns:
        The image itself where it is contiguous and in its range, else a copy. Channels beyond the third
            keep their values.

    Raises:
        TypeError: As `check_image`.
        ValueError: As `check_image`.

    """
    _check_format(image)
    prepared: Image = np.ascontiguousarray(image)
    if image.dtype == _BYTES:
        return prepared
    low, high = _value_range(image)
    if low < 0 or high > 1:
        prepared = image.copy()
        np.clip(_rgb_of(prepared), 0, 1, out=_rgb_of(prepared))
    return prepared


def to_rgb(image: Image) -> NDArray[np.uint8]:
    """Rewrite an image as what every backend sees.

    Args:
        image: (H, W), (H, W, 1) or (H, W, C), uint8 or float32.

    Returns:
        (H, W, 3) uint8 RGB, contiguous. Grey is replicated; of more than three channels the first three
        are taken; float32 is rounded to the nearest of 256 levels.

    """
    rgb = image[..., :RGB_CHANNELS] if image.ndim == RGB_CHANNELS else image[..., np.newaxis]
    if rgb.shape[2] == 1:
        rgb = np.repeat(rgb, RGB_CHANNELS, axis=2)
    if rgb.dtype == np.float32:
        rgb = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(rgb)


def match_format(rgb: NDArray[np.uint8], target: Image) -> Image:
    """Rewrite uint8 RGB in the dtype and channels of `target`: the way back from `to_rgb`.

    Args:
        rgb: (H, W, 3) uint8.
        target: (H, W), (H, W, 1) or (H, W, C), uint8 or float32, of the same height and width, which
                may be zero.

    Returns:
        Of the target's shape and dtype. Grey is the luma of BT.601; channels beyond the third are
            the target's own.

    """
    if target.size == 0:
        return target
    if target.ndim == 2 or target.shape[2] == 1:  # noqa: PLR2004  (H, W) is grey
        converted: Image = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).reshape(target.shape)
    else:
        converted = rgb
    if target.dtype == np.float32:
        converted = converted * np.float32(1 / 255)
    if converted.shape != target.shape:
        converted = np.concatenate([converted, target[..., RGB_CHANNELS:]], axis=2)
    return converted


def with_channels_of(rgb: NDArray[np.uint8], target: Image) -> Image:
    """Rewrite uint8 RGB as `match_format` does, but only where its channels differ: blending takes either dtype."""
    return rgb if rgb.shape == target.shape else match_format(rgb, target)


def format_of(image: Image) -> str:
    """Say shape and dtype, for an error."""
    return f"shape {image.shape} and dtype {image.dtype}"


def _check_format(image: Any) -> None:
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image must be a NumPy array of shape (H, W) or (H, W, C); got {type(image).__name__}")
    if image.dtype not in (_BYTES, _FLOATS):
        raise ValueError(f"image must be uint8 in [0, 255] or float32 in [0, 1]; got dtype {image.dtype}")
    shape = image.shape
    if len(shape) not in (2, 3):
        raise ValueError(f"image must be of shape (H, W) or (H, W, C); got shape {shape}")
    if 0 in shape:
        raise ValueError(f"image must be at least 1x1 with at least one channel; got shape {shape}")
    if shape[2:] == (2,):
        raise ValueError(f"image must have 1 channel (grey), 3 (RGB) or more (RGB first); got 2 in shape {shape}")


def _rgb_of(image: Image) -> Image:
    return image[..., :RGB_CHANNELS] if image.ndim == RGB_CHANNELS else image


def _value_range(image: Image) -> tuple[float, float]:
    """Return the least and the greatest value of an image of floats."""
    low, high = float(_rgb_of(image).min()), float(_rgb_of(image).max())
    if -_MOST_OVERSHOOT <= low <= high <= 1 + _MOST_OVERSHOOT:
        return low, high
    if np.isnan(low):
        raise ValueError("image of float32 must hold numbers in [0, 1]; got NaN: look for it before DiffuseMix")
    advice = (
        "if its range is 0 to 255, divide it by 255"
        if low >= -_MOST_OVERSHOOT
        else "put DiffuseMix before A.Normalize, which gives such values"
    )
    raise ValueError(f"image of float32 must lie in [0, 1]; got values from {low:.4g} to {high:.4g}: {advice}")
