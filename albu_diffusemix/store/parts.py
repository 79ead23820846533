"""One part of a store: written by one process, sealed, salvaged after a crash, indexed, verified.

`<part>.tar.open` has exactly one writer, which holds an exclusive `flock` on it. `<part>.tar` is sealed and never
changes. A part whose lock is free has lost its writer; whoever next opens the store for writing keeps its whole
samples, cuts off the torn tail and seals it. Where the file system has no `flock`, nobody can tell a dead writer from a
slow one, and the part stays as it is until a person says that no writer is alive.
"""

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from albu_diffusemix.store.files import StoreError, explained, sync_folder, write_beside
from albu_diffusemix.store.index import Index, Part, Row, part_order
from albu_diffusemix.store.indexing import index_part
from albu_diffusemix.store.keys import check_name
from albu_diffusemix.store.locks import EXCLUSIVE, SHARED, Liveness, still_there, try_lock
from albu_diffusemix.store.members import END, Problem, Sample, scan

SEALED = ".tar"
OPEN = ".tar.open"
INDEX = ".idx"
_CHUNK = 1 << 20


class OpenPart:
    """A part in progress, and the lock on it.

    Args:
        folder: The store's folder of parts.
        name: The part's name.
        handle: File descriptor, locked.

    """

    def __init__(self, folder: Path, name: str, handle: int) -> None:
        self.path = folder / (name + OPEN)
        self.name = name
        self.size = 0
        self._handle = handle

    @classmethod
    def create(cls, folder: Path, label: str) -> "OpenPart":
        """Start a part named after the label and a number that is higher than those of all parts that are there.

        Raises:
            StoreError: The label is no name, or the file cannot be made.

        """
        check_name(label, "label")
        with explained("write in", folder):
            number = 1 + max((part_order(name)[0] for name in names(folder, SEALED) + names(folder, OPEN)), default=-1)
            while True:
                name = check_name(f"{label}-{number:05d}", "part")
                handle = _claim(folder, name)
                if handle is not None:
                    return cls(folder, name, handle)
                number += 1

    def append(self, data: bytes) -> None:
        """Hand the bytes to the kernel, all of them or none.

        Raises:
            StoreError: They cannot be written; what was written before stays.

        """
        rest = memoryview(data)
        with explained("write", self.path):
            try:
                while rest:
                    rest = rest[os.pwrite(self._handle, rest, self.size + len(data) - len(rest)) :]
            except OSError:
                os.ftruncate(self._handle, self.size)
                raise
        self.size += len(data)

    def seal(self, store: dict[str, Any]) -> None:
        """Make the part permanent and let go of it.

        When this returns, tar and index survive a power loss: both files and their folder were synchronised.

        Args:
            store: What store.json says; a copy goes into the index.

        Raises:
            StoreError: It cannot be written (the part stays open, to be salvaged), or somebody else sealed it.

        """
        try:
            with explained("seal", self.path):
                os.ftruncate(self._handle, self.size)
                problems = _seal(self.path.parent, self.name, self._handle, store)
        finally:
            self.close()
        if problems:
            raise StoreError(f"{self.path} was not read back as it was written: {problems[0]}; check the disk")

    def close(self) -> None:
        """Let go of the part; what was appended stays for the next writer to salvage."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __del__(self) -> None:
        self.close()


def names(folder: Path, ending: str) -> list[str]:
    """Return the names of the parts with this ending (SEALED, OPEN or INDEX), in `part_order`.

    Raises:
        StoreError: The folder cannot be read, or a name is none that a part can have.

    """
    with explained("read", folder):
        files = [file.name for file in folder.iterdir() if file.name.endswith(ending) and file.name[0] != "."]
    found = [file.removesuffix(ending) for file in files]
    return sorted((check_name(name, f"part in {folder}") for name in found), key=part_order)


def writer_of(folder: Path, name: str) -> Liveness:
    """Tell whether an open part's writer is alive, by its lock."""
    try:
        with (folder / (name + OPEN)).open("rb") as file:
            return try_lock(file.fileno(), SHARED)
    except OSError:
        return "unknown"


def salvage(folder: Path, store: dict[str, Any], *, assume_dead: bool = False) -> list[Problem]:
    """Seal what dead writers left behind, and return what had to be cut off.

    Args:
        folder: The store's folder of parts.
        store: What store.json says.
        assume_dead: Also where the file system has no locks to tell.

    Raises:
        StoreError: A part cannot be read or written.

    """
    problems = []
    for name in names(folder, OPEN):
        path = folder / (name + OPEN)
        with explained("salvage", path), contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
            writer = try_lock(file.fileno(), EXCLUSIVE)
            if still_there(path, file.fileno()) and (writer == "dead" or (writer == "unknown" and assume_dead)):
                problems += _seal(folder, name, file.fileno(), store)
    return problems


