"""The formats that counterparts are stored in."""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix import jpeg
from albu_diffusemix.store import Recipe
from albu_diffusemix.store.raw_images import encode_raw

__all__ = ["ENCODINGS", "Encoding", "at_stored_size", "continued", "describe_encoding", "encode", "encoding_of"]

Encoding: TypeAlias = Literal["jpeg", "jpeg444", "raw", "png", "webp"]

ENCODINGS: dict[Encoding, dict[str, Any]] = {
    "jpeg": {"format": "jpg", "quality": 90, "sampling": "4:2:0"},
    "jpeg444": {"format": "jpg", "quality": 90},
    "raw": {"format": "npy"},
    "png": {"format": "png"},
    "webp": {"format": "webp", "quality": 90},
}
"""What each is called in a store's recipe; JPEG without a sampling is 4:4:4, as all was before there were two."""

_GRID = 16
"""Stored sides are multiples of it where halves of a JPEG of 4:4:4 are cut out at blocks, and of what is older."""

_AT_ANY_SIZE = ("jpeg", "raw")


def encoding_of(recipe: Recipe) -> Encoding | None:
    """Return what a recipe's encoding is called; None for one that this package does not write."""
    said = {name: recipe.encoding.get(name) for name in ("format", "sampling")}
    known = ((name, {each: options.get(each) for each in said}) for name, options in ENCODINGS.items())
    return next((name for name, options in known if options == said), None)


def describe_encoding(recipe: Recipe) -> str:
    """Return what a recipe's encoding is called, or its format where this package does not write it."""
    return encoding_of(recipe) or str(recipe.encoding.get("format", "unknown"))


def continued(encoding: Encoding, recipes: Iterable[Recipe]) -> Encoding:
    """Return what an encoding means in a store with these recipes: "jpeg" is the JPEG that the store has."""
    found = [encoding_of(recipe) for recipe in recipes]
    return "jpeg444" if encoding == "jpeg" and "jpeg" not in found and "jpeg444" in found else encoding


def at_stored_size(image: NDArray[np.uint8], size: int, encoding: Encoding) -> NDArray[np.uint8]:
    """Return a source at the size of its counterparts.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: The shorter side is made that long where it is longer.
        encoding: With "jpeg" and "raw" a source that is not made smaller stays as it is; else both sides become
            multiples of 16.

    """
    height, width = image.shape[:2]
    scale = min(1.0, size / min(height, width))
    if scale == 1 and encoding in _AT_ANY_SIZE:
        return image
    stored_width, stored_height = (max(_GRID, int(side * scale / _GRID + 0.5) * _GRID) for side in (width, height))
    return np.asarray(cv2.resize(image, (stored_width, stored_height), interpolation=cv2.INTER_AREA), np.uint8)


def encode(image: NDArray[np.uint8], encoding: Encoding) -> bytes:
    """Write an image file.

    Args:
        image: (H, W, 3) uint8 RGB.
        encoding: "jpeg" or "jpeg444" (such as `albu_diffusemix.jpeg.encode` writes: halves can be cut out of it), "raw"
            (the pixels), "png" or "webp".

    Raises:
        ValueError: A side is too long for the format.

    Examples:
        >>> encode(np.zeros((16, 16, 3), np.uint8), "png")[1:4]
        b'PNG'

    """
    quality: int = ENCODINGS[encoding].get("quality", 0)
    if encoding == "raw":
        return encode_raw(image)
    if encoding in ("jpeg", "jpeg444"):
        return jpeg.encode(image, quality, "4:2:0" if encoding == "jpeg" else "4:4:4")
    options = [cv2.IMWRITE_WEBP_QUALITY, quality] if quality else []
    done, data = cv2.imencode(f".{encoding}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"image of {image.shape[1]} x {image.shape[0]} pixels cannot be written as {encoding}")
    return data.tobytes()
