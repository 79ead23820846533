"""Baseline JPEG with restart markers; cutting a half out of the bytes.

The picture of a JPEG is a grid of blocks, coded row by row; with 4:4:4 sampling they are 8 x 8 pixels and no filter
crosses their edges, with 4:2:0 16 x 16 and color is interpolated across. What lies between two restart markers, a
*restart segment* (see `jpeg_segments`), can be decoded without its neighbors. `encode` makes these so short that a half
of the picture has edges of segments on all sides, or, with 4:2:0, little more than the half.

Such a part is made by copying bytes: the header with another height or width in SOF0, the part's segments in order,
the markers between them numbered again from `ff d0`, and EOI. Any decoder reads it. With 4:2:0 a pixel's color is taken
from the next one's as well, so a box is cut out with one more pixel on each inner side, grown to whole segments, and
cropped after the decoding. The pixels are exactly those that the whole file has there.

JPEG has no checksum: its structure shows a file that breaks off and a header that no longer fits the data, but not a
flipped bit inside a segment. Whoever stores the bytes guards them.

EXIF orientation is not applied: pixels come as they are stored.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.functional import Box
from albu_diffusemix.jpeg_segments import (
    BLOCK,
    END_MARKER,
    HEIGHT_WIDTH,
    MARKER,
    RESTARTS,
    Data,
    Header,
    JpegError,
    Segments,
    ceil_div,
    closing_codes,
    find_segments,
    read_header,
    with_table,
)

__all__ = ["JpegError", "Sampling", "cut", "cut_around", "decode", "decode_box", "encode"]

Sampling: TypeAlias = Literal["4:4:4", "4:2:0"]

MAX_SIDE = 65500  # libjpeg writes no longer one
QUALITIES = range(1, 101)
NARROWEST_FILTERED = 5  # libjpeg's filter leaves out pictures of less pixels across

READS_RGB = hasattr(cv2, "IMREAD_COLOR_RGB")  # OpenCV 4.11 and later


def encode(image: NDArray[np.uint8], quality: int = 90, sampling: Sampling = "4:4:4") -> bytes:
    """Write a baseline JPEG that can be cut.

    With 4:4:4 the restart interval is half a row of blocks, or a whole row where a row has an odd number of them. With
    4:2:0 it is one unit of 16 x 16 pixels, and the file has a table of its restart segments.

    Args:
        image: `(H, W, 3)` RGB or `(H, W)` grey, uint8, sides from 1 to 65500.
        quality: libjpeg's scale, 1 to 100.
        sampling: "4:4:4" keeps the color of each pixel, "4:2:0" one color for each two by two. Grey has no color.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: If the image's shape or dtype, the quality or the sampling is not one of these.

    Examples:
        >>> data = encode(np.zeros((32, 48, 3), np.uint8))
        >>> decode(data).shape
        (32, 48, 3)

    """
    _check_image(image)
    if quality not in QUALITIES:
        raise ValueError(f"quality is {quality}; allowed are 1 to 100")
    if sampling not in get_args(Sampling):
        raise ValueError(f"sampling is {sampling!r}; allowed are {', '.join(map(repr, get_args(Sampling)))}")
    if image.shape[2:] and sampling == "4:2:0":
        # Libjpeg-turbo is slow at widths of an even number of units, which a half and one unit more seldom has.
        return with_table(_encoded(image, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, 1))
    blocks = ceil_div(image.shape[1], BLOCK)
    interval = blocks if blocks % 2 else blocks // 2
    return _encoded(image, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, interval)


def _encoded(image: NDArray[np.uint8], quality: int, sampling: int, interval: int) -> bytes:
    options = {
        cv2.IMWRITE_JPEG_QUALITY: int(quality),
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: sampling,
        cv2.IMWRITE_JPEG_RST_INTERVAL: interval,
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
    header, table = read_header(data)
    find_segments(data, header, table)
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
    header, table = read_header(data)
    if callable(box):
        box = box(header.height, header.width)
    part, (left, top, _, _) = _cut_around(data, header, table, box)
    pixels = _decode(part, header)
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
    part, grown = cut_around(data, box)
    return part if grown == tuple(box) else None


def cut_around(data: Data, box: Box) -> tuple[bytes, Box]:
    """Cut a box out of the bytes of a JPEG, with as much around it as decoding the box needs; nothing is decoded.

    Args:
        data: The bytes of the file.
        box: `(x_min, y_min, x_max, y_max)` in pixels, the upper ends excluded; not empty, inside the picture.

    Returns:
        A JPEG, and the box of the picture that it shows. Where `box` lies in it, every decoder gives the pixels of the
        whole file. A file that cannot be cut is returned as it is.

    Raises:
        JpegError: As `decode`, except for what shows only in decoding.
        ValueError: If the box is empty or leaves the picture.

    Examples:
        >>> data = encode(np.zeros((64, 96, 3), np.uint8), sampling="4:2:0")
        >>> part, box = cut_around(data, (48, 0, 96, 64))
        >>> box, decode(part).shape
        ((32, 0, 96, 64), (64, 64, 3))

    """
    part, grown = _cut_around(data, *read_header(data), box)
    return bytes(part), grown


def _cut_around(data: Data, header: Header, table: int, box: Box) -> tuple[Data, Box]:
    segments = find_segments(data, header, table)
    grown = _grow(box, header)
    return data if segments is None else _copy_segments(data, header, header.data_at + table, segments, grown), grown


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8:
        raise ValueError(f"image is {image.dtype}; allowed is uint8")
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"image has the shape {image.shape}; allowed are (H, W, 3) and (H, W)")
    if not all(1 <= side <= MAX_SIDE for side in image.shape[:2]):
        raise ValueError(f"image has the shape {image.shape}; allowed are sides from 1 to {MAX_SIDE}")


def _grow(box: Box, header: Header) -> Box:
    """The smallest box of whole restart segments that has all that the decoding of `box` looks at."""
    x_min, y_min, x_max, y_max = box
    height, width = header.height, header.width
    if not (0 <= x_min < x_max <= width and 0 <= y_min < y_max <= height):
        raise ValueError(f"box {tuple(box)} is empty or leaves the picture; allowed is within {(0, 0, width, height)}")
    across, down = header.segment_width, header.unit[1]
    if not across:
        return 0, 0, width, height
    margin = header.margin or 0
    left, top = max(0, x_min - margin) // across * across, max(0, y_min - margin) // down * down
    right, bottom = (
        min(ceil_div(edge + margin, unit) * unit, side)
        for edge, unit, side in ((x_max, across, width), (y_max, down, height))
    )
    if margin and left and right - left < NARROWEST_FILTERED:
        left -= across
    return left, top, right, bottom


def _copy_segments(data: Data, header: Header, data_at: int, segments: Segments, box: Box) -> Data:
    """The file with no segments but those of `box`, whose edges are edges of segments."""
    left, top, right, bottom = box
    if (bottom - top, right - left) == (header.height, header.width):
        return data
    across, down = header.segment_width, header.unit[1]
    in_row, rows = ceil_div(header.width, across), slice(top // down, ceil_div(bottom, down))
    columns = slice(left // across, ceil_div(right, across))
    lengths, codes_at = (array.reshape(-1, in_row) for array in segments)
    before = int(codes_at[rows.start - 1, -1]) if top else data_at - 1
    pieces: list[Data] = [header.before_size, HEIGHT_WIDTH.pack(bottom - top, right - left), header.after_size]
    if columns.stop - columns.start == in_row:
        stop = int(codes_at[rows.stop - 1, -1]) + 1
        if rows.start * in_row % len(RESTARTS) == 0:  # they have the right markers, but the last
            return b"".join((*pieces, data[before + 1 : stop - MARKER], END_MARKER))
        pieces.append(data[before + 1 : stop])
    else:
        last = codes_at[rows, columns.stop - 1].tolist()
        first = codes_at[rows, columns.start - 1].tolist() if left else [before, *codes_at[rows, -1].tolist()]
        pieces += [data[start + 1 : stop + 1] for start, stop in zip(first, last, strict=False)]
    part = bytearray().join(pieces)
    codes = lengths[rows, columns].cumsum(dtype=np.intp)
    codes += header.data_at - 1
    np.frombuffer(part, np.uint8).put(codes, closing_codes(len(codes)))
    return part


def _decode(data: Data, header: Header) -> NDArray[np.uint8]:
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
