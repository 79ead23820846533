"""The state of a store: how far it is, what is wrong with it, and mending that."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.store import recipe as recipes
from albu_diffusemix.store.catalog import MERGED, PARTS, Catalog, merge_indexes, verify_merged
from albu_diffusemix.store.files import StoreError, explained
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.locks import Liveness
from albu_diffusemix.store.members import Problem, Sample, scan
from albu_diffusemix.store.parts import INDEX, OPEN, SEALED, mend_part, names, salvage, verify_part, writer_of

_OLD = 24 * 3600  # seconds after which nobody is left who would rename a temporary file

_RECOVERY = "run the same `albu-diffusemix generate` again, which recovers its images"


class OpenStatus(NamedTuple):
    """A part in progress.

    Attributes:
        part: Its name.
        writer: "alive"; "dead" (its images are salvaged when the store is next opened for writing); or "unknown",
            where the file system has no locks or the part cannot be read.
        images: Counterparts in it so far.
        failures: Failures in it so far.
        size: Bytes.

    """

    part: str
    writer: Liveness
    images: int
    failures: int
    size: int


class Status(NamedTuple):
    """How far a store is.

    Attributes:
        images: Counterparts in sealed parts, each counted once.
        failures: Failures and rejects for which there is no image.
        sources: Keys that have one or the other.
        parts: Sealed parts.
        size: Bytes of these.
        writing: Parts in progress.

    """

    images: int
    failures: int
    sources: int
    parts: int
    size: int
    writing: tuple[OpenStatus, ...]


def status(root: Path, catalog: Catalog) -> Status:
    """Count what is in a store, also while others write.

    Raises:
        StoreError: It cannot be read.

    """
    folder = root / PARTS
    sealed = names(folder, SEALED)
    with explained("read", folder):
        size = sum((folder / (name + SEALED)).stat().st_size for name in sealed)
    writing = [_open_status(folder, name) for name in names(folder, OPEN)]
    return Status(*catalog.counts(), len(sealed), size, tuple(filter(None, writing)))


def verify(root: Path) -> list[Problem]:
    """Compare every byte of every sealed part with its index, and the indexes with each other.

    Raises:
        StoreError: The store cannot be read.

    """
    fields = recipes.load(root)
    folder = root / PARTS
    problems = [problem for name in names(folder, SEALED) for problem in verify_part(folder, name, fields)]
    problems += _lone_indexes(folder)
    dead = [name for name in names(folder, OPEN) if writer_of(folder, name) == "dead"]
    problems += [
        Problem(
            name + OPEN,
            "",
            "its writer is dead: run the same `albu-diffusemix generate` again, which recovers its images",
        )
        for name in dead
    ]
    return problems + verify_merged(root, fields)


def repair(root: Path, *, assume_dead: bool = False) -> list[Problem]:
    """Mend what `verify` finds, and return it.

    Raises:
        StoreError: Something cannot be mended, read or written.

    """
    folder = root / PARTS
    problems = _restore_fields(root)
    fields = recipes.load(root)
    problems += salvage(folder, fields, assume_dead=assume_dead)
    for name in names(folder, SEALED):
        found = verify_part(folder, name, fields)
        if found:
            mend_part(folder, name, fields)
        problems += found
    problems += _remove_lone_indexes(folder)
    problems += verify_merged(root, fields)
    _remove_old_temporaries(root)
    merge(root, fields)
    return problems


def merge(root: Path, fields: dict[str, Any]) -> None:
    """Write one index for all sealed parts.

    Raises:
        StoreError: It cannot be written, or a part cannot be read.

    """
    path = root / MERGED
    index = merge_indexes(root, fields)
    with explained("write", path):
        path.parent.mkdir(exist_ok=True)
        index.save()


def _open_status(folder: Path, name: str) -> OpenStatus | None:
    liveness = writer_of(folder, name)
    try:
        with (folder / (name + OPEN)).open("rb") as file:
            samples = [item for item in scan(file, name) if isinstance(item, Sample)]
            size = file.seek(0, os.SEEK_END)
    except FileNotFoundError:  # sealed just now
        return None
    except OSError:
        return OpenStatus(name, "unknown", 0, 0, 0)
    failures = sum(sample.row.failed for sample in samples)
    return OpenStatus(name, liveness, len(samples) - failures, failures, size)


def _restore_fields(root: Path) -> list[Problem]:
    """Write store.json again from the copy in the index of the last part, if it is damaged or gone."""
    try:
        recipes.load(root)
    except StoreError as error:
        for name in reversed(names(root / PARTS, INDEX)):
            with contextlib.suppress(StoreError):
                recipes.restore(root, Index.open(root / PARTS / (name + INDEX), whole=True).store)
                return [Problem(recipes.STORE_JSON, "", str(error))]
        raise
    return []


def _lone_indexes(folder: Path) -> list[Problem]:
    # In this order: a part that is sealed meanwhile is found open or sealed.
    lone = set(names(folder, INDEX)).difference(names(folder, OPEN)).difference(names(folder, SEALED))
    return [Problem(name + INDEX, "", "its part is gone") for name in sorted(lone)]


def _remove_lone_indexes(folder: Path) -> list[Problem]:
    problems = _lone_indexes(folder)
    with explained("mend", folder):
        for problem in problems:
            (folder / problem.file).unlink(missing_ok=True)
    return problems


def _remove_old_temporaries(root: Path) -> None:
    with explained("mend", root):
        for file in root.rglob("*.tmp"):
            if file.stat().st_mtime < time.time() - _OLD:
                file.unlink(missing_ok=True)
