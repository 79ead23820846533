"""Exports for Kaggle, which unpacks .tar files on upload: a store whose parts have another ending, read as it is."""

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.exchange.exporter import prepare
from albu_diffusemix.store import Store
from albu_diffusemix.store.files import explained
from albu_diffusemix.store.part_files import RENAMED, SEALED
from albu_diffusemix.store.shared_files import copies_without_rejected, look_through, shared_files

__all__ = ["export_kaggle"]


def export_kaggle(store: Store, output: Path, progress: Callable[[], object]) -> int:
    """Copy a store, with `.part` in place of `.tar` at the end of its parts' names; store.json comes last.

    Every command and the backend `precomputed` read the copy as they read the store. Left out is what is rejected, what
    is not part of a sealed store, and the picture in its README.md, which shows sources.

    Args:
        store: What to export.
        output: A new or an empty folder.
        progress: Called after each counterpart.

    Returns:
        How many were written.

    Raises:
        StoreError: The folder is not empty or cannot be written, the store is damaged or still being written.

    """
    prepare(store, output)
    contents = look_through(store)
    with tempfile.TemporaryDirectory() as folder:
        copies = copies_without_rejected(store, contents, Path(folder) / "store")
        for name, file in {**shared_files(store, contents), **copies}.items():
            part = Path(name).suffix == SEALED
            copy = (output / name).with_suffix(RENAMED) if part else output / name
            with explained("write", copy), file.open("rb") as source:
                copy.parent.mkdir(exist_ok=True)
                write_atomically(copy, partial(shutil.copyfileobj, source))
            for _ in range(contents.images[copy.stem] if part else 0):
                progress()
    return sum(contents.images.values())
