"""Files from outside are opened only where they are regular: a FIFO would make its reader wait for ever."""

import errno
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_regular", "read_regular", "read_text"]

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
    return os.fdopen(_opened(path), "rb")


def read_regular(path: str | Path) -> bytes:
    """Return the bytes of a regular file; raises as `open_regular`.

    Images are read by this: a buffered file and a `Path` cost some 30 us, a tenth of decoding 256 x 256 pixels.
    """
    with io.FileIO(_opened(path)) as file:
        return file.readall()


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
    try:
        return read_regular(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(path)!r} is not UTF-8: write it again in that encoding") from error
    except MemoryError as error:
        raise ValueError(f"{str(path)!r} does not fit in memory: give a smaller file") from error


def _opened(path: str | Path) -> int:
    _refuse_other_kinds(path, os.stat(path).st_mode)  # noqa: PTH116  first, since to open a device can have effects
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _refuse_other_kinds(path, os.fstat(handle).st_mode)  # again, since another may stand there by now
    except OSError:
        os.close(handle)
        raise
    return handle


def _refuse_other_kinds(path: str | Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
    raise OSError(errno.EINVAL, f"is {kind}; only regular files are read, and links to such", str(path))
