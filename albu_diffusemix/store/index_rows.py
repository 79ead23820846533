"""How a record is packed in an index: one row of 96 bytes."""

import struct

import numpy as np
import xxhash

__all__ = ["ROW", "ROW_STRUCT", "check_row"]

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


def check_row(raw: memoryview) -> int:
    """Return the check of a row's 96 bytes: the low half of the xxh3-64 of the first 92."""
    return int(xxhash.xxh3_64_intdigest(raw[:_CHECKED])) & 0xFFFFFFFF
