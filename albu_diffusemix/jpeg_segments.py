"""Where the parts of a JPEG lie: its header, its restart segments, and a table of these in files of our own.

A JPEG is a header of marker segments, then entropy-coded data, then EOI (`ff d9`). A restart marker (`ff d0` to
`ff d7`, counted round) after every `interval` blocks makes the decoder forget what it knew; what lies between two of
them is a *restart segment*.

Inside entropy-coded data a byte `ff` is written `ff 00`, and any number of further `ff` may stand before a marker: an
`ff` followed by neither `00` nor `ff` begins a marker. To find the markers costs a search through all bytes. A file may
save it: an application segment `ff ea` after JFIF's says `restarts`, a zero byte, and then the length in bytes of each
restart segment with the marker that ends it, one byte each, or two where one does not do. Other programs pass it over.
It is believed only where the right markers stand where it says; else they are searched.
"""

import functools
import struct
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "END_MARKER",
    "Data",
    "Header",
    "JpegError",
    "ceil_div",
    "closing_codes",
    "find_segments",
    "read_header",
    "with_table",
]

Data: TypeAlias = bytes | bytearray | memoryview
Places: TypeAlias = NDArray[np.intp]

BLOCK = 8
MARKER = 2
SAMPLING_FACTORS = range(1, 5)

PREFIX, STUFFED = 0xFF, 0x00
BASELINE, START, END, SCAN, RESTART_INTERVAL, TABLE = 0xC0, 0xD8, 0xD9, 0xDA, 0xDD, 0xEA
SEQUENTIAL = {BASELINE, 0xC1, 0xC9}
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
RESTARTS = bytes(range(0xD0, 0xD8))
JFIF_START = b"\xff\xe0\x00\x10"
START_MARKER, END_MARKER, TABLE_MARKER = (bytes((PREFIX, code)) for code in (START, END, TABLE))
WITHOUT_CONTENT = {STUFFED, 0x01, *RESTARTS, START, END}

UINT16 = struct.Struct(">H")
HEIGHT_WIDTH = struct.Struct(">HH")
FRAME = struct.Struct(">BHHB")  # bits of a sample, height, width, number of components

TABLE_AT = 20  # behind SOI and the first segment, JFIF's, as libjpeg writes them
TABLE_NAME = b"restarts\0"
NAME_AT = TABLE_AT + MARKER + UINT16.size
LENGTHS_AT = NAME_AT + len(TABLE_NAME)
LENGTHS: dict[int, np.dtype[Any]] = {1: np.dtype("u1"), 2: np.dtype(">u2")}
MOST_IN_TABLE = 0xFFFF - UINT16.size - len(TABLE_NAME)
KNOWN_HEADERS = 8
KNOWN_SIZES = 1024

_FULL, _HALVED = b"\x11", b"\x22\x11\x11"
_MARGINS = {_FULL: 0, _FULL * 3: 0, _FULL * 4: 0, _HALVED: 1}
"""Where color is halved on both axes, the decoder's filter takes a pixel's color from the next one's as well."""


class JpegError(ValueError):
    """These bytes are not a JPEG, break off, contradict themselves, or are of a kind that OpenCV does not decode."""


