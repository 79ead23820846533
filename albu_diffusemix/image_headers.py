"""What an image file says of itself, before anything is decoded: a file of a kilobyte can ask for gigabytes."""

import re
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

__all__ = [
    "BITS",
    "EXTRA_SAMPLES",
    "PHOTOMETRIC",
    "SAMPLES",
    "SAMPLE_FORMAT",
    "TiffField",
    "declared_size",
    "has_sixteen_bits",
    "is_tiff",
    "may_be_transparent",
    "orientation",
    "tiff_fields",
]

WIDTH, HEIGHT, BITS = 256, 257, 258
PHOTOMETRIC, ORIENTATION, SAMPLES = 262, 274, 277
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339

_SHORT = 3  # a TIFF's type of 16 bits
_EIGHT, _SIXTEEN = 8, 16
_LARGEST_BYTE = 255
_SHORTEST = 30  # bytes of a file with an image
_BLANK = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PNM = re.compile(rb"P([1-6])" + _BLANK + rb"(\d+)" + _BLANK + rb"(\d+)(?:" + _BLANK + rb"(\d+))?")
_CODESTREAM = b"\xff\x4f\xff\x51"  # of JPEG 2000
_JP2_BITS = re.compile(_CODESTREAM + rb".{38}(.)", re.DOTALL)  # one less than there are


class TiffField(NamedTuple):
    """A number in a TIFF: the first of a field, and where it stands."""

    value: int
    place: int


def declared_size(data: bytes) -> tuple[int, int]:
    """Return the width and height in an image file's header; (0, 0) where it has no size that can be read.

    Args:
        data: A file in any format that `albu_diffusemix.images` reads.

    Returns:
        In pixels.

    Examples:
        >>> declared_size(b"BM" + bytes(12) + (40).to_bytes(4, "little") + (7).to_bytes(4, "little") * 2)
        (7, 7)

    """
    read = next((read for magic, read in _READERS.items() if data.startswith(magic)), None)
    if data[4:8] == b"ftyp":
        read = _avif
    try:
        width, height = read(data) if read else (0, 0)
    except (struct.error, IndexError):
        return 0, 0
    return abs(width), abs(height)


def has_sixteen_bits(data: bytes) -> bool:
    """Return whether an image file says that its values have more than 8 bits, of JPEG 2000, PGM, PNG, PPM, TIFF."""
    if data.startswith(_PNG):
        return data[24:25] == b"\x10"
    if is_tiff(data):
        return _value(tiff_fields(data), BITS) == _SIXTEEN
    if data.startswith(_JP2):
        return any(found[1][0] & 0x7F >= _EIGHT for found in _JP2_BITS.finditer(data))
    pnm = _PNM.match(data)
    return bool(pnm and pnm[4] and len(pnm[4]) < _SIXTEEN and int(pnm[4]) > _LARGEST_BYTE)


def may_be_transparent(data: bytes) -> bool:
    """Return whether an image file says that it has an alpha channel or a transparent color."""
    if len(data) < _SHORTEST:
        return False
    if is_tiff(data):
        return _value(tiff_fields(data), EXTRA_SAMPLES) in (1, 2)
    if data.startswith(_PNG):
        return data[25] in (4, 6) or b"tRNS" in data[: max(0, data.find(b"IDAT"))]
    if data.startswith(b"RIFF"):
        place = {b"VP8X": 20, b"VP8L": 24}.get(data[12:16])
        return place is not None and bool(data[place] & 0x10)
    return any(data[place : place + 4] == magic and pattern.search(data) for magic, place, pattern in _TRANSPARENT)


def orientation(data: bytes) -> int:
    """Return the orientation that the EXIF data of a JPEG, PNG, TIFF or WebP asks for, from 1 to 8; 1 is upright."""
    if is_tiff(data):
        return _value(tiff_fields(data), ORIENTATION) or 1
    if b"II*\0" not in data and b"MM\0*" not in data:  # as in most files, and far faster than the expression
        return 1
    for found in re.finditer(rb"(?:eXIf|EXIF....(?:Exif\0\0)?|Exif\0\0)(?=II\*\0|MM\0\*)", data, re.DOTALL):
        return _value(tiff_fields(data[found.end() :]), ORIENTATION) or 1
    return 1


