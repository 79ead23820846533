"""The index: which counterpart lies where. NumPy arrays in one file, memory-mapped and shared between workers.

An entry costs 96 bytes for its row, 8 in the column that keys are searched in, 12 in those of the pixels, and its key's
text. 13 million entries with keys of 30 bytes are 1.9 GB on disk. Opening reads only the head; a lookup touches a few
pages, which lie in the page cache once for all workers of a machine.

The file is a row of `.npy` arrays (`numpy.load`, called again and again on the open file, reads them all). Numbers are
little-endian but for the hashes, which are kept as their 16 bytes:

===========  ======  ==================================================================================================
head         uint8   JSON with a check, padded with spaces: format, version, the parts covered, a copy of store.json,
                     xxh3-64 of strings (with string_ends before), and for each array below its offset from the end of
                     the head and its length
key_hi       uint64  the first 8 bytes of each row's key hash as a big-endian number, ascending
rows         `ROW`   one row an entry, ordered by key hash, then by the variant's name; one entry a key and variant
pixel_hi     uint64  as key_hi, of the hash of the source's pixels, for images only
string_ends  uint64  where each string ends in `strings`
key_start    uint32  of 2^b + 1 numbers the i-th says where the hashes that start with the b bits i begin in key_hi
pixel_start  uint32  the same for pixel_hi
pixel_row    uint32  the row that each of pixel_hi belongs to
strings      uint8   UTF-8 of variants, prompts and reasons, sorted; the first is empty
keys         uint8   UTF-8 of the keys
check        uint64  xxh3-64 of everything before these last 8 bytes
===========  ======  ==================================================================================================
"""

import io
import mmap
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from albu_diffusemix.store.files import StoreError, dump_checked, explained, load_checked, write_beside
from albu_diffusemix.store.keys import Source, check_name, hash_key, normalise_key

FORMAT = "albu-diffusemix index"
VERSION = 1
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
_NPY_LENGTH = re.compile(rb"'shape': \((\d+),\)")
_CHECKED = ROW.itemsize - 4
_SECTIONS = {
    "key_hi": np.dtype("<u8"),
    "rows": ROW,
    "pixel_hi": np.dtype("<u8"),
    "string_ends": np.dtype("<u8"),
    "key_start": np.dtype("<u4"),
    "pixel_start": np.dtype("<u4"),
    "pixel_row": np.dtype("<u4"),
    "strings": np.dtype("u1"),
    "keys": np.dtype("u1"),
    "check": np.dtype("<u8"),
}


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


