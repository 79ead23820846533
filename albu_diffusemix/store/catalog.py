"""What a store holds at one moment: the merged index, and over it the parts that were sealed since."""

import errno
import functools
import mmap
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.functional import Box
from albu_diffusemix.store import store_json
from albu_diffusemix.store.files import StoreError, explained, is_shortage
from albu_diffusemix.store.index import DamagedIndexError, Index
from albu_diffusemix.store.indexing import join_indexes
from albu_diffusemix.store.members import Problem
from albu_diffusemix.store.part_files import PARTS, SEALED, Listing, list_parts, refuse_unpacked, sealed_file
from albu_diffusemix.store.parts import read_index
from albu_diffusemix.store.raw_images import image_check, read_box
from albu_diffusemix.store.read_at import read_at
from albu_diffusemix.store.recipe import is_known
from albu_diffusemix.store.records import Record

__all__ = ["MERGED", "Catalog", "merge_indexes", "open_merged", "verify_merged"]

MERGED = "index/merged.idx"
_OPEN_FILES = 128
_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)

Answer = TypeVar("Answer")


class Catalog:
    """A snapshot of the sealed parts, for reading.

    Args:
        root: The store's folder.
        fields: What store.json says.

    Attributes:
        problems: What was found wrong when it was opened; the parts themselves are read then in place of an index.

    Raises:
        StoreError: The parts cannot be read, or were unpacked or renamed.

    """

    def __init__(self, root: Path, fields: dict[str, Any]) -> None:
        self._root = root
        self._fields = fields
        self._folder = root / PARTS
        listing = list_parts(self._folder)
        merged, self.problems = open_merged(root, listing)
        covered = {part.name for part in merged.parts} if merged else set()
        recent, problems = _read_indexes(root, fields, [name for name in listing.sealed if name not in covered])
        self.problems += [*problems, *listing.stray_problems()]
        self._layers = ([merged] if merged else []) + ([join_indexes(recent, fields, root / MERGED)] if recent else [])
        self._sizes = {part.name: part.size for index in self._layers for part in index.parts}
        self._files = _PartFiles(self._folder)

    def by_key(self, key: str) -> list[Record]:
        """Return images and failures of a normalised key, ordered by variant."""
        return self._asked(lambda: self._by_key(key))

    def by_pixels(self, pixels: bytes) -> list[Record]:
        """Return the images made from sources with this pixel hash, ordered by key and variant."""
        return self._asked(
            lambda: sorted(record for layer in self._layers for record in layer.by_pixels(pixels) if self._seen(record))
        )

    def records(self) -> Iterator[Record]:
        """Yield images and failures in the order of their bytes on disk."""
        self._asked(self._check_whole)
        return (record for layer in self._layers for record in layer.records() if self._seen(record))

    def whole(self) -> Index:
        """Return one index of everything, compared with its check."""
        self._asked(self._check_whole)
        return self._layers[0] if len(self._layers) == 1 else join_indexes(self._layers, {}, self._folder)

    def read(self, record: Record) -> bytes:
        """Return the image file of a record, compared with its check.

        Raises:
            StoreError: The part is missing, cut off or changed.

        """
        part, offset, length, check = record.location
        path, size = self._files.path(part), self._sizes[part]
        with explained("read", path):
            file = self._files.open(part)
            data = file.read(offset, length) if file.size == size else b""
        if file.size != size:
            raise self._cut_off(path, file.size, size)
        if len(data) != length or _check(record.encoding, data) != check:
            raise self._not_as_written(path, record)
        return data

    def read_box(self, record: Record, choose: Callable[[int, int], Box]) -> NDArray[np.uint8]:
        """Return a box of a raw image. It is mapped; of what is used all is compared with its check, and no more read.

        Args:
            record: Of a raw image.
            choose: Returns the box for the image's height and width.

        Raises:
            StoreError: As for `read`.

        """
        part, offset, length, check = record.location
        path, size = self._files.path(part), self._sizes[part]
        with explained("read", path):
            data, found = self._files.map(part, offset, length, size)
        if data is None:
            raise self._cut_off(path, found, size)
        try:
            return read_box(data, check, choose)
        except StoreError as error:
            raise self._not_as_written(path, record) from error

    def _cut_off(self, path: Path, found: int, size: int) -> StoreError:
        return StoreError(f"{path} is damaged: it has {found} bytes of {size}; {advice(self._root)}")

    def _not_as_written(self, path: Path, record: Record) -> StoreError:
        return StoreError(
            f"{path} is damaged: the image of {record.key} {record.variant} is not as written; {advice(self._root)}"
        )

    def _by_key(self, key: str) -> list[Record]:
        if len(self._layers) == 1:
            return self._layers[0].by_key(key)
        best: dict[str, Record] = {}
        found = (record for layer in self._layers for record in layer.by_key(key))
        for record in sorted(found, key=lambda record: record.precedence):
            best[record.variant] = record
        return sorted(best.values())

    def _seen(self, record: Record) -> bool:
        return len(self._layers) == 1 or record in self._by_key(record.key)

    def _check_whole(self) -> None:
        for layer in self._layers:
            layer.check_whole()

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        """Ask the merged index, and where it turns out to be damaged the indexes of the parts, from then on."""
        try:
            return ask()
        except DamagedIndexError as error:
            warnings.warn(
                f"{error}: the indexes of the parts are read in its place, which takes longer; {advice(self._root)}",
                stacklevel=4,
            )
        whole, _ = merge_indexes(self._root, self._fields)
        self._layers = [whole]
        self._sizes = {part.name: part.size for part in whole.parts}
        return ask()


