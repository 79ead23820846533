"""Files of masks, whose values are classes: read and written as they are."""

import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.regular_files import read_regular

__all__ = ["encode_mask", "read_mask"]

_PNG, _BITS, _COLOR_TYPE, _PALETTE = b"\x89PNG", 24, 25, 3


def read_mask(path: Path) -> NDArray[Any]:
    """Read a mask, (H, W) or (H, W, C), its channels in OpenCV's order; of a palette, the numbers.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is not an image that OpenCV can read.

    """
    data = read_regular(path)
    has_palette = data.startswith(_PNG) and data[_COLOR_TYPE : _COLOR_TYPE + 1] == bytes((_PALETTE,))
    grey = _without_palette(data) if has_palette else data
    mask = cv2.imdecode(np.frombuffer(grey, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if mask is None:
        raise ValueError(f"the mask {str(path)!r} is not a readable image")
    return np.asarray(mask // (255 // (2 ** data[_BITS] - 1)) if has_palette else mask)


def encode_mask(mask: Any) -> bytes:
    """Return a mask as a PNG.

    Raises:
        ValueError: The pipeline made something else of it.

    """
    kind = getattr(mask, "dtype", type(mask).__name__)
    if kind not in (np.uint8, np.uint16):
        raise ValueError(f"the pipeline gives a mask of {kind}, not of uint8: leave out what changes its type")
    return bytes(cv2.imencode(".png", mask)[1])


def _without_palette(data: bytes) -> bytes:
    """Call the numbers of a palette grey levels: OpenCV would give its colors."""
    header = data[12:_COLOR_TYPE] + bytes(1) + data[_COLOR_TYPE + 1 : 29]
    kept, place = data[:12] + header + zlib.crc32(header).to_bytes(4, "big"), 33
    while place < len(data):
        stop = place + 12 + int.from_bytes(data[place : place + 4], "big")  # length, name, check and content
        kept += b"" if data[place + 4 : place + 8] in (b"PLTE", b"tRNS") else data[place:stop]
        place = stop
    return kept