class Index:
    """Entries of one part or of many, searched by key and by pixels.

    Args:
        parts: The parts covered, in `part_order`.
        store: What store.json said when this was made.
        arrays: The arrays of the table above, without the head.
        path: Where it lies; for messages.

    """

    def __init__(self, parts: Sequence[Part], store: dict[str, Any], arrays: dict[str, Any], path: Path) -> None:
        self.parts = tuple(parts)
        self.store = store
        self.path = path
        self.arrays = arrays
        self._rows = arrays["rows"]
        self._row_bytes = arrays["rows"].view(np.uint8).data
        self._key_column = _Column(arrays["key_hi"], arrays["key_start"])
        self._pixel_column = _Column(arrays["pixel_hi"], arrays["pixel_start"])
        self._pixel_rows = arrays["pixel_row"].data
        self._keys = arrays["keys"].data
        self._strings = arrays["strings"].data
        self._ends = arrays["string_ends"].data

    def __len__(self) -> int:
        return len(self._rows)

    @classmethod
    def open(cls, path: Path, *, whole: bool = False) -> "Index":
        """Map an index file.

        Args:
            path: The file.
            whole: Read all of it and compare with its check. Without this a cut file, a changed head and a changed row
                are still found, the row when it is asked for.

        Raises:
            StoreError: The file is missing, cut off, damaged or of a newer format.

        """
        with explained("read", path), path.open("rb") as file:
            if file.seek(0, io.SEEK_END) == 0:
                raise StoreError(f"{path} is damaged: it is empty")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = 10 + int.from_bytes(data[8:10], "little")
        end = start + _npy_length(data[:start])
        head = load_checked(data[start:end], str(path))
        if head.get("format") != FORMAT:
            raise StoreError(f"{path} is not an index of a store")
        if head.get("version") != VERSION:
            raise StoreError(
                f"{path} has format version {head.get('version')!r}, this is {VERSION}: update the package"
            )
        try:
            parts = [Part(check_name(name, "part"), size, digest) for name, size, digest in head["parts"]]
            arrays = _map_sections(data, end, head["sections"])
            store = dict(head["store"])
            if head["strings"] != _hash_strings(arrays):
                raise StoreError("its strings do not agree with their check")
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(f"{path} is damaged: {error}") from error
        if whole and int(arrays["check"][0]) != xxhash.xxh3_64_intdigest(memoryview(data)[:-8]):
            raise StoreError(f"{path} is damaged: its {len(data)} bytes do not agree with their check")
        return cls(parts, store, arrays, path)

    def save(self) -> None:
        """Write the index to its path, beside and renamed.

        Raises:
            OSError: It cannot be written.

        """
        write_beside(self.path, self.write)

    def write(self, file: BinaryIO) -> None:
        """Write the file described at the top of this module."""
        arrays = {**self.arrays, "check": np.zeros(1, np.dtype("<u8"))}
        headers = {name: _npy_header(arrays[name]) for name in _SECTIONS}
        sections: dict[str, tuple[int, int]] = {}
        end = 0
        for name in _SECTIONS:
            sections[name] = (end + len(headers[name]), len(arrays[name]))
            end += len(headers[name]) + arrays[name].nbytes
        head = dump_checked(
            {
                "format": FORMAT,
                "version": VERSION,
                "sections": sections,
                "strings": _hash_strings(arrays),
                "parts": self.parts,
                "store": self.store,
            },
        )
        head += b" " * (-len(head) % 64)
        digest = xxhash.xxh3_64()
        pieces: list[Any] = [_npy_header(np.frombuffer(head, np.uint8)), head]
        for name in _SECTIONS:
            pieces += [headers[name], arrays[name].view(np.uint8).data]
        for piece in pieces[:-1]:
            digest.update(piece)
            file.write(piece)
        file.write(digest.intdigest().to_bytes(8, "little"))

    def equals(self, other: "Index") -> bool:
        """Tell whether both cover the same parts with the same entries."""
        return self.parts == other.parts and all(
            np.array_equal(self.arrays[name], other.arrays[name]) for name in _SECTIONS if name != "check"
        )

    def by_key(self, key: str) -> list[Row]:
        """Return the entries of a normalised key, ordered by variant; empty where there are none."""
        digest = hash_key(key)
        rows = []
        for number in self._key_column.run(digest):
            fields = self._unpack(number)
            if fields[0] == digest:
                rows.append(self._row(number, fields, key))
        return rows

    def by_pixels(self, pixels: bytes) -> list[Row]:
        """Return the images made from a source with this pixel hash, ordered by key, then by variant."""
        rows = []
        for position in self._pixel_column.run(pixels):
            number = self._pixel_rows[position]
            fields = self._unpack(number)
            if fields[1] == pixels:
                rows.append(self._row(number, fields))
        return sorted(rows)

    def rows(self) -> Iterator[Row]:
        """Yield all entries in the order of their bytes on disk."""
        for number in np.lexsort((self._rows["offset"], self._rows["part"])).tolist():
            yield self._row(number, self._unpack(number))

    def counts(self) -> tuple[int, int, int]:
        """Return the number of images, of failures, and of sources that have one or the other."""
        images = int(np.count_nonzero(self._rows["encoding"]))
        hi, lo = self._rows["key_hi"], self._rows["key_lo"]
        sources = int(np.count_nonzero((hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1]))) + bool(len(hi))
        return images, len(self) - images, sources

    def texts(self) -> list[str]:
        """Return the variants, prompts and reasons that occur, sorted."""
        return [self._text(number) for number in range(len(self.arrays["string_ends"]))]

    def _unpack(self, number: int) -> tuple[Any, ...]:
        raw = self._row_bytes[number * ROW.itemsize : (number + 1) * ROW.itemsize]
        fields: tuple[Any, ...] = ROW_STRUCT.unpack(raw) if len(raw) == ROW.itemsize else ()
        if not fields or check_row(raw) != fields[-1]:
            raise StoreError(f"{self.path} is damaged at row {number}: mend it with Store.repair")
        return fields

    def _row(self, number: int, fields: tuple[Any, ...], key: str | None = None) -> Row:
        digest, pixels, offset, check, key_at, length, height, width, seed, part, *rest = fields
        variant, prompt, reason, key_length, encoding, _ = rest
        try:
            return Row(
                key or self._key(key_at, key_length, digest),
                check_name(self._text(variant), "variant"),
                self._text(prompt),
                seed,
                Source(height, width, pixels),
                ENCODINGS[encoding],
                self._text(reason) if reason else "",
                self.parts[part].name,
                offset,
                length,
                check,
            )
        except (IndexError, ValueError) as error:
            raise StoreError(f"{self.path} is damaged at row {number}: mend it with Store.repair ({error})") from error

    def _key(self, start: int, length: int, digest: bytes) -> str:
        key = normalise_key(str(self._keys[start : start + length], "utf-8"))
        if hash_key(key) != digest:
            raise StoreError(f"key {key!r} does not agree with its hash")
        return key

    def _text(self, number: int) -> str:
        return str(self._strings[self._ends[number - 1] if number else 0 : self._ends[number]], "utf-8")


def check_row(raw: memoryview) -> int:
    """Return the check of a row's 96 bytes: the low half of the xxh3-64 of the first 92."""
    return int(xxhash.xxh3_64_intdigest(raw[:_CHECKED])) & 0xFFFFFFFF


class _Column:
    """The first halves of hashes, ascending, cut into buckets of about four by their first bits."""

    def __init__(self, values: NDArray[np.uint64], starts: NDArray[np.uint32]) -> None:
        self._values = values.data
        self._starts = starts.data
        self._shift = 64 - (len(starts) - 1).bit_length() + 1

    def run(self, digest: bytes) -> list[int]:
        """Return the positions of the hashes that start as this one does."""
        wanted = int.from_bytes(digest[:8], "big")
        bucket = wanted >> self._shift
        first = self._starts[bucket]
        values = self._values[first : self._starts[bucket + 1]].tolist()
        return [position for position, value in enumerate(values, first) if value == wanted]


def _hash_strings(arrays: dict[str, Any]) -> str:
    digest = xxhash.xxh3_64(arrays["string_ends"].view(np.uint8).data)
    digest.update(arrays["strings"].data)
    return str(digest.hexdigest())


def _npy_header(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
    return stream.getvalue()


def _npy_length(header: bytes) -> int:
    """Return the length of a `.npy` array of bytes, or 0 if the header is none."""
    found = _NPY_LENGTH.search(header)
    return int(found[1]) if found else 0


def _map_sections(data: mmap.mmap, start: int, sections: dict[str, Any]) -> dict[str, Any]:
    needed = start + sections["check"][0] + 8
    if needed != len(data):
        raise StoreError(f"it has {len(data)} bytes of {needed}")
    return {
        name: np.frombuffer(data, dtype, sections[name][1], start + sections[name][0])
        for name, dtype in _SECTIONS.items()
    }
