"""The state of a store: how far it is, what is wrong with it, and the repair of that."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.store import store_json
from albu_diffusemix.store.catalog import MERGED, Catalog, verify_merged
from albu_diffusemix.store.choices_index import Choices, compile_choices, verify_choices
from albu_diffusemix.store.files import StoreError, explained
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.indexing import index_part, join_indexes
from albu_diffusemix.store.locks import Liveness
from albu_diffusemix.store.members import PartRecipe, Problem, Sample, scan
from albu_diffusemix.store.open_part import writer_of
from albu_diffusemix.store.part_files import INDEX, OPEN, PARTS, SEALED, list_parts, sealed_file
from albu_diffusemix.store.parts import read_index, verify_part
from albu_diffusemix.store.recipe import Recipe, is_known
from albu_diffusemix.store.records import Part, Record
from albu_diffusemix.store.recovery import lone_indexes, recover, repair_parts, salvage, write_merged

__all__ = ["OpenStatus", "Repair", "Status", "repair", "status", "verify"]

_OLD = 24 * 3600  # seconds after which nobody is left who would rename a temporary file
_DEAD_WRITER = "its writer is dead: run the same `albu-diffusemix generate` again, which recovers its images"
_FOREIGN = "it was made with other parameters than the store and is not read; move it away"


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
        images: Counterparts in sealed parts and in parts in progress, each counted once.
        failures: Failures and rejects for which there is no image.
        sources: Keys that have one or the other.
        parts: Sealed parts.
        size: Bytes of these.
        writing: Parts in progress.
        accepted: Counterparts whose last verdict is to accept them.
        rejected: Those whose last verdict is to reject them; they count as images.
        torn: Files of verdicts that end within a line, which is passed over: their writers were killed, or write now.

    """

    images: int
    failures: int
    sources: int
    parts: int
    size: int
    writing: tuple[OpenStatus, ...]
    accepted: int = 0
    rejected: int = 0
    torn: tuple[str, ...] = ()


class Repair(NamedTuple):
    """What a repair did.

    Attributes:
        repaired: What was wrong and is not any more. Images that were lost are missing now.
        left: What is still wrong.

    """

    repaired: list[Problem]
    left: list[Problem]


def status(root: Path, catalog: Catalog, choices: Choices) -> Status:
    """Count what is in a store, also while others write.

    Raises:
        StoreError: It cannot be read.

    """
    folder = root / PARTS
    listing = list_parts(folder)
    with explained("read", folder):
        size = sum(sealed_file(folder, name).stat().st_size for name in listing.sealed)
    found = [part for name in listing.open if (part := _open_part(folder, name)) is not None]
    indexes = [index_part(Part(part.part, 0, ""), records, {}, folder) for part, records in found if records]
    whole = join_indexes([catalog.whole(), *indexes], {}, folder) if indexes else catalog.whole()
    verdicts = choices.count(whole) if choices else (0, 0)
    writing = tuple(part for part, _ in found)
    return Status(*whole.counts(), len(listing.sealed), size, writing, *verdicts, tuple(choices.torn))


def verify(root: Path) -> list[Problem]:
    """Compare every byte of every sealed part with its index, and the indexes with each other.

    Raises:
        StoreError: The store cannot be read.

    """
    fields = store_json.load(root)
    folder = root / PARTS
    listing = list_parts(folder)
    merged_problems = verify_merged(root, fields)
    problems = listing.stray_problems()
    for name in listing.sealed:
        foreign = not is_known(fields, read_index(folder, name, fields)[0].made_with)
        problems += [Problem(name + SEALED, "", _FOREIGN)] if foreign else verify_part(folder, name, fields)
    problems += lone_indexes(folder)
    dead = [name for name in list_parts(folder).open if writer_of(folder, name) == "dead"]
    problems += [Problem(name + OPEN, "", _DEAD_WRITER) for name in dead]
    return [*problems, *merged_problems, *verify_choices(root)]


def repair(root: Path, *, assume_dead: bool = False, recipe: Recipe | None = None) -> Repair:
    """Repair what `verify` finds, and say what that was.

    Raises:
        StoreError: Something cannot be repaired, read or written.

    """
    folder = root / PARTS
    repaired = _restore_fields(root, recipe)
    fields = store_json.load(root)
    repaired += verify_merged(root, fields)
    repaired += salvage(folder, fields, assume_dead=assume_dead)
    repaired += repair_parts(root, list_parts(folder).sealed, fields)
    repaired += recover(root, fields)
    _remove_old_temporaries(root)
    write_merged(root, fields)
    compile_choices(root, from_files=True)
    return Repair(list(dict.fromkeys(repaired)), verify(root))


def _open_part(folder: Path, name: str) -> tuple[OpenStatus, list[Record]] | None:
    """Look into a part in progress; None where it was sealed just now."""
    liveness = writer_of(folder, name)
    try:
        with (folder / (name + OPEN)).open("rb") as file:
            records = [item.record for item in scan(file, name) if isinstance(item, Sample)]
            size = file.seek(0, os.SEEK_END)
    except FileNotFoundError:
        return None
    except OSError:
        return OpenStatus(name, "unknown", 0, 0, 0), []
    failures = sum(record.failed for record in records)
    return OpenStatus(name, liveness, len(records) - failures, failures, size), records


def _restore_fields(root: Path, recipe: Recipe | None) -> list[Problem]:
    """Write store.json again from what else remembers it, if it is damaged or gone."""
    try:
        store_json.load(root)
    except StoreError as error:
        if not (root / PARTS).is_dir():
            raise
        fields = _remembered(root) or (recipe and {"recipe": recipe.to_json()})
        if not fields:
            raise StoreError(
                f"{error}; nothing else in the store says how it was made: give that with --recipe FILE, the JSON of a "
                "recipe as in the store's README.md"
            ) from error
        store_json.restore(root, fields)
        return [Problem(store_json.STORE_JSON, "", str(error))]
    return []


def _remembered(root: Path) -> dict[str, Any] | None:
    """Return what indexes and parts say of how the store was made; None where they say nothing."""
    copies = list(_copies_in_indexes(root))
    if not copies:
        return next(_said_by_parts(root / PARTS), None)
    mixed = [recipe for copy in copies if copy["recipe"] == copies[0]["recipe"] for recipe in copy["mixed"]]
    return {**copies[0], "mixed": [recipe for place, recipe in enumerate(mixed) if recipe not in mixed[:place]]}


def _copies_in_indexes(root: Path) -> Iterator[dict[str, Any]]:
    folder = root / PARTS
    for path in [root / MERGED, *(folder / (name + INDEX) for name in reversed(list_parts(folder).indexes))]:
        with contextlib.suppress(StoreError):
            fields = Index.open(path, whole=True).fields
            store_json.check_fields(fields, str(path))
            yield fields


def _said_by_parts(folder: Path) -> Iterator[dict[str, Any]]:
    listing = list_parts(folder)
    for file_name in [
        *(sealed_file(folder, name).name for name in listing.sealed),
        *(name + OPEN for name in listing.open),
    ]:
        with explained("read", folder / file_name), (folder / file_name).open("rb") as file:
            found = next((item for item in scan(file, file_name) if isinstance(item, PartRecipe)), None)
        if found:
            fields = {**found.fields, "mixed": []}
            store_json.check_fields(fields, file_name)
            yield fields


def _remove_old_temporaries(root: Path) -> None:
    with explained("repair", root):
        for file in root.rglob("*.tmp"):
            if file.stat().st_mtime < time.time() - _OLD:
                file.unlink(missing_ok=True)
