"""Files from outside are opened only where they are regular: a FIFO would make its reader wait for ever."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_regular", "read_text"]

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, or a link to one, for reading; never waits for a writer.

    Args:
        path: The file.

    Returns:
        The open file.

    Raises:
        OSError: It cannot be opened, or is something else: a folder, a FIFO, a socket, a device.
        ValueError: The path has a character that no path has.

    """
    _refuse_other_kinds(path, path.stat().st_mode)  # first of all, since to open a device can have effects
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = os.fdopen(handle, "rb")
    try:
        _refuse_other_kinds(path, os.fstat(handle).st_mode)  # again, since another may stand there by now
    except OSError:
        file.close()
        raise
    return file


def read_text(path: Path) -> str:
    """Read a regular file of UTF-8 text, with a byte order mark or without.

    Args:
        path: The file.

    Returns:
        Its text, the ends of lines as they are.

    Raises:
        OSError: As `open_regular`.
        ValueError: It is not UTF-8, or does not fit in memory.

    """
    with open_regular(path) as file:
        try:
            return file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{str(path)!r} is not UTF-8: write it again in that encoding") from error
        except MemoryError as error:
            raise ValueError(f"{str(path)!r} does not fit in memory: give a smaller file") from error


def _refuse_other_kinds(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
    raise OSError(errno.EINVAL, f"is {kind}; only regular files are read, and links to such", str(path))
