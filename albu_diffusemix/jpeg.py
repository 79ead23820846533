"""Baseline JPEG with restart markers; cutting a half out of the bytes.

A JPEG is a header of marker segments, then entropy-coded data, then EOI (`ff d9`). Its picture is a grid of 8 x 8
blocks, coded row by row. A restart marker (`ff d0` to `ff d7`, counted round) after every `interval` blocks makes the
decoder forget what it knew, so what lies between two of them, a *restart segment*, can be decoded without its
neighbours. With 4:4:4 sampling no filter crosses a block's edge either.

`encode` chooses half a row of blocks as the interval. A half of the picture is then made by copying bytes: the header
with another height or width in SOF0, the restart segments of that half in order, the markers between them numbered
again from `ff d0`, and EOI. Any decoder reads it, with exactly the pixels that the whole file has there.

Inside entropy-coded data a byte `ff` is written `ff 00`, and any number of further `ff` may stand before a marker: an
`ff` followed by neither `00` nor `ff` begins a marker. JPEG has no checksum: its structure shows a file that breaks off
and a header that no longer fits the data, but not a flipped bit inside a segment. Whoever stores the bytes guards them.

EXIF orientation is not applied: pixels come as they are stored.
"""

import struct
from collections.abc import Callable
from itertools import chain, cycle, takewhile
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.functional import Box

__all__ = ["JpegError", "cut", "decode", "decode_box", "encode"]

Data: TypeAlias = bytes | bytearray | memoryview

BLOCK = 8
MAX_SIDE = 65500  # libjpeg writes no longer one
QUALITIES = range(1, 101)
SAMPLING_FACTORS = range(1, 5)
NOT_SUBSAMPLED = 0x11  # both sampling factors 1

PREFIX, STUFFED = 0xFF, 0x00
BASELINE, START, END, SCAN, RESTART_INTERVAL = 0xC0, 0xD8, 0xD9, 0xDA, 0xDD
SEQUENTIAL = {BASELINE, 0xC1, 0xC9}
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
RESTARTS = bytes(range(0xD0, 0xD8))
RESTART_MARKERS = [bytes((PREFIX, code)) for code in RESTARTS]
START_MARKER, END_MARKER = bytes((PREFIX, START)), bytes((PREFIX, END))
WITHOUT_CONTENT = {STUFFED, 0x01, *RESTARTS, START, END}

UINT16 = struct.Struct(">H")
HEIGHT_WIDTH = struct.Struct(">HH")
FRAME = struct.Struct(">BHHB")  # bits of a sample, height, width, number of components

READS_RGB = hasattr(cv2, "IMREAD_COLOR_RGB")  # OpenCV 4.11 and later


class JpegError(ValueError):
    """These bytes are not a JPEG, break off, contradict themselves, or are of a kind that OpenCV does not decode."""


class _Header(NamedTuple):
    frame: int  # code of the SOF marker
    size_at: int  # where height and width stand
    height: int
    width: int
    sampling: bytes  # for each component its horizontal and vertical factor, four bits each
    interval: int  # blocks in a restart segment, 0 for no restart markers
    scanned: int  # components in the first scan
    data_at: int  # first entropy-coded byte


