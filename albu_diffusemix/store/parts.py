"""Sealed parts of a store: sealed, indexed, compared with their indexes, written again without what is damaged.

`<part>.tar` is sealed and never changes but for a repair. Its index `<part>.idx` is redundant, is written later than
the part's last byte, and so tells by its time whether the part was touched since. Each step here can be killed and done
again: a file is whole before it gets its name, and what is taken away was put elsewhere before.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import xxhash

from albu_diffusemix.atomic_files import sync_folder, write_atomically
from albu_diffusemix.store.files import StoreError, explained, is_shortage
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.indexing import index_part
from albu_diffusemix.store.locks import still_there
from albu_diffusemix.store.members import END, PartRecipe, Problem, Sample, encode_recipe, encode_sample, scan
from albu_diffusemix.store.part_files import INDEX, OPEN, SEALED, sealed_file
from albu_diffusemix.store.read_at import read_at
from albu_diffusemix.store.records import Part, Record

__all__ = ["copy_part", "read_index", "repair_part", "seal_part", "untouched", "verify_part", "write_index"]

_CHUNK = 1 << 20


class _Found(NamedTuple):
    """What a part holds: its whole samples, what it says of how it was made, and what is wrong with it."""

    samples: list[Sample]
    recipe: PartRecipe | None
    problems: list[Problem]

    @property
    def recipe_fields(self) -> dict[str, Any] | None:
        return self.recipe.fields if self.recipe else None

    @property
    def end(self) -> int:
        return max([0, *(sample.end for sample in self.samples[-1:]), *([self.recipe.end] if self.recipe else [])])

    @property
    def has_gaps(self) -> bool:
        pieces: list[Sample | PartRecipe] = [*self.samples, *([self.recipe] if self.recipe else [])]
        return sum(piece.end - piece.start for piece in pieces) < self.end


def seal_part(folder: Path, name: str, handle: int, fields: dict[str, Any], sealed_name: str = "") -> list[Problem]:
    """Make a part in progress permanent, without what is torn in it; where it holds nothing, remove it.

    Args:
        folder: The store's folder of parts.
        name: The part's name.
        handle: Its file, locked, open for reading and writing.
        fields: What store.json says.
        sealed_name: The name to seal it under, where its own is taken.

    Returns:
        What had to be left out.

    Raises:
        StoreError: Somebody else sealed or removed it meanwhile.
        OSError: It cannot be read or written.

    """
    path, sealed = folder / (name + OPEN), folder / ((sealed_name or name) + SEALED)
    if not still_there(path, handle):
        raise StoreError(f"{path} was sealed or removed by somebody else: file locks do not reach all of its writers")
    with os.fdopen(os.dup(handle), "rb") as file:
        found = _read(file, name)
        if not found.samples:
            path.unlink()
        elif found.has_gaps:
            _rewrite(file, found, sealed, fields)
            path.unlink()
        else:
            os.ftruncate(handle, found.end)
            os.pwrite(handle, END, found.end)
            os.fsync(handle)
            _index(found, sealed, file, fields).save()
            path.rename(sealed)
    sync_folder(folder)
    return found.problems


def holds_all(folder: Path, name: str, handle: int) -> bool:
    """Tell whether a sealed part holds every whole sample of the part in progress of the same name."""
    with os.fdopen(os.dup(handle), "rb") as file, sealed_file(folder, name).open("rb") as sealed:
        there = {(record.key, record.variant, record.location.check) for record, _, _ in _read(sealed, name).samples}
        return all(
            (record.key, record.variant, record.location.check) in there for record, _, _ in _read(file, name).samples
        )


def read_index(folder: Path, name: str, fields: dict[str, Any]) -> tuple[Index, list[Problem]]:
    """Return the index of a sealed part: its own, or made from the tar where that is missing or damaged.

    Nothing is written, and no file handle is held. The second value says what was wrong.

    Raises:
        StoreError: The tar cannot be read.

    """
    tar, path = sealed_file(folder, name), folder / (name + INDEX)
    with explained("read", tar):
        size = tar.stat().st_size
    try:
        index = Index.open(path, whole=True)
        if [part[:2] for part in index.parts] == [(name, size)]:
            return index, []
        wrong = f"it does not describe {tar.name} of {size} bytes"
    except StoreError as error:
        if is_shortage(error):
            raise
        wrong = str(error)
    with explained("read", tar), tar.open("rb") as file:
        found = _read(file, name)
    # Without the hash of the whole file: only who writes an index needs that.
    index = index_part(
        Part(name, size, ""), [sample.record for sample in found.samples], fields, path, found.recipe_fields
    )
    return index, [Problem(path.name, "", wrong), *found.problems]


def write_index(folder: Path, name: str, fields: dict[str, Any]) -> None:
    """Write the index of a sealed part again.

    Raises:
        StoreError: It cannot be read or written.

    """
    tar = sealed_file(folder, name)
    with explained("index", tar), tar.open("rb") as file:
        _index(_read(file, name), tar, file, fields).save()


def untouched(folder: Path, name: str, size: int) -> bool:
    """Tell whether a sealed part has this size, and an index that was written later than its last byte."""
    try:
        tar, index = sealed_file(folder, name).stat(), (folder / (name + INDEX)).stat()
    except OSError:
        return False
    return tar.st_size == size and tar.st_mtime_ns <= index.st_mtime_ns


def verify_part(folder: Path, name: str, fields: dict[str, Any]) -> list[Problem]:
    """Compare every byte of a sealed part with its index, and return what is wrong."""
    tar = sealed_file(folder, name)
    index, problems = read_index(folder, name, fields)
    if problems:
        return problems
    with explained("read", tar), tar.open("rb") as file:
        found = _read(file, name)
        problems = [problem._replace(file=tar.name) for problem in found.problems]
        there = _index(found, tar, file, fields)
    if problems:
        return problems
    wrong = {f"{record.key}/{record.variant}" for record in set(there.records()).symmetric_difference(index.records())}
    if not wrong and there.parts != index.parts:
        return [Problem(tar.name, "", "bytes outside of its members were changed")]
    return [Problem(tar.name, member, "tar and index do not agree on it") for member in sorted(wrong)]


def repair_part(folder: Path, name: str, fields: dict[str, Any]) -> None:
    """Write a damaged part again from its whole samples, and its index; remove both where there are no whole samples.

    What a damaged recipe said is taken from the part's index where that still says it.

    Raises:
        StoreError: It cannot be read or written.

    """
    tar = sealed_file(folder, name)
    remembered = _remembered_recipe(folder / (name + INDEX))
    with explained("repair", tar), tar.open("rb") as file:
        found = _read(file, name)
        if found.recipe is None and remembered:
            found = found._replace(recipe=PartRecipe(remembered, 0, 0))
        if found.samples:
            _rewrite(file, found, tar, fields)
        else:
            tar.unlink()
            (folder / (name + INDEX)).unlink(missing_ok=True)
        sync_folder(folder)


def copy_part(tar: Path, copy: Path, left_out: Callable[[Record], bool], reason: str, fields: dict[str, Any]) -> None:
    """Copy a sealed part without some of its images, in whose places failures stand, and index the copy.

    Args:
        tar: The part.
        copy: Where the copy is to lie.
        left_out: Whether an image is left out.
        reason: That of the failures.
        fields: What store.json says.

    Raises:
        OSError: It cannot be read or written.

    """

    def write(target: BinaryIO) -> None:
        target.write(encode_recipe(found.recipe.fields) if found.recipe else b"")
        for record, start, end in found.samples:
            file.seek(start)
            failure = record._replace(encoding="", reason=reason)
            target.write(encode_sample(failure, b"") if left_out(record) else file.read(end - start))
        target.write(END)

    with tar.open("rb") as file:
        found = _read(file, tar.stem)
        write_atomically(copy, write)
    with copy.open("rb") as file:
        _index(_read(file, copy.stem), copy, file, fields).save()


def _remembered_recipe(path: Path) -> dict[str, Any] | None:
    try:
        return Index.open(path, whole=True).recipe
    except StoreError:
        return None


def _rewrite(file: BinaryIO, found: _Found, sealed: Path, fields: dict[str, Any]) -> None:
    records: list[Record] = []

    def copy(target: BinaryIO) -> None:
        at = target.write(encode_recipe(found.recipe.fields)) if found.recipe else 0
        for record, start, end in found.samples:
            records.append(_at(record, offset=record.location.offset - start + at))
            file.seek(start)
            target.write(file.read(end - start))
            at += end - start
        target.write(END)

    write_atomically(sealed, copy)
    with sealed.open("rb") as written:
        name = sealed.stem
        samples = [Sample(_at(record, part=name), 0, 0) for record in records]
        _index(found._replace(samples=samples), sealed, written, fields).save()


def _index(found: _Found, sealed: Path, file: BinaryIO, fields: dict[str, Any]) -> Index:
    name = sealed.stem
    part = Part(name, os.fstat(file.fileno()).st_size, _hash(file))
    records = [_at(record, part=name) for record, _, _ in found.samples]
    return index_part(part, records, fields, sealed.with_name(name + INDEX), found.recipe_fields)


def _read(file: BinaryIO, name: str) -> _Found:
    return _sorted_out(scan(file, name))


def _sorted_out(items: Iterable[Sample | PartRecipe | Problem]) -> _Found:
    samples: list[Sample] = []
    problems: list[Problem] = []
    recipe = None
    for item in items:
        if isinstance(item, Sample):
            samples.append(item)
        elif isinstance(item, Problem):
            problems.append(item)
        elif recipe is None:
            recipe = item
    return _Found(samples, recipe, problems)


def _hash(file: BinaryIO) -> str:
    digest = xxhash.xxh3_128()
    offset = 0
    # Past the file's buffer, which does not know of what was cut off or appended since.
    while chunk := read_at(file.fileno(), _CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
    return str(digest.hexdigest())


def _at(record: Record, **location: Any) -> Record:
    return record._replace(location=record.location._replace(**location))
