"""How large an image says that it is, before anything is decoded: a file of a kilobyte can ask for gigabytes."""

import struct
from collections.abc import Callable

__all__ = ["declared_size"]


def declared_size(data: bytes) -> tuple[int, int]:
    """Return the width and height in an image file's header; (0, 0) where it has no size that can be read.

    Args:
        data: A BMP, JPEG, PNG, TIFF or WebP file.

    Returns:
        In pixels.

    Examples:
        >>> declared_size(b"BM" + bytes(12) + (40).to_bytes(4, "little") + (7).to_bytes(4, "little") * 2)
        (7, 7)

    """
    read = next((read for magic, read in _READERS.items() if data.startswith(magic)), None)
    try:
        width, height = read(data) if read else (0, 0)
    except (struct.error, IndexError):
        return 0, 0
    return abs(width), abs(height)


def _png(data: bytes) -> tuple[int, ...]:
    return struct.unpack_from(">II", data, 16)


def _bmp(data: bytes) -> tuple[int, ...]:
    old_header = struct.unpack_from("<I", data, 14)[0] == 12  # noqa: PLR2004  bytes of OS/2's first header
    return struct.unpack_from("<HH" if old_header else "<ii", data, 18)


def _webp(data: bytes) -> tuple[int, ...]:
    kind = data[12:16]
    if kind == b"VP8X":
        return tuple(1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return tuple(side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))


def _jpeg(data: bytes) -> tuple[int, ...]:
    at = 2
    while True:
        marker, length = struct.unpack_from(">HH", data, at)
        if marker in _FRAMES:
            return struct.unpack_from(">HH", data, at + 5)[::-1]
        if marker == 0xFFFF:  # noqa: PLR2004  filling before a marker
            at += 1
        else:
            at += 2 + length


def _tiff(data: bytes) -> tuple[int, ...]:
    order = "<" if data[:2] == b"II" else ">"
    start = struct.unpack_from(f"{order}I", data, 4)[0]
    tags = {}
    for number in range(struct.unpack_from(f"{order}H", data, start)[0]):
        tag, kind = struct.unpack_from(f"{order}HH", data, start + 2 + 12 * number)
        tags[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, start + 10 + 12 * number)[0]  # noqa: PLR2004  16 bits
    return tags.get(256, 0), tags.get(257, 0)


_FRAMES = set(range(0xFFC0, 0xFFD0)) - {0xFFC4, 0xFFC8, 0xFFCC}  # SOF markers of JPEG
_READERS: dict[bytes, Callable[[bytes], tuple[int, ...]]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"BM": _bmp,
    b"RIFF": _webp,
    b"\xff\xd8": _jpeg,
    b"II*\x00": _tiff,
    b"MM\x00*": _tiff,
}
