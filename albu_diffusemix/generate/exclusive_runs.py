"""Keeping other processes from writing to a store while one of them works on it."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from albu_diffusemix.store.open_part import writer_of
from albu_diffusemix.store.part_files import PARTS, list_parts
from albu_diffusemix.store.run_lock import hold_run
from albu_diffusemix.store.store_json import STORE_JSON

__all__ = ["exclusive_run", "refuse_other_writers"]

_GRACE = 2.0  # seconds for the workers of a run that was killed to let go of their parts
_PAUSE = 0.05


@contextlib.contextmanager
def exclusive_run(store_path: Path, shard: tuple[int, int], advice: str) -> Iterator[None]:
    """Keep other runs out of a shard of the store, or out of all of it, within the block.

    Args:
        store_path: Folder of the store, which need not be there yet.
        shard: `(i, n)`; (0, 1) is the whole store.
        advice: What to do where another process works there.

    Raises:
        ValueError: Another process works there; one that was just killed has two seconds to be gone.

    """
    with hold_run(store_path, shard, advice, _GRACE):
        if shard[1] == 1 and (store_path / STORE_JSON).exists():
            refuse_other_writers(store_path, advice)
        yield


def refuse_other_writers(store_path: Path, advice: str) -> None:
    """Raise ValueError if a live process writes to the store; one that was just killed has two seconds to be gone."""
    folder = store_path / PARTS
    end = time.monotonic() + _GRACE
    while parts := [part for part in list_parts(folder).open if writer_of(folder, part) == "alive"]:
        if time.monotonic() > end:
            raise ValueError(f"{store_path} is being written by a live process (part {parts[0]}): {advice}")
        time.sleep(_PAUSE)
