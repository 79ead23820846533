"""Who is writing: locks on open files, which the kernel drops when their process dies.

Windows has no such locks: a store can be read there, but not written.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from albu_diffusemix.store.files import StoreError

fcntl: Any
try:
    import fcntl
except ImportError:
    fcntl = None

__all__ = ["EXCLUSIVE", "SHARED", "Liveness", "locked", "refuse_without_locks", "still_there", "try_lock"]

EXCLUSIVE, SHARED = (0, 0) if fcntl is None else (fcntl.LOCK_EX, fcntl.LOCK_SH)

Liveness = Literal["alive", "dead", "unknown"]
"""Of whoever should hold a lock; unknown where the file system has no locks."""


def refuse_without_locks(root: Path) -> None:
    """Raise StoreError where the system has no file locks: writers could then damage each other's parts."""
    if fcntl is None:
        raise StoreError(
            f"{root} cannot be written here: that needs the file locks of Linux or macOS, which this system has not. "
            "Make and repair the store there (on Windows, in WSL), then read it here"
        )


def try_lock(handle: int, kind: int) -> Liveness:
    """Lock an open file if nobody else has, and tell whether somebody has: with "dead" the lock is ours."""
    if fcntl is None:
        return "unknown"
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
