"""A part in progress: one file with exactly one writer, which holds an exclusive lock on it."""

import os
from pathlib import Path
from typing import Any

from albu_diffusemix.keys import check_name
from albu_diffusemix.store.files import StoreError, explained
from albu_diffusemix.store.locks import EXCLUSIVE, SHARED, Liveness, still_there, try_lock
from albu_diffusemix.store.members import encode_recipe
from albu_diffusemix.store.part_files import OPEN, list_parts, sealed_file
from albu_diffusemix.store.parts import seal_part
from albu_diffusemix.store.records import part_order

__all__ = ["OpenPart", "writer_of"]


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
            StoreError: The label is not a valid name, or the file cannot be made.

        """
        check_name(label, "label")
        with explained("write in", folder):
            listing = list_parts(folder)
            number = 1 + max((part_order(name)[0] for name in listing.sealed + listing.open), default=-1)
            while True:
                name = check_name(f"{label}-{number:05d}", "part")
                handle = _claim(folder, name)
                if handle is not None:
                    return cls(folder, name, handle)
                number += 1

    def append(self, data: bytes) -> None:
        """Hand the bytes to the kernel, all of them or nothing.

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

    def append_recipe(self, fields: dict[str, Any]) -> None:
        """Begin the part with what is known of how it is made.

        Raises:
            StoreError: As for `append`.

        """
        self.append(encode_recipe(fields))

    def seal(self, fields: dict[str, Any]) -> None:
        """Make the part permanent and let go of it.

        When this returns, tar and index survive a power loss: both files and their folder were synchronised.

        Args:
            fields: What store.json says; a copy goes into the index.

        Raises:
            StoreError: It cannot be written (the part stays open, to be salvaged), or somebody else sealed it.

        """
        try:
            with explained("seal", self.path):
                os.ftruncate(self._handle, self.size)
                problems = seal_part(self.path.parent, self.name, self._handle, fields)
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


def writer_of(folder: Path, name: str) -> Liveness:
    """Tell whether an open part's writer is alive, by its lock."""
    try:
        with (folder / (name + OPEN)).open("rb") as file:
            return try_lock(file.fileno(), SHARED)
    except OSError:
        return "unknown"


def _claim(folder: Path, name: str) -> int | None:
    """Make and lock the open part, or return None if the name is taken."""
    path = folder / (name + OPEN)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return None
    # Another process may have taken the new file for a dead writer's, or sealed the name just before.
    ours = try_lock(handle, EXCLUSIVE) != "alive" and still_there(path, handle)
    if ours and not sealed_file(folder, name).exists():
        return handle
    if ours:
        path.unlink()
    os.close(handle)
    return None
