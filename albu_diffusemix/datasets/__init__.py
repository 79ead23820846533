"""What counterparts are made from and compared with: a folder of images, a manifest, or a data set in Python."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from albu_diffusemix.datasets.folder import files_in_folder
from albu_diffusemix.datasets.items import Item, SourceFile, sort_by_key
from albu_diffusemix.datasets.manifest import files_in_manifest
from albu_diffusemix.datasets.objects import ObjectDataset, import_dataset
from albu_diffusemix.datasets.selection import Selection

__all__ = ["Dataset", "Item", "Selection", "SourceFile", "find_sources", "open_data", "spread"]

Dataset: TypeAlias = list[SourceFile] | ObjectDataset

Element = TypeVar("Element")


def open_data(data: str, store_path: Path | None = None, selection: Selection | None = None) -> Dataset:
    """Open what the command line calls DATA; no image is read yet.

    Args:
        data: A folder, searched with its sub-folders; a manifest, see `albu_diffusemix.datasets.manifest`; or
            `module:attribute`, see `albu_diffusemix.datasets.objects`.
        store_path: A store inside the folder is not part of the data set.
        selection: Is told the endings of the files that are not images; what it excludes is for the caller to leave
            out, by its `take`.

    Returns:
        Items to iterate over; files in the order of their keys.

    Raises:
        OSError: The folder or manifest cannot be read.
        ValueError: There is no such folder, manifest or module, it holds no images, or a line of the manifest is wrong.

    """
    path = Path(data)
    if path.is_dir():
        return sort_by_key(files_in_folder(path, store_path, selection.endings if selection else None))
    if path.exists():
        return sort_by_key(files_in_manifest(path))
    module, colon, attribute = data.partition(":")
    if module and colon and attribute:
        return import_dataset(module, attribute)
    raise ValueError(
        f"there is no {data!r}: check the path of the folder or manifest; "
        "a data set in Python is given as 'module:attribute', such as 'my_project.data:train'"
    )


def find_sources(data: Path, store_path: Path, selection: Selection | None = None) -> list[SourceFile]:
    """Return the files that a store can have counterparts of, in the order of their keys.

    Args:
        data: A folder or a manifest, as for `open_data`. Whether the files can be read shows when they are.
        store_path: A store inside the folder is not part of the data set.
        selection: What is to be left out; is told what was passed over, files whose names cannot be keys among them.

    Raises:
        OSError: The folder or manifest cannot be read.
        ValueError: As `open_data`; or two sources have the same key, or nothing is left.

    """
    selection = selection or Selection()
    files = open_data(str(data), store_path, selection)
    if isinstance(files, ObjectDataset):
        raise ValueError(f"{str(data)!r} is a data set in Python, but files are needed: give a folder or a manifest")  # noqa: TRY004  bad input
    sources = sort_by_key(
        file._replace(label=_composed(file.label)) for file in selection.with_valid_keys(selection.take(files))
    )
    if sources:
        return sources
    if selection.refused:
        raise ValueError(f"{str(data)!r} has no source: {selection.refusal()}")
    raise ValueError(f"--exclude leaves out all {selection.excluded:,} images of {str(data)!r}: give other patterns")


def _composed(label: str | None) -> str | None:
    """Return a label in Unicode's composed form, as keys are, so that it equals what a user writes."""
    return label and unicodedata.normalize("NFC", label)


def spread(elements: Sequence[Element], most: int) -> list[Element]:
    """Choose at most so many elements, evenly, so that a data set sorted by class shows several classes."""
    if len(elements) <= most:
        return list(elements)
    return [elements[place * len(elements) // most] for place in range(most)]
