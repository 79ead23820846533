"""Who is writing: locks on open files, which the kernel drops when their process dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

__all__ = ["EXCLUSIVE", "SHARED", "Liveness", "locked", "still_there", "try_lock"]

EXCLUSIVE, SHARED = fcntl.LOCK_EX, fcntl.LOCK_SH

Liveness = Literal["alive", "dead", "unknown"]
"""Of whoever should hold a lock; unknown where the file system has no locks."""


def try_lock(handle: int, kind: int) -> Liveness:
    """Lock an open file if nobody else has, and tell whether somebody has: with "dead" the lock is ours."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return "alive"
    except OSError:
        return "unknown"
    return "dead"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have the folder to oneself within the block, among processes that do the same; wait for the others.

    Where the file system has no locks, nobody waits.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, EXCLUSIVE)
        yield
    finally:
        os.close(handle)


def still_there(path: Path, handle: int) -> bool:
    """Tell whether the open file is the one that the path names."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
