"""Runs that write to one store at the same time must share its sources out: each holds a lock as long as it runs.

`runs/<i>-of-<n>.lock` is locked by the run that makes the sources whose hash leaves the remainder i when divided by n;
one for all sources is 0-of-1. The kernel drops a lock when its process dies. A run looks at the other locks and takes
its own within a lock on `runs/starting`, so that of two that start together one sees the other. Where the file system
has no locks nobody is kept out. Readers know nothing of this folder, and a store that nobody writes to has no such
folder.
"""

import contextlib
import math
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from albu_diffusemix.store.files import StoreError, explained
from albu_diffusemix.store.locks import EXCLUSIVE, refuse_without_locks, still_there, try_lock

__all__ = ["RUNS", "hold_run", "lock_file"]

RUNS = "runs"

_STARTING, _NEW = "starting", "new"
_LOCK = re.compile(r"(\d+)-of-([1-9]\d*)\.lock")
_PAUSE = 0.05
_STARTING_SECONDS = 60.0  # others hold that lock for some milliseconds


def lock_file(root: Path, shard: tuple[int, int]) -> Path:
    """Return the file that the run which makes a shard holds its lock on."""
    return root / RUNS / f"{shard[0]}-of-{shard[1]}.lock"


@contextlib.contextmanager
def hold_run(root: Path, shard: tuple[int, int], doing: str, grace: float) -> Iterator[None]:
    """Hold the lock of a shard within the block. What was made for that is removed at its end.

    Args:
        root: The store's folder; it is made, and removed again if no store came of it.
        shard: `(i, n)`; (0, 1) is the whole store.
        doing: What to do where another run has a source of this shard; ends the message.
        grace: Seconds for a run that was just killed to be gone.

    Raises:
        StoreError: Another run has a source of this shard, or the lock cannot be made.

    """
    refuse_without_locks(root)
    handle = _claim(root, shard, doing, time.monotonic() + grace)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, StoreError):  # what is left is removed by the next run
            _tidy(root, lock_file(root, shard))
        os.close(handle)


def _claim(root: Path, shard: tuple[int, int], doing: str, end: float) -> int:
    while True:
        with _starting(root), explained("write in", root / RUNS):
            rivals = _rivals(root / RUNS, shard)
            if not rivals:
                handle = _open(lock_file(root, shard))
                try_lock(handle, EXCLUSIVE)
                return handle
        if time.monotonic() > end:
            raise StoreError(f"{root} is being written by a live process ({rivals[0]}): {doing}")
        time.sleep(_PAUSE)


@contextlib.contextmanager
def _starting(root: Path) -> Iterator[None]:
    """Let one process at a time look at the locks and change them."""
    path = root / RUNS / _STARTING
    end = time.monotonic() + _STARTING_SECONDS
    while True:
        handle = _open(path)
        try:
            state = try_lock(handle, EXCLUSIVE)
            if state == "unknown" or (state == "dead" and still_there(path, handle)):
                yield
                return
        finally:
            os.close(handle)
        if time.monotonic() > end:
            raise StoreError(f"{path} is locked for {_STARTING_SECONDS:.0f} seconds: end who holds it")
        time.sleep(_PAUSE)


def _open(path: Path) -> int:
    """Open a file for locking; another run may remove its folder just now."""
    end = time.monotonic() + _STARTING_SECONDS
    with explained("create", path.parent.parent):
        while True:
            _make_folder(path.parent)
            try:
                return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                if time.monotonic() > end:
                    raise


def _make_folder(folder: Path) -> None:
    """Make the folder of the locks; whoever makes the store's folder for it leaves word that it may be removed."""
    try:
        folder.parent.mkdir(parents=True)
    except FileExistsError:
        folder.mkdir(exist_ok=True)
        return
    folder.mkdir(exist_ok=True)
    (folder / _NEW).touch()


def _rivals(folder: Path, shard: tuple[int, int]) -> list[str]:
    """Describe the live runs that have sources of this shard; the locks of dead ones are removed."""
    rivals = []
    for path in sorted(folder.iterdir()):
        found = _LOCK.fullmatch(path.name)
        if found is None:
            continue
        if not _is_held(path):
            path.unlink(missing_ok=True)
        elif _overlap(shard, (int(found[1]), int(found[2]))):
            rivals.append("the whole store" if found[2] == "1" else f"shard {found[1]}/{found[2]}")
    return rivals


def _is_held(path: Path) -> bool:
    handle = os.open(path, os.O_RDWR)
    try:
        return try_lock(handle, EXCLUSIVE) == "alive"
    finally:
        os.close(handle)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Some numbers leave both remainders just where these are equal by the greatest common divisor."""
    return (one[0] - other[0]) % math.gcd(one[1], other[1]) == 0


def _tidy(root: Path, own: Path) -> None:
    folder = root / RUNS
    with _starting(root):
        own.unlink(missing_ok=True)
        found = {path.name for path in folder.iterdir()}
        if found - {_STARTING, _NEW}:
            return
        for name in found:
            (folder / name).unlink()
        folder.rmdir()
        if _NEW in found and not any(root.iterdir()):
            root.rmdir()