def advice(root: Path) -> str:
    """Say what can be done about damage."""
    return f"`albu-diffusemix verify {root}` lists what is wrong, `albu-diffusemix repair {root}` repairs it"


def merge_indexes(root: Path, fields: dict[str, Any]) -> tuple[Index, list[Problem]]:
    """Return one index of all sealed parts, made from their own ones, and what was wrong with those."""
    indexes, problems = _read_indexes(root, fields, list_parts(root / PARTS).sealed)
    return join_indexes(indexes, fields, root / MERGED), problems


def verify_merged(root: Path, fields: dict[str, Any]) -> list[Problem]:
    """Compare the merged index with those of the parts that it covers, and return what is wrong."""
    merged, problems = open_merged(root, list_parts(root / PARTS))
    if merged is None:
        return problems
    try:
        merged.check_whole()
    except StoreError as error:
        return [Problem(MERGED, "", str(error))]
    covered = [read_index(root / PARTS, part.name, fields)[0] for part in merged.parts]
    if not merged.equals(join_indexes(covered, fields, root / MERGED)):
        problems.append(Problem(MERGED, "", "it does not agree with the indexes of the parts"))
    return problems


def open_merged(root: Path, listing: Listing) -> tuple[Index | None, list[Problem]]:
    """Map the merged index, if there is one that covers the parts as they are; else say what is wrong with it.

    Args:
        root: The store's folder.
        listing: What lies in its folder of parts.

    Raises:
        StoreError: Parts were unpacked or renamed, there are no more file handles, or there is no more memory.

    """
    path = root / MERGED
    refuse_unpacked(root, listing, set(listing.indexes))
    if not path.exists():
        return None, []
    try:
        index = Index.open(path)
    except StoreError as error:
        if is_shortage(error):
            raise
        return None, [Problem(MERGED, "", str(error))]
    sizes = {part.name: _size(sealed_file(root / PARTS, part.name)) for part in index.parts}
    gone = [name for name, size in sizes.items() if size is None]
    refuse_unpacked(root, listing, set(gone))
    if gone:
        return None, [Problem(MERGED, "", f"it covers parts that are gone: {', '.join(sorted(gone))}")]
    cut = next((part for part in index.parts if sizes[part.name] != part.size), None)
    if cut:
        what = f"{cut.name}{SEALED} has {sizes[cut.name]} bytes of the {cut.size} that it covers"
        return None, [Problem(MERGED, "", what)]
    return index, []


def _read_indexes(root: Path, fields: dict[str, Any], names: list[str]) -> tuple[list[Index], list[Problem]]:
    indexes, problems = [], []
    for name in names:
        index, found = read_index(root / PARTS, name, fields)
        if not is_known(fields, index.made_with):
            # It may have been let in after store.json was read.
            fields.update(store_json.load(root))
        if is_known(fields, index.made_with):
            indexes.append(index)
            problems += found
        else:
            problems.append(Problem(name + SEALED, "", "it was made with other parameters and is not read"))
    return indexes, problems


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _check(encoding: str, data: bytes) -> int | None:
    try:
        return image_check(encoding, data)
    except StoreError:
        return None


class _PartFile:
    """A part, open for reading until nobody holds it: a thread that still reads keeps it from being closed."""

    def __init__(self, path: Path) -> None:
        self._handle = -1
        self._handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.size = os.fstat(self._handle).st_size
        self._map: memoryview | None = None

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # `close` is bound here because at the interpreter's exit the module's own names may be gone.
        if self._handle >= 0:
            close(self._handle)

    def read(self, offset: int, length: int) -> bytes:
        data = read_at(self._handle, length, offset) if offset + length <= self.size else b""
        while 0 < len(data) < length:  # network file systems may give less at once
            more = read_at(self._handle, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def map(self, offset: int, length: int) -> memoryview:
        if self._map is None:
            self._map = memoryview(mmap.mmap(self._handle, 0, access=mmap.ACCESS_READ))
        return self._map[offset : offset + length]

    def size_now(self) -> int:
        """Return the size of the file: to touch what is mapped beyond its end would kill the process."""
        if not hasattr(os, "pread"):  # Windows: reads move the handle's place
            return os.fstat(self._handle).st_size
        return os.lseek(self._handle, 0, os.SEEK_END)  # costs a fifth of `fstat`


class _PartFiles:
    """The parts read last, opened when they are first asked for, once in each process."""

    def __init__(self, folder: Path) -> None:
        self.path = functools.cache(functools.partial(sealed_file, folder))
        self._start()

    def open(self, name: str) -> _PartFile:
        return self._with(name, lambda file: file)

    def map(self, name: str, offset: int, length: int, size: int) -> tuple[memoryview | None, int]:
        """Return bytes of a part, mapped, or None where its size is another, and its size."""

        def mapped(file: _PartFile) -> tuple[memoryview | None, int]:
            found = file.size_now()
            return (file.map(offset, length) if found == size else None), found

        return self._with(name, mapped)

    def _with(self, name: str, use: Callable[[_PartFile], Answer]) -> Answer:
        if self._process != os.getpid():
            self._start()
        try:
            return use(self._open(name))
        except OSError as error:
            if error.errno not in _NO_MORE_FILES:
                raise
        self._start()  # gives up those that are held
        return use(self._open(name))

    def _start(self) -> None:
        path = self.path
        self._process = os.getpid()
        self._open = functools.lru_cache(_OPEN_FILES)(lambda name: _PartFile(path(name)))
