"""What a store holds at one moment: the merged index, and over it the parts that were sealed since."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import xxhash

from albu_diffusemix.store.files import StoreError, explained
from albu_diffusemix.store.index import Index, Row
from albu_diffusemix.store.indexing import merge
from albu_diffusemix.store.members import Problem
from albu_diffusemix.store.parts import SEALED, names, read_index

PARTS = "parts"
MERGED = "index/merged.idx"
_OPEN_FILES = 128
_MEND = "Store.verify lists what is wrong, Store.repair mends it"


class Catalog:
    """A snapshot of the sealed parts, for reading.

    Args:
        root: The store's folder.
        store: What store.json says.

    Attributes:
        problems: What was found wrong when it was opened; the parts themselves are read then in place of an index.

    Raises:
        StoreError: The parts cannot be read.

    """

    def __init__(self, root: Path, store: dict[str, Any]) -> None:
        self._folder = root / PARTS
        merged, self.problems = _merged(root)
        covered = {part.name for part in merged.parts} if merged else set()
        indexes = []
        for name in names(self._folder, SEALED):
            if name not in covered:
                index, problems = read_index(self._folder, name, store)
                indexes.append(index)
                self.problems += problems
        recent = merge(indexes, store, root / MERGED) if indexes else None
        self._layers = [index for index in (merged, recent) if index is not None]
        self._sizes = {part.name: part.size for index in self._layers for part in index.parts}
        self._files = _PartFiles(self._folder)

    def by_key(self, key: str) -> list[Row]:
        """Return images and failures of a normalised key, ordered by variant."""
        if len(self._layers) == 1:
            return self._layers[0].by_key(key)
        best: dict[str, Row] = {}
        for row in sorted((row for layer in self._layers for row in layer.by_key(key)), key=lambda row: row.precedence):
            best[row.variant] = row
        return sorted(best.values())

    def by_pixels(self, pixels: bytes) -> list[Row]:
        """Return the images made from sources with this pixel hash, ordered by key and variant."""
        return sorted(row for layer in self._layers for row in layer.by_pixels(pixels) if self._seen(row))

    def rows(self) -> Iterator[Row]:
        """Yield images and failures in the order of their bytes on disk."""
        return (row for layer in self._layers for row in layer.rows() if self._seen(row))

    def counts(self) -> tuple[int, int, int]:
        """Return the number of images, of failures, and of sources that have one or the other."""
        if not self._layers:
            return 0, 0, 0
        whole = self._layers[0] if len(self._layers) == 1 else merge(self._layers, {}, self._folder)
        return whole.counts()

    def read(self, row: Row) -> bytes:
        """Return the image file of a row, compared with its check.

        Raises:
            StoreError: The part is missing, cut off or changed.

        """
        path = f"{self._folder}/{row.part}{SEALED}"
        with explained("read", path):
            file = self._files.open(row.part)
            data = file.read(row.offset, row.length) if file.size == self._sizes[row.part] else b""
        if file.size != self._sizes[row.part]:
            raise StoreError(f"{path} is damaged: it has {file.size} bytes of {self._sizes[row.part]}; {_MEND}")
        if len(data) != row.length or xxhash.xxh3_64_intdigest(data) != row.check:
            raise StoreError(f"{path} is damaged: the image of {row.key} {row.variant} is not as written; {_MEND}")
        return data

    def _seen(self, row: Row) -> bool:
        return len(self._layers) == 1 or row in self.by_key(row.key)


def merge_indexes(root: Path, store: dict[str, Any]) -> Index:
    """Return one index of all sealed parts, made from their own ones."""
    folder = root / PARTS
    return merge([read_index(folder, name, store)[0] for name in names(folder, SEALED)], store, root / MERGED)


def verify_merged(root: Path, store: dict[str, Any]) -> list[Problem]:
    """Compare the merged index with those of the parts that it covers, and return what is wrong."""
    merged, problems = _merged(root, whole=True)
    if merged is None:
        return problems
    covered = [read_index(root / PARTS, part.name, store)[0] for part in merged.parts]
    if not merged.equals(merge(covered, store, root / MERGED)):
        problems.append(Problem(MERGED, "", "it does not agree with the indexes of the parts"))
    return problems


def _merged(root: Path, *, whole: bool = False) -> tuple[Index | None, list[Problem]]:
    path = root / MERGED
    if not path.exists():
        return None, []
    try:
        index = Index.open(path, whole=whole)
    except StoreError as error:
        return None, [Problem(MERGED, "", str(error))]
    gone = {part.name for part in index.parts}.difference(names(root / PARTS, SEALED))
    if gone:
        return None, [Problem(MERGED, "", f"it covers parts that are gone: {', '.join(sorted(gone))}")]
    return index, []


class _PartFile:
    """A part, open for reading until nobody holds it: a thread that still reads keeps it from being closed."""

    def __init__(self, path: Path) -> None:
        self._handle = -1
        self._handle = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._handle).st_size

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # `close` is bound here because at the interpreter's exit the module's own names may be gone.
        if self._handle >= 0:
            close(self._handle)

    def read(self, offset: int, length: int) -> bytes:
        data = os.pread(self._handle, length, offset) if offset + length <= self.size else b""
        while 0 < len(data) < length:  # network file systems may give less at once
            more = os.pread(self._handle, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data


class _PartFiles:
    """The parts read last, opened when they are first asked for, in each process anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._start()

    def open(self, name: str) -> _PartFile:
        if self._process != os.getpid():
            self._start()
        return self._open(name)

    def _start(self) -> None:
        folder = self._folder
        self._process = os.getpid()
        self._open = functools.lru_cache(_OPEN_FILES)(lambda name: _PartFile(folder / (name + SEALED)))