@dataclass(frozen=True, eq=False)
class Header:
    """What stands before the entropy-coded data. Places are those of a file without the table.

    Attributes:
        frame: Code of the SOF marker.
        size_at: Where height and width stand.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        sampling: For each component its horizontal and vertical factor, four bits each.
        interval: Units in a restart segment, 0 for no restart markers.
        scanned: Components in the first scan.
        data_at: First entropy-coded byte.
        before_size: The bytes before height and width, without the table.
        after_size: The bytes between these and the entropy-coded data.

    """

    frame: int
    size_at: int
    height: int
    width: int
    sampling: bytes
    interval: int
    scanned: int
    data_at: int
    before_size: bytes = b""
    after_size: bytes = b""

    @cached_property
    def has_one_scan(self) -> bool:
        """Whether all components come in one sequential scan."""
        return self.frame in SEQUENTIAL and self.scanned == len(self.sampling)

    @cached_property
    def unit(self) -> tuple[int, int]:
        """Width and height in pixels of what a scan counts in: a block of the least sampled component."""
        factors = [divmod(byte, 16) for byte in self.sampling] if len(self.sampling) > 1 else [(1, 1)]
        across, down = (BLOCK * max(factor) for factor in zip(*factors, strict=True))
        return across, down

    @cached_property
    def segments(self) -> int:
        """Number of restart segments of a sequential scan."""
        across, down = self.unit
        return ceil_div(ceil_div(self.width, across) * ceil_div(self.height, down), self.interval or sys.maxsize)

    @cached_property
    def segment_width(self) -> int:
        """Width of a restart segment in pixels where segments divide a row of units, and can be told apart; else 0."""
        is_plain = self.frame == BASELINE and self.has_one_scan and self.margin is not None
        if not is_plain or not self.interval or ceil_div(self.width, self.unit[0]) % self.interval:
            return 0
        return self.unit[0] * self.interval

    @cached_property
    def margin(self) -> int | None:
        """Pixels around a box that its decoding looks at; None for kinds of sampling that are not known."""
        return _MARGINS.get(self.sampling)


class Segments(NamedTuple):
    """Restart segments in order: bytes of each with the marker that ends it, and where that marker's code stands."""

    lengths: NDArray[Any]
    codes_at: Places


_known: tuple[tuple[Header, dict[bytes, Header]], ...] = ()
"""Headers met before, and what each says at other sizes: those of a store differ in nothing else."""


def ceil_div(length: int, unit: int) -> int:
    """Return how many units cover a length."""
    return -(-length // unit)


def read_header(data: Data) -> tuple[Header, int]:
    """Read the segments up to the first SOS, behind which the entropy-coded data begin.

    Returns:
        The header, and the bytes of the table of restart segments in it, 0 where there is no table.

    Raises:
        JpegError: It is not a JPEG, breaks off, or contradicts itself.

    """
    table = _table_bytes(data)
    for known, sizes in _known:
        size_at = known.size_at + table
        size_stop = size_at + HEIGHT_WIDTH.size
        if (
            data[size_stop : known.data_at + table] == known.after_size
            and data[TABLE_AT + table : size_at] == known.before_size[TABLE_AT:]
            and data[:TABLE_AT] == known.before_size[:TABLE_AT]
        ):
            header = sizes.get(bytes(data[size_at:size_stop]))
            if header:
                return header, table
    return _parse_and_remember(data, table)


def find_segments(data: Data, header: Header, table: int) -> Segments | None:
    """Return where the restart segments lie; None for a file that is not one sequential scan.

    Args:
        data: The bytes of the file.
        header: From `read_header`.
        table: The same.

    Raises:
        JpegError: The file breaks off, or its markers are not those that the header promises.

    """
    if table and header.has_one_scan:
        segments = _segments_by_table(data, header, table)
        if segments is not None:
            return segments
    at, codes = _find_markers(data, header.data_at + table)
    if not header.has_one_scan:
        _check_scans(data, at, codes)
        return None
    count = header.segments
    found, expected = codes[:count].tobytes(), closing_codes(count).tobytes()
    if found != expected:
        whole = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(found, expected, strict=False))))
        raise JpegError(f"the JPEG breaks off or is corrupt: of {count} segments, only the first {whole} are in place")
    codes_at = at[:count] + 1
    lengths = codes_at + 1
    lengths[1:] -= lengths[:-1].copy()
    lengths[0] -= header.data_at + table
    return Segments(lengths, codes_at)


