"""The formats that counterparts are stored in."""

from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix import jpeg

__all__ = ["ENCODINGS", "Encoding", "encode"]

Encoding: TypeAlias = Literal["jpeg", "png", "webp"]

ENCODINGS: dict[Encoding, dict[str, Any]] = {
    "jpeg": {"format": "jpg", "quality": 90},
    "png": {"format": "png"},
    "webp": {"format": "webp", "quality": 90},
}
"""What each is called in a store's recipe."""


def encode(image: NDArray[np.uint8], encoding: Encoding) -> bytes:
    """Write an image file.

    Args:
        image: (H, W, 3) uint8 RGB.
        encoding: "jpeg" (such as `albu_diffusemix.jpeg.encode` writes: halves can be cut out of it), "png" or "webp".

    Raises:
        ValueError: A side is too long for the format.

    Examples:
        >>> encode(np.zeros((16, 16, 3), np.uint8), "png")[1:4]
        b'PNG'

    """
    quality: int = ENCODINGS[encoding].get("quality", 0)
    if encoding == "jpeg":
        return jpeg.encode(image, quality)
    options = [cv2.IMWRITE_WEBP_QUALITY, quality] if quality else []
    done, data = cv2.imencode(f".{encoding}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"image of {image.shape[1]} x {image.shape[0]} pixels cannot be written as {encoding}")
    return data.tobytes()
