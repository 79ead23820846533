"""Raw images: the pixels as they are, in a `.npy` file that is mapped, of which only the half that is used is checked.

A file is NumPy's `.npy`, format 1.0, of uint8 `(H, W, 3)` in C order: 128 bytes of header, the pixels, and behind them,
where NumPy does not look, the xxh3-64 of four halves: rows up to H // 2, rows from there, columns up to W // 2, columns
from there, 8 bytes each, big-endian, each over the half's own bytes in C order. The image's check, in its record and
in the index, is the xxh3-64 of header and these four. So each half has a check of its own, and top and bottom, or left
and right, have all pixels.
"""

import functools
import re
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray

from albu_diffusemix.functional import Box
from albu_diffusemix.store.files import StoreError

__all__ = ["ENCODING", "MAGIC", "decode_raw", "encode_raw", "image_check", "read_box"]

ENCODING = "npy"
MAGIC = b"\x93NUMPY"

Pixels: TypeAlias = NDArray[np.uint8]
Data: TypeAlias = bytes | memoryview

_HEADER, _CHECKS = 128, 32
_START = MAGIC + b"\x01\x00" + (_HEADER - len(MAGIC) - 4).to_bytes(2, "little")
_SHAPE = re.compile(rb"'shape': \((\d{1,9}), (\d{1,9}), 3\)")
_KNOWN_SIZES = 4096
_CHANNELS = 3


def encode_raw(image: Pixels) -> bytes:
    """Return the file of an image.

    Args:
        image: `(H, W, 3)` uint8 RGB, at least one pixel.

    Raises:
        ValueError: The image's shape or dtype is not one of these.

    Examples:
        >>> import io
        >>> data = encode_raw(np.full((2, 3, 3), 7, np.uint8))
        >>> np.load(io.BytesIO(data)).shape
        (2, 3, 3)

    """
    if image.dtype != np.uint8 or image.ndim != _CHANNELS or image.shape[2] != _CHANNELS or not image.size:
        raise ValueError(f"image is {image.dtype} of the shape {image.shape}; allowed is uint8 (H, W, 3)")
    pixels = np.ascontiguousarray(image)
    return _header(*image.shape[:2]) + pixels.tobytes() + _checks_of(pixels)


def decode_raw(data: Data) -> Pixels:
    """Return the image of a file, a copy; its checks are not looked at.

    Raises:
        StoreError: The file is not one of `encode_raw`.

    """
    return _pixels(data).copy()


def image_check(encoding: str, data: Data) -> int:
    """Return the check of an image file: the xxh3-64 of its bytes, or of a raw image's header and checks.

    Raises:
        StoreError: A raw image is not one of `encode_raw`, or does not agree with its own checks.

    """
    if encoding != ENCODING:
        return int(xxhash.xxh3_64_intdigest(data))
    if _checks_of(_pixels(data)) != data[-_CHECKS:]:
        raise StoreError("its image is damaged: the pixels do not agree with their checks")
    return _root(bytes(data[:_HEADER]), bytes(data[-_CHECKS:]))


def read_box(data: Data, check: int, choose: Callable[[int, int], Box]) -> Pixels:
    """Return a box of an image, from a half that was compared with its check, or from the whole image.

    Args:
        data: The file; may be mapped. Nothing of it is kept: what is returned was copied before it was compared.
        check: The image's check.
        choose: Returns `(x_min, y_min, x_max, y_max)`, not empty, for the image's height and width.

    Raises:
        StoreError: The file is not as it was written.

    """
    header, checks = bytes(data[:_HEADER]), bytes(data[-_CHECKS:])
    height, width = _size_of(header)
    if (
        len(data) != _HEADER + height * width * _CHANNELS + _CHECKS
        or xxhash.xxh3_64_intdigest(header + checks) != check
    ):
        raise StoreError("its checks are not as written")
    pixels = np.ndarray((height, width, _CHANNELS), np.uint8, data, _HEADER)
    x_min, y_min, x_max, y_max = box = choose(height, width)
    middle, center = height // 2, width // 2
    if y_max <= middle:
        return _from_half(pixels[:middle], 0, checks, box)
    if y_min >= middle:
        return _from_half(pixels[middle:], 1, checks, (x_min, y_min - middle, x_max, y_max - middle))
    if x_max <= center:
        return _from_half(pixels[:, :center], 2, checks, box)
    if x_min >= center:
        return _from_half(pixels[:, center:], 3, checks, (x_min - center, y_min, x_max - center, y_max))
    return np.concatenate(
        [
            _from_half(pixels[:middle], 0, checks, (x_min, y_min, x_max, middle)),
            _from_half(pixels[middle:], 1, checks, (x_min, 0, x_max, y_max - middle)),
        ]
    )


def _from_half(half: Pixels, number: int, checks: bytes, box: Box) -> Pixels:
    copy = half.copy()
    if xxhash.xxh3_64_digest(copy.data) != checks[8 * number : 8 * number + 8]:
        raise StoreError("its pixels are not as written")
    return copy[box[1] : box[3], box[0] : box[2]]


def _pixels(data: Data) -> Pixels:
    height, width = _size_of(bytes(data[:_HEADER]))
    if len(data) != _HEADER + height * width * _CHANNELS + _CHECKS:
        raise StoreError(f"{len(data)} bytes are not those of a raw image of {width} x {height} pixels")
    return np.frombuffer(data, np.uint8, height * width * _CHANNELS, _HEADER).reshape(height, width, _CHANNELS)


@functools.lru_cache(_KNOWN_SIZES)
def _size_of(header: bytes) -> tuple[int, int]:
    found = _SHAPE.search(header)
    height, width = map(int, found.groups()) if found else (0, 0)
    if not height or not width or header != _header(height, width):
        raise StoreError("not a raw image as this package writes it: a .npy file of uint8 (H, W, 3) with checks")
    return height, width


def _header(height: int, width: int) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({height}, {width}, 3), }}".encode()
    return _START + text.ljust(_HEADER - len(_START) - 1) + b"\n"


def _checks_of(pixels: Pixels) -> bytes:
    middle, center = pixels.shape[0] // 2, pixels.shape[1] // 2
    halves = pixels[:middle], pixels[middle:], pixels[:, :center], pixels[:, center:]
    return b"".join(map(_hash, halves))


def _hash(part: Pixels) -> bytes:
    return bytes(xxhash.xxh3_64_digest(np.ascontiguousarray(part).data))


def _root(header: bytes, checks: bytes) -> int:
    return int(xxhash.xxh3_64_intdigest(header + checks))