def read_index(folder: Path, name: str, store: dict[str, Any]) -> tuple[Index, list[Problem]]:
    """Return the index of a sealed part: its sidecar, or made anew from the tar where that is missing or damaged.

    Nothing is written. The second value says what was wrong.

    Raises:
        StoreError: The tar cannot be read.

    """
    tar = folder / (name + SEALED)
    path = folder / (name + INDEX)
    with explained("read", tar), tar.open("rb") as file:
        try:
            index = Index.open(path, whole=True)
            if [part[:2] for part in index.parts] == [(name, _size(file))]:
                return index, []
            wrong = f"it does not describe {tar.name} of {_size(file)} bytes"
        except StoreError as error:
            wrong = str(error)
        samples, problems = _sorted_out(scan(file, name))
        index = _index([sample.row for sample in samples], folder, name, file, store)
    return index, [Problem(path.name, "", wrong), *problems]


def verify_part(folder: Path, name: str, store: dict[str, Any]) -> list[Problem]:
    """Compare every byte of a sealed part with its index, and return what is wrong."""
    tar = folder / (name + SEALED)
    index, problems = read_index(folder, name, store)
    if problems:
        return problems
    with explained("read", tar), tar.open("rb") as file:
        samples, problems = _sorted_out(scan(file, name))
        found = set(_index([sample.row for sample in samples], folder, name, file, store).rows())
        wrong = {f"{row.key}/{row.variant}" for row in found.symmetric_difference(index.rows())}
        problems += [Problem(tar.name, member, "tar and index do not agree on it") for member in sorted(wrong)]
        if not problems and _hash(file) != index.parts[0].hash:
            problems.append(Problem(tar.name, "", "bytes outside of its members were changed"))
    return problems


def mend_part(folder: Path, name: str, store: dict[str, Any]) -> None:
    """Write a damaged part anew from its whole samples, and its index; remove it where there are none.

    Raises:
        StoreError: It cannot be read or written.

    """
    tar = folder / (name + SEALED)
    with explained("mend", tar), tar.open("rb") as file:
        samples, _ = _sorted_out(scan(file, name))
        _rewrite(file, samples, folder, name, store)
        if not samples:
            tar.unlink()
            (folder / (name + INDEX)).unlink()


def _seal(folder: Path, name: str, handle: int, store: dict[str, Any]) -> list[Problem]:
    path, sealed = folder / (name + OPEN), folder / (name + SEALED)
    if not still_there(path, handle):
        raise StoreError(f"{path} was sealed or removed by somebody else: file locks do not reach all of its writers")
    if sealed.exists():
        raise StoreError(f"{path} cannot be sealed, there is a {sealed.name} already: move one of them away")
    with os.fdopen(os.dup(handle), "rb") as file:
        samples, problems = _sorted_out(scan(file, name))
        end = samples[-1].end if samples else 0
        if sum(sample.end - sample.start for sample in samples) < end:
            _rewrite(file, samples, folder, name, store)
            path.unlink()
        elif samples:
            os.ftruncate(handle, end)
            os.pwrite(handle, END, end)
            os.fsync(handle)
            _index([sample.row for sample in samples], folder, name, file, store).save()
            path.rename(sealed)
        else:
            path.unlink()
    sync_folder(folder)
    return problems


def _rewrite(file: BinaryIO, samples: Sequence[Sample], folder: Path, name: str, store: dict[str, Any]) -> None:
    rows: list[Row] = []

    def copy(target: BinaryIO) -> None:
        for row, start, end in samples:
            rows.append(row._replace(offset=row.offset - start + target.tell()))
            file.seek(start)
            target.write(file.read(end - start))
        target.write(END)

    sealed = folder / (name + SEALED)
    write_beside(sealed, copy)
    with sealed.open("rb") as written:
        _index(rows, folder, name, written, store).save()


def _index(rows: Sequence[Row], folder: Path, name: str, file: BinaryIO, store: dict[str, Any]) -> Index:
    return index_part(Part(name, _size(file), _hash(file)), rows, store, folder / (name + INDEX))


def _sorted_out(found: Iterable[Sample | Problem]) -> tuple[list[Sample], list[Problem]]:
    samples: list[Sample] = []
    problems: list[Problem] = []
    for item in found:
        if isinstance(item, Sample):
            samples.append(item)
        else:
            problems.append(item)
    return samples, problems


def _claim(folder: Path, name: str) -> int | None:
    """Make and lock the open part, or return None if the name is taken."""
    path = folder / (name + OPEN)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return None
    # Another process may have taken the newborn file for a dead writer's, or sealed the name just before.
    ours = try_lock(handle, EXCLUSIVE) != "alive" and still_there(path, handle)
    if ours and not (folder / (name + SEALED)).exists():
        return handle
    if ours:
        path.unlink()
    os.close(handle)
    return None


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _hash(file: BinaryIO) -> str:
    digest = xxhash.xxh3_128()
    offset = 0
    # Past the file's buffer, which does not know of what was cut off or appended since.
    while chunk := os.pread(file.fileno(), _CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
    return str(digest.hexdigest())
