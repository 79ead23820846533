"""What is done before a store is written to: the parts of dead writers are sealed, what is damaged is written again.

Every step can be killed and done again, by several processes at once.
"""

import contextlib
from pathlib import Path
from typing import Any

from albu_diffusemix.store.catalog import MERGED, merge_indexes, open_merged
from albu_diffusemix.store.files import explained
from albu_diffusemix.store.locks import EXCLUSIVE, still_there, try_lock
from albu_diffusemix.store.members import Problem
from albu_diffusemix.store.open_part import OpenPart
from albu_diffusemix.store.part_files import INDEX, OPEN, PARTS, RENAMED, SEALED, list_parts, sealed_file
from albu_diffusemix.store.parts import (
    holds_all,
    read_index,
    repair_part,
    seal_part,
    untouched,
    verify_part,
    write_index,
)
from albu_diffusemix.store.recipe import is_known

__all__ = ["lone_indexes", "recover", "repair_parts", "salvage", "write_merged"]


def recover(root: Path, fields: dict[str, Any]) -> list[Problem]:
    """Seal what dead writers left behind, and repair the sealed parts that were touched since their sealing.

    Parts that were not touched are not read, so this takes a moment also in a large store.

    Args:
        root: The store's folder.
        fields: What store.json says.

    Returns:
        What was wrong with sealed parts and indexes. Images that were lost are missing now.

    Raises:
        StoreError: A part cannot be read or written, or was unpacked or renamed.

    """
    folder = root / PARTS
    merged, problems = open_merged(root, list_parts(folder))
    known = {part.name: part.size for part in merged.parts} if merged else {}
    salvage(folder, fields)
    listing = list_parts(folder)
    repaired = repair_parts(root, [name for name in listing.sealed if _touched(folder, name, known, fields)], fields)
    problems += repaired + _remove_lone_indexes(folder)
    if problems:
        write_merged(root, fields)
    return problems


def repair_parts(root: Path, names: list[str], fields: dict[str, Any]) -> list[Problem]:
    """Compare every byte of these sealed parts with their indexes, write those that are damaged again, and say why.

    Parts of another store are left as they are.

    Raises:
        StoreError: A part cannot be read or written.

    """
    folder = root / PARTS
    problems = []
    for name in names:
        if not is_known(fields, read_index(folder, name, fields)[0].made_with):
            continue
        found = verify_part(folder, name, fields)
        if found:
            repair_part(folder, name, fields)
        else:
            write_index(folder, name, fields)
        problems += found
    return problems


def salvage(folder: Path, fields: dict[str, Any], *, assume_dead: bool = False) -> list[Problem]:
    """Seal what dead writers left behind, and return what had to be cut off.

    Args:
        folder: The store's folder of parts.
        fields: What store.json says.
        assume_dead: Also where the file system has no locks to tell.

    Raises:
        StoreError: A part cannot be read or written.

    """
    problems = []
    for name in list_parts(folder).open:
        path = folder / (name + OPEN)
        with explained("salvage", path), contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
            writer = try_lock(file.fileno(), EXCLUSIVE)
            if still_there(path, file.fileno()) and (writer == "dead" or (writer == "unknown" and assume_dead)):
                problems += _salvage_part(folder, name, file.fileno(), fields)
    return problems


def lone_indexes(folder: Path) -> list[Problem]:
    """Name the indexes of parts that are gone."""
    listing = list_parts(folder)
    lone = set(listing.indexes).difference(listing.open, listing.sealed)
    # A part that was sealed while the folder was listed may not have been in the list.
    gone = [
        name
        for name in sorted(lone)
        if not any((folder / (name + ending)).exists() for ending in (SEALED, RENAMED, OPEN))
    ]
    return [Problem(name + INDEX, "", "its part is gone") for name in gone]


def write_merged(root: Path, fields: dict[str, Any]) -> list[Problem]:
    """Write one index for all sealed parts, and again those of their own that are damaged; say which.

    Raises:
        StoreError: It cannot be written, or a part cannot be read.

    """
    path = root / MERGED
    index, problems = merge_indexes(root, fields)
    damaged = sorted({problem.file.removesuffix(INDEX) for problem in problems if problem.file.endswith(INDEX)})
    for name in damaged:
        write_index(root / PARTS, name, fields)
    if damaged:
        index, _ = merge_indexes(root, fields)
    with explained("write", path):
        path.parent.mkdir(exist_ok=True)
        index.save()
    return problems


def _touched(folder: Path, name: str, sizes: dict[str, int], fields: dict[str, Any]) -> bool:
    if name in sizes:
        return not untouched(folder, name, sizes[name])
    index, problems = read_index(folder, name, fields)
    return bool(problems) or not untouched(folder, name, index.parts[0].size)


def _salvage_part(folder: Path, name: str, handle: int, fields: dict[str, Any]) -> list[Problem]:
    if not sealed_file(folder, name).exists():
        return seal_part(folder, name, handle, fields)
    if holds_all(folder, name, handle):  # whoever sealed it was killed before it could remove this one
        (folder / (name + OPEN)).unlink()
        return []
    taken = OpenPart.create(folder, name.rstrip("0123456789").rstrip("-_") or "part")
    try:
        return seal_part(folder, name, handle, fields, taken.name)
    finally:
        taken.path.unlink()
        taken.close()


def _remove_lone_indexes(folder: Path) -> list[Problem]:
    problems = lone_indexes(folder)
    with explained("repair", folder):
        for problem in problems:
            (folder / problem.file).unlink(missing_ok=True)
    return problems
