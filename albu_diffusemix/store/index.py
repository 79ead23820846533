"""The index: which counterpart lies where. Searched in place, memory-mapped and shared between workers.

An entry costs 96 bytes for its row, 8 in the column that keys are searched in, 12 in those of the pixels, and its key's
text. 13 million entries with keys of 30 bytes are 1.9 GB on disk. Opening reads only the head; a lookup touches a few
pages, which lie in the page cache once for all workers of a machine. `index_file` describes the file.

What is found is proven, and what is not found as well: the rows on both sides of the place where a hash would stand
carry their own checks, and the hash lies between theirs. So a damaged column or row is an error, never a silent miss.
"""

import functools
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.keys import Source, check_name, hash_key, normalise_key
from albu_diffusemix.store.files import StoreError
from albu_diffusemix.store.index_file import SECTIONS, Contents, check_ranges, read_file, write_file
from albu_diffusemix.store.index_rows import ROW, ROW_STRUCT, check_row
from albu_diffusemix.store.records import ENCODINGS, Location, Record

__all__ = ["DamagedIndexError", "Index"]


_KEPT_TEXTS = 4096  # variants, prompts and reasons: a store has few of them, each in many rows


class DamagedIndexError(StoreError):
    """An index is damaged where it was asked; what it says can be read from the parts."""


