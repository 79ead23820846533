"""Data sets of Hugging Face `datasets`: a folder of `save_to_disk`, or `hf://owner/name[@revision]` from the Hub.

Both are files of Arrow, see `albu_diffusemix.datasets.tables`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from albu_diffusemix.datasets.rows import require

__all__ = ["HUB", "hub_files", "is_saved", "saved_files"]

HUB = "hf://"


def is_saved(folder: Path) -> bool:
    """Return whether a folder is one of `save_to_disk`."""
    one = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return one or (folder / "dataset_dict.json").is_file()


def saved_files(folder: str, split: str | None) -> list[str]:
    """Return the files of a split in a folder of `save_to_disk`, in order.

    Raises:
        ValueError: `datasets` is not installed, the folder is damaged, or there is no such split, or several and none
            is named.

    """
    return _files("load_from_disk", folder, folder, split, "save the data set again")


def hub_files(data: str, split: str | None) -> list[str]:
    """Download a split from the Hub, or find it among what was downloaded before, and return its files, in order.

    Raises:
        ValueError: `datasets` is not installed, the data set cannot be loaded, or there is no such split, or several
            and none is named.

    """
    name, _, revision = data.removeprefix(HUB).partition("@")
    if name.count("/") != 1 or not all(name.split("/")):
        raise ValueError(f"{data!r} is not a data set of the Hub: give hf://owner/name or hf://owner/name@revision")
    advice = "check its name, the revision and the network"
    return _files("load_dataset", data, name, split, advice, revision=revision or None)


def _files(function: str, where: str, name: str, split: str | None, advice: str, **options: Any) -> list[str]:
    library = require("datasets", "datasets", repr(where))
    try:
        loaded = getattr(library, function)(name, **options)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{where!r} cannot be loaded: {reason}; {advice}") from error
    splits = loaded if isinstance(loaded, Mapping) else {str(loaded.split): loaded}
    if split is None and len(splits) == 1:
        [split] = splits
    if split not in splits:
        wrong = f"has no split {split!r}" if split is not None else "has several splits"
        raise ValueError(f"{where!r} {wrong}: give one of {', '.join(splits)} as --split")
    return [entry["filename"] for entry in splits[split].cache_files]
