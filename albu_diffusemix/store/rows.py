"""A row: one counterpart or failure and where it lies, and how it is packed in an index."""

import struct
from typing import NamedTuple

import numpy as np
import xxhash

from albu_diffusemix.keys import Source

ENCODINGS = ("", "jpg", "png", "webp")
"""File name extensions by their number in a row; 0 is a failure, which has no image."""

ROW = np.dtype(
    [
        ("key_hi", ">u8"),
        ("key_lo", ">u8"),
        ("pixels_hi", ">u8"),
        ("pixels_lo", ">u8"),
        ("offset", "<u8"),  # of the image's first byte in its part, or of a failure's record
        ("image_check", "<u8"),  # xxh3-64 of those bytes
        ("key_at", "<u8"),  # where the key starts in `keys`
        ("length", "<u4"),
        ("height", "<u4"),
        ("width", "<u4"),
        ("seed", "<u4"),
        ("part", "<u4"),  # number in the head's list
        ("variant", "<u4"),  # numbers in `strings`
        ("prompt", "<u4"),
        ("reason", "<u4"),
        ("key_length", "<u2"),  # bytes
        ("encoding", "<u2"),  # number in ENCODINGS
        ("check", "<u4"),  # low half of the xxh3-64 of the 92 bytes before
    ],
)
ROW_STRUCT = struct.Struct("<16s16sQQQIIIIIIIIHHI")
_CHECKED = ROW.itemsize - 4


class Row(NamedTuple):
    """One counterpart, or one failure, and where it lies.

    Attributes:
        key: The source's normalised key.
        variant: Which of the source's counterparts.
        prompt: The effect.
        seed: What moved everything random, in [0, 2^32).
        source: Height, width and pixel hash of the image that it was made from.
        encoding: "jpg", "png" or "webp"; empty for a failure.
        reason: Why there is no image; empty for an image.
        part: Name of the part.
        offset: First byte of the image (or of a failure's record) in the part's tar.
        length: Bytes.
        check: xxh3-64 of these bytes.

    """

    key: str
    variant: str
    prompt: str
    seed: int
    source: Source
    encoding: str
    reason: str
    part: str
    offset: int
    length: int
    check: int

    @property
    def failed(self) -> bool:
        """Whether this is a failure or a reject, without an image."""
        return not self.encoding

    @property
    def precedence(self) -> tuple[bool, tuple[int, str], int]:
        """Of two rows with one key and variant the greater is seen: an image before a failure, then the later part."""
        return (not self.failed, part_order(self.part), self.offset)


class Part(NamedTuple):
    """A sealed part as its index knows it: name, bytes, and the xxh3-128 of the tar in hexadecimal."""

    name: str
    size: int
    hash: str


def part_order(name: str) -> tuple[int, str]:
    """Order parts by the number at the end of their names, then by the names."""
    digits = name[len(name.rstrip("0123456789")) :]
    return (int(digits or 0), name)


def check_row(raw: memoryview) -> int:
    """Return the check of a row's 96 bytes: the low half of the xxh3-64 of the first 92."""
    return int(xxhash.xxh3_64_intdigest(raw[:_CHECKED])) & 0xFFFFFFFF