def is_tiff(data: bytes) -> bool:
    """Return whether a file is a TIFF."""
    return data.startswith((b"II*\x00", b"MM\x00*"))


def tiff_fields(data: bytes) -> dict[int, TiffField]:
    """Return the first number of each field that is known here, by the fields' tags; empty where it is damaged."""
    order = "<" if data[:2] == b"II" else ">"
    fields: dict[int, TiffField] = {}
    with suppress(struct.error):
        start = struct.unpack_from(f"{order}I", data, 4)[0]
        for number in range(struct.unpack_from(f"{order}H", data, start)[0]):
            entry = start + 2 + 12 * number
            tag, kind, count = struct.unpack_from(f"{order}HHI", data, entry)
            if tag in _KNOWN:
                with suppress(struct.error):  # what one field says must not hide the others
                    fields.setdefault(tag, _tiff_field(data, order, kind, count, entry + 8))
    return fields


def _tiff_field(data: bytes, order: str, kind: int, count: int, place: int) -> TiffField:
    code, size = ("H", 2) if kind == _SHORT else ("I", 4)
    if count * size > 4:  # noqa: PLR2004  more does not fit in the entry, which says where it stands
        place = struct.unpack_from(f"{order}I", data, place)[0]
    return TiffField(struct.unpack_from(f"{order}{code}", data, place)[0], place)


def _value(fields: dict[int, TiffField], tag: int) -> int:
    return fields[tag].value if tag in fields else 0


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
    fields = tiff_fields(data)
    return _value(fields, WIDTH), _value(fields, HEIGHT)


def _pnm(data: bytes) -> tuple[int, ...]:
    found = _PNM.match(data)
    if not found or max(map(len, found.groups(b""))) > _SIXTEEN:
        return 0, 0
    return int(found[2]), int(found[3])


def _gif(data: bytes) -> tuple[int, ...]:
    return struct.unpack_from("<HH", data, 6)


def _jp2(data: bytes) -> tuple[int, ...]:
    found = data.find(_CODESTREAM)
    width, height, left, top = struct.unpack_from(">IIII", data, found + 8) if found >= 0 else (0, 0, 0, 0)
    return width - left, height - top


def _avif(data: bytes) -> tuple[int, ...]:
    sizes = [struct.unpack_from(">II", data, found.end() + 4) for found in re.finditer(rb"ispe", data)]
    return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))


_KNOWN = {WIDTH, HEIGHT, BITS, PHOTOMETRIC, ORIENTATION, SAMPLES, EXTRA_SAMPLES, SAMPLE_FORMAT}
_PNG = b"\x89PNG\r\n\x1a\n"
_JP2 = b"\x00\x00\x00\x0cjP  "
_TRANSPARENT = (
    (b"GIF8", 0, re.compile(rb"\x21\xf9\x04[\x01-\xff]")),  # the graphic control of a frame
    (b"jP  ", 4, re.compile(_CODESTREAM + rb".{36}\x00[\x02\x04]", re.DOTALL)),
    (b"ftyp", 4, re.compile(b"auxiliary:alpha")),
)
_FRAMES = set(range(0xFFC0, 0xFFD0)) - {0xFFC4, 0xFFC8, 0xFFCC}  # SOF markers of JPEG
_READERS: dict[bytes, Callable[[bytes], tuple[int, ...]]] = {
    _PNG: _png,
    b"BM": _bmp,
    b"RIFF": _webp,
    b"\xff\xd8": _jpeg,
    b"II*\x00": _tiff,
    b"MM\x00*": _tiff,
    b"GIF8": _gif,
    _JP2: _jp2,
    **{b"P%d" % kind: _pnm for kind in range(1, 7)},
}
