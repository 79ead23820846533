"""The files of a store's parts: what they are called, which are there, what does not belong among them."""

import os
from pathlib import Path
from typing import NamedTuple

from albu_diffusemix.keys import check_name
from albu_diffusemix.store.files import StoreError, explained
from albu_diffusemix.store.members import Problem
from albu_diffusemix.store.records import part_order
from albu_diffusemix.text import printable

__all__ = ["INDEX", "OPEN", "PARTS", "RENAMED", "SEALED", "Listing", "list_parts", "refuse_unpacked", "sealed_file"]

PARTS = "parts"
SEALED = ".tar"
OPEN = ".tar.open"
RENAMED = ".part"
"""Ending of sealed parts for sites that unpack .tar files on upload; see `albu_diffusemix.exchange.kaggle`."""

INDEX = ".idx"
_TEMPORARY = ".tmp"


class Listing(NamedTuple):
    """What lies in the folder of parts.

    Attributes:
        sealed: Names of the sealed parts, in `part_order`.
        open: Names of the parts in progress, likewise.
        indexes: Names of the parts that have an index, likewise.
        strays: Other files, and what is not a regular file.
        folders: Folders, which are not part of a store.

    """

    sealed: list[str]
    open: list[str]
    indexes: list[str]
    strays: list[str]
    folders: list[str]

    def stray_problems(self) -> list[Problem]:
        """Name the files that are passed over."""
        return [
            Problem(printable(name), "", "it is not a file named as a part and is passed over") for name in self.strays
        ]


def list_parts(folder: Path) -> Listing:
    """List the folder of parts.

    Raises:
        StoreError: The folder cannot be read.

    """
    by_ending: dict[str, list[str]] = {OPEN: [], SEALED: [], RENAMED: [], INDEX: []}
    strays, folders = [], []
    with explained("read", folder), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(_TEMPORARY):
                continue
            if entry.is_dir():
                folders.append(entry.name)
                continue
            ending = next((ending for ending in by_ending if entry.name.endswith(ending)), "")
            name = entry.name.removesuffix(ending)
            if ending and _is_name(name) and entry.is_file():
                by_ending[ending].append(name)
            else:
                strays.append(entry.name)
    by_ending[SEALED] = list({*by_ending[SEALED], *by_ending.pop(RENAMED)})
    for names in by_ending.values():
        names.sort(key=part_order)
    return Listing(by_ending[SEALED], by_ending[OPEN], by_ending[INDEX], sorted(strays), sorted(folders))


def sealed_file(folder: Path, name: str) -> Path:
    """Return the file of a sealed part: `<name>.part` where it has that ending, else `<name>.tar`."""
    renamed = folder / (name + RENAMED)
    return renamed if renamed.exists() else folder / (name + SEALED)


def refuse_unpacked(root: Path, listing: Listing, known: set[str]) -> None:
    """Say so where parts were unpacked or renamed after the store was made, as some sites do with archives.

    Args:
        root: The store's folder.
        listing: What lies in its folder of parts.
        known: Parts that an index covers.

    Raises:
        StoreError: A part was unpacked into a folder, or lies there under another name.

    """
    if listing.folders:
        raise StoreError(
            f"{root} was changed: {PARTS}/{printable(listing.folders[0])} is a folder, so its parts were unpacked, as "
            "some sites do with archives. Put the .tar files back as they were; for such a site, make a form that is "
            "not unpacked: `albu-diffusemix export STORE --to kaggle -o OUT`"
        )
    lost = known.difference(listing.sealed, listing.open)
    renamed = next(((name, stray) for stray in listing.strays for name in sorted(lost) if stray.startswith(name)), None)
    if renamed:
        raise StoreError(
            f"{root} was changed: its part {renamed[0]}{SEALED} is gone, and {PARTS}/{printable(renamed[1])} looks "
            f"like it. Give it its name {renamed[0]}{SEALED} again"
        )


def _is_name(name: str) -> bool:
    try:
        check_name(name, "part")
    except ValueError:
        return False
    return True
