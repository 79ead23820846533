"""Files that are whole or not there: written beside their place, then renamed."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["sync_folder", "write_atomically"]


def write_atomically(path: Path, write: Callable[[BinaryIO], object], *, keep: bool = False) -> None:
    """Make `path` hold what `write` writes, or leave it as it was: temporary file, fsync, rename, fsync of the folder.

    Args:
        path: The file to make or replace.
        write: Called with the temporary file, open for binary writing.
        keep: Leave a file that is already there as it is, whoever of several writers made it.

    Raises:
        OSError: The file cannot be written; the temporary file is gone.

    """
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with _new_file(beside) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if keep:
            _keep_first(beside, path)
        else:
            beside.replace(path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(beside):
            error.filename = str(path)  # the name that its reader knows
        raise
    sync_folder(path.parent)


def _new_file(path: Path) -> BinaryIO:
    return path.open("xb")


def _keep_first(beside: Path, path: Path) -> None:
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not path.exists():
            beside.replace(path)
    beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in the folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
