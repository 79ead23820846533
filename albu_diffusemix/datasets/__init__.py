"""What counterparts are made from and compared with: a folder of images, a manifest, or a data set in Python."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from albu_diffusemix.datasets.folder import files_in_folder
from albu_diffusemix.datasets.items import Item, SourceFile, sort_by_key
from albu_diffusemix.datasets.manifest import files_in_manifest
from albu_diffusemix.datasets.objects import ObjectDataset, import_dataset
from albu_diffusemix.keys import normalise_key

__all__ = ["Dataset", "Item", "SourceFile", "find_sources", "open_data", "spread"]

Dataset: TypeAlias = list[SourceFile] | ObjectDataset

Element = TypeVar("Element")


def open_data(data: str, store_path: Path | None = None) -> Dataset:
    """Open what the command line calls DATA; no image is read yet.

    Args:
        data: A folder, searched with its sub-folders; a manifest, see `albu_diffusemix.datasets.manifest`; or
            `module:attribute`, see `albu_diffusemix.datasets.objects`.
        store_path: A store inside the folder is not part of the data set.

    Returns:
        Items to iterate over; files in the order of their keys.

    Raises:
        OSError: The folder or manifest cannot be read.
        ValueError: There is no such folder, manifest or module, it holds no images, or a line of the manifest is wrong.

    """
    path = Path(data)
    if path.is_dir():
        return sort_by_key(files_in_folder(path, store_path))
    if path.exists():
        return sort_by_key(files_in_manifest(path))
    module, colon, attribute = data.partition(":")
    if module and colon and attribute:
        return import_dataset(module, attribute)
    raise ValueError(
        f"there is no {data!r}: check the path of the folder or manifest; "
        "a data set in Python is given as 'module:attribute', such as 'my_project.data:train'"
    )


def find_sources(data: Path, store_path: Path) -> list[SourceFile]:
    """Return the files that a store can have counterparts of, in the order of their keys.

    Args:
        data: A folder or a manifest, as for `open_data`. Whether the files can be read shows when they are.
        store_path: A store inside the folder is not part of the data set.

    Raises:
        OSError: The folder or manifest cannot be read.
        ValueError: As `open_data`; or a key is not valid in a store, or two sources have the same key.

    """
    files = open_data(str(data), store_path)
    if isinstance(files, ObjectDataset):
        raise ValueError(f"{str(data)!r} is a data set in Python, but files are needed: give a folder or a manifest")  # noqa: TRY004  bad input
    return sort_by_key(file._replace(key=normalise_key(file.key), label=_composed(file.label)) for file in files)


def _composed(label: str | None) -> str | None:
    """Return a label in Unicode's composed form, as keys are, so that it equals what a user writes."""
    return label and unicodedata.normalize("NFC", label)


def spread(elements: Sequence[Element], most: int) -> list[Element]:
    """Choose at most so many elements, evenly, so that a data set sorted by class shows several classes."""
    if len(elements) <= most:
        return list(elements)
    return [elements[place * len(elements) // most] for place in range(most)]