def with_table(data: bytes) -> bytes:
    """Return a file with a table of its restart segments, or as it is where these do not fit into a table."""
    header, table = read_header(data)
    segments = find_segments(data, header, table)
    if table or segments is None or data[2 : 2 + len(JFIF_START)] != JFIF_START:
        return data
    lengths = segments.lengths
    length = next((length for size, length in LENGTHS.items() if lengths.max() < 1 << 8 * size), None)
    if length is None or len(lengths) * length.itemsize > MOST_IN_TABLE:
        return data
    content = TABLE_NAME + lengths.astype(length).tobytes()
    return data[:TABLE_AT] + TABLE_MARKER + UINT16.pack(UINT16.size + len(content)) + content + data[TABLE_AT:]


@functools.lru_cache(KNOWN_SIZES)
def closing_codes(count: int) -> NDArray[np.uint8]:
    """Return the codes of the markers that end so many restart segments."""
    codes = np.resize(np.frombuffer(RESTARTS, np.uint8), count)
    codes[-1:] = END
    return codes


def _table_bytes(data: Data) -> int:
    has_table = data[TABLE_AT : TABLE_AT + MARKER] == TABLE_MARKER and data[NAME_AT:LENGTHS_AT] == TABLE_NAME
    if not has_table or data[2 : 2 + len(JFIF_START)] != JFIF_START:
        return 0
    return int(MARKER + UINT16.unpack_from(data, TABLE_AT + MARKER)[0])


def _segments_by_table(data: Data, header: Header, table: int) -> Segments | None:
    """Believe the table where the codes of the right markers stand at all of its places, the last at the file's end."""
    count = header.segments
    size, rest = divmod(TABLE_AT + table - LENGTHS_AT, count)
    length = LENGTHS.get(size)
    if rest or length is None:
        return None
    lengths = np.frombuffer(data, length, count, LENGTHS_AT)
    codes_at = lengths.cumsum(dtype=np.intp)
    codes_at += header.data_at + table - 1
    if codes_at[-1] + 1 != len(data):
        return None
    codes = np.frombuffer(data, np.uint8).take(codes_at)
    return Segments(lengths, codes_at) if codes.tobytes() == closing_codes(count).tobytes() else None


def _parse_and_remember(data: Data, table: int) -> tuple[Header, int]:
    global _known  # noqa: PLW0603  replaced as a whole, so that threads may read it meanwhile
    found = _parse(data)
    if found.size_at < TABLE_AT:  # nobody writes the frame first; what looks like a table is passed over then
        table = 0
    size_stop = found.size_at + HEIGHT_WIDTH.size
    before = bytes(data[:TABLE_AT]) + bytes(data[TABLE_AT + table : found.size_at])
    header = replace(
        found,
        size_at=found.size_at - table,
        data_at=found.data_at - table,
        before_size=before if table else bytes(data[: found.size_at]),
        after_size=bytes(data[size_stop : found.data_at]),
    )
    if found.size_at < TABLE_AT:
        return header, table
    sizes = next((sizes for known, sizes in _known if _differ_in_size(known, header)), {})
    if not sizes or len(sizes) == KNOWN_SIZES:
        others = tuple(known for known in _known if known[1] is not sizes)
        sizes = {}
        _known = ((header, sizes), *others[: KNOWN_HEADERS - 1])
    sizes[bytes(data[found.size_at : size_stop])] = header
    return header, table


def _differ_in_size(one: Header, other: Header) -> bool:
    return (one.before_size, one.after_size) == (other.before_size, other.after_size)


def _parse(data: Data) -> Header:
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
    return Header(frame, size_at, height, width, sampling, interval, scanned, stop)


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


def _find_markers(data: Data, start: int) -> tuple[Places, NDArray[np.uint8]]:
    """Offsets and codes of the markers from `start` on."""
    coded = np.frombuffer(data, np.uint8)[start:]
    at = np.flatnonzero(coded[:-1] == PREFIX)
    codes = coded[at + 1]
    real = (codes != STUFFED) & (codes != PREFIX)
    return at[real] + start, codes[real]


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