class Index:
    """Entries of one part or of many, searched by key and by pixels.

    Args:
        contents: The parts covered and the arrays.
        path: Where it lies; for messages.

    """

    def __init__(self, contents: Contents, path: Path) -> None:
        arrays = contents.arrays
        self.parts = contents.parts
        self.fields = contents.fields
        self.recipe = contents.recipe
        self.path = path
        self.arrays = arrays
        self._contents = contents
        self._rows = arrays["rows"]
        self._row_bytes = arrays["rows"].view(np.uint8).data
        self._key_column = _Column(arrays["key_hi"], arrays["key_start"])
        self._pixel_column = _Column(arrays["pixel_hi"], arrays["pixel_start"])
        self._pixel_rows = arrays["pixel_row"].data
        self._keys = arrays["keys"].data
        self._strings = arrays["strings"].data
        self._ends = arrays["string_ends"].data
        self._text = functools.lru_cache(_KEPT_TEXTS)(self._read_text)
        self._variant = functools.lru_cache(_KEPT_TEXTS)(self._read_variant)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def made_with(self) -> Any:
        """The recipe of the part that this is the index of, as far as it is remembered; None where it is not."""
        return (self.recipe or self.fields).get("recipe")

    @classmethod
    def open(cls, path: Path, *, whole: bool = False) -> "Index":
        """Open an index file.

        Args:
            path: The file.
            whole: Read all of it into memory and compare it with its check; no file handle is held. Without this it is
                mapped: a cut file and a changed head are still found, anything else when it is asked for.

        Raises:
            StoreError: The file is missing, cut off, damaged or of a newer format.

        """
        return cls(read_file(path, mapped=not whole), path)

    def check_whole(self) -> None:
        """Compare the whole file with its check, and all numbers in it with what they point into.

        Raises:
            DamagedIndexError: Something does not agree.

        """
        try:
            check_ranges(self._contents)
        except StoreError as error:
            raise DamagedIndexError(f"{self.path} is damaged: {error}") from error

    def save(self) -> None:
        """Write the index to its path, beside and renamed.

        Raises:
            OSError: It cannot be written.

        """
        write_atomically(self.path, self.write)

    def write(self, file: BinaryIO) -> None:
        """Write the file that `index_file` describes."""
        write_file(file, self._contents)

    def equals(self, other: "Index") -> bool:
        """Tell whether both cover the same parts with the same entries."""
        return self.parts == other.parts and all(
            np.array_equal(self.arrays[name], other.arrays[name]) for name in SECTIONS if name != "check"
        )

    def by_key(self, key: str) -> list[Record]:
        """Return the entries of a normalised key, ordered by variant; empty where there are no entries.

        Raises:
            DamagedIndexError: What was read to find it, or to know that it is not there, is damaged.

        """
        digest = hash_key(key)
        records = []
        try:
            first = self._key_column.place(digest)
            if first and self._unpack(first - 1)[0] >= digest:
                raise self._damaged(first - 1)
            for number in range(first, len(self._rows)):
                fields = self._unpack(number)
                if fields[0] > digest:
                    break
                if fields[0] == digest:
                    records.append(self._record(number, fields, key))
                elif fields[0][:8] < digest[:8]:
                    raise self._damaged(number)
        except IndexError as error:
            raise self._damaged(0) from error
        return records

    def by_pixels(self, pixels: bytes) -> list[Record]:
        """Return the images made from a source with this pixel hash, ordered by key, then by variant.

        Raises:
            DamagedIndexError: What was read to find it, or to know that it is not there, is damaged.

        """
        found: dict[int, Record] = {}
        try:
            first = self._pixel_column.place(pixels)
            if first and self._by_position(first - 1)[1][1] >= pixels:
                raise self._damaged(first - 1)
            for position in range(first, len(self._pixel_rows)):
                number, fields = self._by_position(position)
                if fields[1] > pixels:
                    break
                if number in found or fields[1][:8] < pixels[:8]:
                    raise self._damaged(number)
                if fields[1] == pixels:
                    found[number] = self._record(number, fields)
        except IndexError as error:
            raise self._damaged(0) from error
        return sorted(found.values())

    def records(self) -> Iterator[Record]:
        """Yield all entries in the order of their bytes on disk."""
        for number in np.lexsort((self._rows["offset"], self._rows["part"])).tolist():
            yield self._record(number, self._unpack(number))

    def record(self, number: int) -> Record:
        """Return the entry of a row.

        Raises:
            DamagedIndexError: It is damaged.

        """
        return self._record(number, self._unpack(number))

    def counts(self) -> tuple[int, int, int]:
        """Return the number of images, of failures, and of sources that have one or the other."""
        images = int(np.count_nonzero(self._rows["encoding"]))
        hi, lo = self._rows["key_hi"], self._rows["key_lo"]
        sources = int(np.count_nonzero((hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1]))) + bool(len(hi))
        return images, len(self) - images, sources

    def texts(self) -> list[str]:
        """Return the variants, prompts and reasons that occur, sorted.

        Raises:
            DamagedIndexError: They are not UTF-8.

        """
        try:
            return [self._text(number) for number in range(len(self.arrays["string_ends"]))]
        except ValueError as error:
            raise DamagedIndexError(f"{self.path} is damaged: {error}") from error

    def _damaged(self, number: int, reason: str = "") -> DamagedIndexError:
        return DamagedIndexError(f"{self.path} is damaged at row {number}{reason and f' ({reason})'}")

    def _unpack(self, number: int) -> tuple[Any, ...]:
        raw = self._row_bytes[number * ROW.itemsize : (number + 1) * ROW.itemsize]
        fields: tuple[Any, ...] = ROW_STRUCT.unpack(raw) if len(raw) == ROW.itemsize else ()
        if not fields or check_row(raw) != fields[-1]:
            raise self._damaged(number)
        return fields

    def _by_position(self, position: int) -> tuple[int, tuple[Any, ...]]:
        """Return the row at a position among the pixel hashes, and its number."""
        number = self._pixel_rows[position]
        fields = self._unpack(number)
        if int.from_bytes(fields[1][:8], "big") != self._pixel_column.value(position):
            raise self._damaged(number)
        return number, fields

    def _record(self, number: int, fields: tuple[Any, ...], key: str | None = None) -> Record:
        digest, pixels, offset, check, key_at, length, height, width, seed, part, *rest = fields
        variant, prompt, reason, key_length, encoding, _ = rest
        try:
            return Record(
                key or self._key(key_at, key_length, digest),
                self._variant(variant),
                self._text(prompt),
                seed,
                Source(height, width, pixels),
                ENCODINGS[encoding],
                self._text(reason) if reason else "",
                Location(self.parts[part].name, offset, length, check),
            )
        except (IndexError, ValueError) as error:
            raise self._damaged(number, str(error)) from error

    def _key(self, start: int, length: int, digest: bytes) -> str:
        key = normalise_key(str(self._keys[start : start + length], "utf-8"))
        if hash_key(key) != digest:
            raise StoreError(f"key {key!r} does not agree with its hash")
        return key

    def _read_variant(self, number: int) -> str:
        return check_name(self._text(number), "variant")

    def _read_text(self, number: int) -> str:
        return str(self._strings[self._ends[number - 1] if number else 0 : self._ends[number]], "utf-8")


class _Column:
    """The first halves of hashes, ascending, cut into buckets of about four by their first bits."""

    def __init__(self, values: NDArray[np.uint64], starts: NDArray[np.uint32]) -> None:
        self._values = cast("Sequence[int]", values.data)
        self._starts = starts.data
        self._shift = 64 - (len(starts) - 1).bit_length() + 1

    def place(self, digest: bytes) -> int:
        """Return the position of the first hash that does not start lower than this one."""
        wanted = int.from_bytes(digest[:8], "big")
        bucket = wanted >> self._shift
        return bisect_left(self._values, wanted, self._starts[bucket], self._starts[bucket + 1])

    def value(self, position: int) -> int:
        """Return the first half of the hash at a position."""
        return self._values[position]