def encode(image: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Write a baseline JPEG, 4:4:4, that can be cut.

    The restart interval is half a row of blocks, or a whole row where a row has an odd number of them.

    Args:
        image: `(H, W, 3)` RGB or `(H, W)` grey, uint8, sides from 1 to 65500.
        quality: libjpeg's scale, 1 to 100.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: If the image's shape or dtype, or the quality, is not one of these.

    Examples:
        >>> data = encode(np.zeros((32, 48, 3), np.uint8))
        >>> decode(data).shape
        (32, 48, 3)

    """
    _check_image(image)
    if quality not in QUALITIES:
        raise ValueError(f"quality is {quality}; allowed are 1 to 100")
    blocks = _ceil_div(image.shape[1], BLOCK)
    options = {
        cv2.IMWRITE_JPEG_QUALITY: int(quality),
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        cv2.IMWRITE_JPEG_RST_INTERVAL: blocks if blocks % 2 else blocks // 2,
    }
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.shape[2:] else image
    return cv2.imencode(".jpg", pixels, [number for option in options.items() for number in option])[1].tobytes()


def decode(data: Data) -> NDArray[np.uint8]:
    """Decode a whole JPEG, of any kind that OpenCV reads.

    Args:
        data: The bytes of the file.

    Returns:
        `(H, W, 3)` RGB, or `(H, W)` for a grey file, uint8. EXIF orientation is not applied.

    Raises:
        JpegError: If the bytes are not a JPEG, break off, contradict themselves, or OpenCV does not decode them.

    """
    header = _read_header(data)
    _find_segments(data, header)
    return _decode(data, header)


def decode_box(data: Data, box: Box | Callable[[int, int], Box]) -> NDArray[np.uint8]:
    """Decode a box of a JPEG, and little more than needed.

    What is decoded is the box grown to whole restart segments. For the files of `encode` these are rows of blocks, and
    in them the left half, the right half or all. Files that cannot be cut are decoded whole.

    Args:
        data: The bytes of the file.
        box: `(x_min, y_min, x_max, y_max)` in pixels, the upper ends excluded; not empty, inside the picture. Or what
            gives it for the picture's height and width.

    Returns:
        `decode(data)[y_min:y_max, x_min:x_max]`, bit for bit, C-contiguous.

    Raises:
        JpegError: As `decode`.
        ValueError: If the box is empty or leaves the picture.

    Examples:
        >>> data = encode(np.zeros((32, 48, 3), np.uint8))
        >>> decode_box(data, (24, 0, 48, 32)).shape
        (32, 24, 3)

    """
    header = _read_header(data)
    if callable(box):
        box = box(header.height, header.width)
    ends = _find_segments(data, header)
    grown = _grow(box, header)
    pixels = _decode(_copy_segments(data, header, ends, grown), header)
    left, top = grown[:2]
    return np.ascontiguousarray(pixels[box[1] - top : box[3] - top, box[0] - left : box[2] - left])


def cut(data: Data, box: Box) -> bytes | None:
    """Cut a box out of the bytes of a JPEG; nothing is decoded.

    Restart segments can be told apart in baseline files of one scan, without subsampling, whose restart interval
    divides a row of blocks: the files of `encode` are such, and some others.

    Args:
        data: The bytes of the file.
        box: `(x_min, y_min, x_max, y_max)` in pixels, the upper ends excluded; not empty, inside the picture.

    Returns:
        A JPEG of the box, or None where an edge of the box is not an edge of restart segments, or the file has no such
        segments.

    Raises:
        JpegError: As `decode`, except for what shows only in decoding.
        ValueError: If the box is empty or leaves the picture.

    Examples:
        >>> data = encode(np.zeros((32, 48, 3), np.uint8))
        >>> decode(cut(data, (24, 0, 48, 32))).shape
        (32, 24, 3)
        >>> cut(data, (20, 0, 48, 32)) is None
        True

    """
    header = _read_header(data)
    ends = _find_segments(data, header)
    if _grow(box, header) != tuple(box):
        return None
    return bytes(_copy_segments(data, header, ends, box))


def _ceil_div(length: int, unit: int) -> int:
    return -(-length // unit)


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8:
        raise ValueError(f"image is {image.dtype}; allowed is uint8")
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"image has the shape {image.shape}; allowed are (H, W, 3) and (H, W)")
    if not all(1 <= side <= MAX_SIDE for side in image.shape[:2]):
        raise ValueError(f"image has the shape {image.shape}; allowed are sides from 1 to {MAX_SIDE}")


def _read_header(data: Data) -> _Header:
    """Read the segments up to the first SOS, behind which the entropy-coded data begin."""
    if data[:2] != START_MARKER:
        raise JpegError(f"not a JPEG: it begins with {data[:4].hex(' ') or 'nothing'}, a JPEG with ff d8")
    frame = size_at = height = width = interval = code = 0
    sampling, stop = b"", 2
    while code != SCAN:
        code, start, stop = _read_segment(data, stop)
        content = data[start:stop]
        if code in FRAMES and frame:
            raise JpegError(f"corrupt JPEG: a second frame at byte {start}")
        if code in FRAMES:
            frame, size_at = code, start + 1
            height, width, sampling = _read_frame(content)
        if code == RESTART_INTERVAL:
            interval = int.from_bytes(content, "big")
    if not frame:
        raise JpegError(f"corrupt JPEG: the scan at byte {start} has no frame before it")
    scanned = (len(content) - 4) // 2  # SOS: their number, two bytes for each, three bytes
    return _Header(frame, size_at, height, width, sampling, interval, scanned, stop)


def _read_segment(data: Data, at: int) -> tuple[int, int, int]:
    """Code, start and stop of a segment: `ff`s, code, length of two bytes that counts itself, content."""
    code_at = at + 1
    while code_at < len(data) and data[code_at] == PREFIX:
        code_at += 1
    start = code_at + 1 + UINT16.size
    if start > len(data):
        raise JpegError(f"the JPEG breaks off in its header: it ends at byte {len(data)}")
    code = data[code_at]
    if data[at] != PREFIX or code in WITHOUT_CONTENT:
        raise JpegError(f"corrupt JPEG: {data[at : at + 2].hex(' ')} at byte {at}, where a segment should begin")
    stop = code_at + 1 + UINT16.unpack_from(data, code_at + 1)[0]
    if not start <= stop <= len(data):
        raise JpegError(
            f"the JPEG breaks off or is corrupt: it ends at byte {len(data)}, its segment at {at} at {stop}"
        )
    return code, start, stop


def _read_frame(content: Data) -> tuple[int, int, bytes]:
    if len(content) < FRAME.size:
        raise JpegError(f"corrupt JPEG: a frame header of {len(content)} bytes")
    _, height, width, components = FRAME.unpack_from(content)
    if not (height and width and components) or len(content) != FRAME.size + 3 * components:
        raise JpegError(f"corrupt JPEG: a frame of {height} x {width} pixels with {components} components")
    sampling = bytes(content[FRAME.size + 1 :: 3])
    if not all(factor in SAMPLING_FACTORS for byte in sampling for factor in divmod(byte, 16)):
        raise JpegError(f"corrupt JPEG: sampling factors {sampling.hex(' ')}; allowed are 1 to 4")
    return height, width, sampling


def _find_segments(data: Data, header: _Header) -> list[int]:
    """Where each restart segment ends and a marker begins; empty for a file that is not one sequential scan."""
    at, codes = _find_markers(data, header.data_at)
    if not _has_one_scan(header):
        _check_scans(data, at, codes)
        return []
    count = _count_segments(header)
    expected = (RESTARTS * _ceil_div(count, len(RESTARTS)))[: count - 1] + bytes((END,))
    found = codes[:count].tobytes()
    if found != expected:
        whole = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(found, expected, strict=False))))
        raise JpegError(f"the JPEG breaks off or is corrupt: of {count} segments, only the first {whole} are in place")
    ends: list[int] = at[:count].tolist()
    return ends


def _find_markers(data: Data, start: int) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Offsets and codes of the markers from `start` on."""
    coded = np.frombuffer(data, np.uint8)[start:]
    at = np.flatnonzero(coded[:-1] == PREFIX)
    codes = coded[at + 1]
    real = (codes != STUFFED) & (codes != PREFIX)
    return at[real] + start, codes[real]


def _has_one_scan(header: _Header) -> bool:
    return header.frame in SEQUENTIAL and header.scanned == len(header.sampling)


def _count_segments(header: _Header) -> int:
    """Restart segments of a sequential scan. It counts in units of the least sampled component's block."""
    if not header.interval:
        return 1
    factors = [divmod(byte, 16) for byte in header.sampling] if len(header.sampling) > 1 else [(1, 1)]
    across, down = (BLOCK * max(factor) for factor in zip(*factors, strict=True))
    return _ceil_div(_ceil_div(header.width, across) * _ceil_div(header.height, down), header.interval)


def _check_scans(data: Data, at: NDArray[np.intp], codes: NDArray[np.uint8]) -> None:
    """Walk from scan to scan to EOI; what looks like a marker inside a segment's content is not one."""
    stop = 0
    for start, code in zip(at.tolist(), codes.tolist(), strict=True):
        if start < stop or code in RESTARTS:
            continue
        if code == END:
            return
        stop = _read_segment(data, start)[2]
    raise JpegError(f"the JPEG breaks off: it ends at byte {len(data)}, without the marker ff d9")


def _segment_width(header: _Header) -> int:
    """Width of a restart segment in pixels, or 0 for a file that cannot be cut."""
    plain = header.frame == BASELINE and _has_one_scan(header) and set(header.sampling) == {NOT_SUBSAMPLED}
    if not plain or not header.interval or _ceil_div(header.width, BLOCK) % header.interval:
        return 0
    return BLOCK * header.interval


def _grow(box: Box, header: _Header) -> Box:
    """The smallest box of whole segments around `box`."""
    x_min, y_min, x_max, y_max = box
    height, width = header.height, header.width
    if not (0 <= x_min < x_max <= width and 0 <= y_min < y_max <= height):
        raise ValueError(f"box {tuple(box)} is empty or leaves the picture; allowed is within {(0, 0, width, height)}")
    step = _segment_width(header)
    if not step:
        return 0, 0, width, height
    right, bottom = _ceil_div(x_max, step) * step, _ceil_div(y_max, BLOCK) * BLOCK
    return x_min // step * step, y_min // BLOCK * BLOCK, min(right, width), min(bottom, height)


def _copy_segments(data: Data, header: _Header, ends: list[int], box: Box) -> Data:
    """The file with no segments but those of `box`, whose edges are edges of segments."""
    left, top, right, bottom = box
    size = bottom - top, right - left
    if size == (header.height, header.width):
        return data
    step = _segment_width(header)
    in_row = _ceil_div(header.width, step)
    columns = range(left // step, _ceil_div(right, step))
    rows = range(top // BLOCK, _ceil_div(bottom, BLOCK))
    size_stop = header.size_at + HEIGHT_WIDTH.size
    pieces = [data[: header.size_at], HEIGHT_WIDTH.pack(*size), data[size_stop : header.data_at]]
    starts = [header.data_at, *[end + 2 for end in ends]]
    if len(columns) == in_row and rows.start * in_row % len(RESTARTS) == 0:  # in one piece, with the right markers
        pieces += data[starts[rows.start * in_row] : ends[rows.stop * in_row - 1]], END_MARKER
        return b"".join(pieces)
    kept = [row * in_row + column for row in rows for column in columns]
    segments = [data[starts[number] : ends[number]] for number in kept]
    pieces += chain.from_iterable(zip(segments, cycle(RESTART_MARKERS)))
    pieces[-1] = END_MARKER
    return b"".join(pieces)


def _decode(data: Data, header: _Header) -> NDArray[np.uint8]:
    grey = len(header.sampling) == 1
    color = cv2.IMREAD_COLOR_RGB if READS_RGB else cv2.IMREAD_COLOR
    flags = (cv2.IMREAD_GRAYSCALE if grey else color) | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise JpegError(f"OpenCV refuses this JPEG of {header.height} x {header.width} pixels: {error}") from error
    if pixels is None:
        raise JpegError(f"OpenCV cannot decode this JPEG of {header.height} x {header.width} pixels")
    return np.asarray(pixels if grey or READS_RGB else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, pixels), np.uint8)
