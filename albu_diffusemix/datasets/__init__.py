"""What counterparts are made from and compared with: one function opens a data set, whatever it consists of."""

import unicodedata
from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias, TypeVar

from albu_diffusemix.datasets.arrays import ARRAY_SUFFIXES, rows_of_arrays
from albu_diffusemix.datasets.coco import coco_categories, files_in_coco, is_coco
from albu_diffusemix.datasets.columns import NO_COLUMNS, Columns
from albu_diffusemix.datasets.folder import files_in_folder
from albu_diffusemix.datasets.hugging_face import HUB, PARQUET, is_saved, rows_of_table
from albu_diffusemix.datasets.items import Box, Item, SourceFile, sort_by_key
from albu_diffusemix.datasets.lists import LIST_SUFFIXES, files_in_manifest, files_in_table
from albu_diffusemix.datasets.objects import ObjectDataset, import_dataset
from albu_diffusemix.datasets.selection import Selection
from albu_diffusemix.datasets.tars import TAR_SUFFIX, samples_in_tars
from albu_diffusemix.datasets.yolo import files_in_yolo, is_yolo, yolo_names

__all__ = [
    "NO_COLUMNS",
    "Box",
    "Columns",
    "Dataset",
    "Item",
    "Selection",
    "SourceFile",
    "box_classes",
    "find_sources",
    "is_data",
    "open_data",
    "spread",
]

Dataset: TypeAlias = list[SourceFile] | ObjectDataset

Element = TypeVar("Element")


def open_data(
    data: str, store_path: Path | None = None, columns: Columns = NO_COLUMNS, selection: Selection | None = None
) -> Dataset:
    """Open what the command line calls DATA; no image is read yet.

    Args:
        data: A folder, searched with its sub-folders; a manifest, arrays, tars, alone or by a pattern, or a set of YOLO
            or COCO, see the modules of `albu_diffusemix.datasets`; or `module:attribute`, see
            `albu_diffusemix.datasets.objects`.
        store_path: A store inside the folder is not part of the data set.
        columns: Where the data set has what is wanted of it.
        selection: Is told the endings of the files that are not images; what it excludes is for the caller to leave
            out, by its `take`.

    Returns:
        Items to iterate over; files in the order of their keys.

    Raises:
        OSError: The data cannot be read.
        ValueError: There is no such data, it holds no images, or something in it is wrong, a column that is not there
            among others.

    """
    path = Path(data)
    suffix = path.suffix.lower()
    if data.startswith(HUB) or is_saved(path) or (suffix == PARQUET and not path.is_dir()):
        return rows_of_table(data, columns)
    if path.exists() and (is_yolo(path) or is_coco(path)):
        return files_in_yolo(path, columns) if is_yolo(path) else files_in_coco(path, columns)
    if path.is_dir():
        columns.refuse_all_but(where=f"the folder {data!r}")
        return sort_by_key(files_in_folder(path, store_path, selection.endings if selection else None))
    if suffix in (*ARRAY_SUFFIXES, TAR_SUFFIX):
        return samples_in_tars(data, columns) if suffix == TAR_SUFFIX else rows_of_arrays(data, columns)
    if path.exists():
        return sort_by_key(_files_in_list(path, columns))
    if all(data.partition(":")):
        columns.refuse_all_but(where=f"the data set {data!r} of Python")
        return import_dataset(data)
    raise ValueError(
        f"there is no {data!r}: check the path of the folder or manifest; "
        "a data set in Python is given as 'module:attribute', such as 'my_project.data:train'"
    )


def is_data(data: str) -> bool:
    """Return whether DATA is something else than an image file: what holds many images, or is no file."""
    path = Path(data)
    holds_many = (*ARRAY_SUFFIXES, *LIST_SUFFIXES, PARQUET, TAR_SUFFIX)
    if path.is_dir() or path.suffix.lower() in holds_many or is_yolo(path) or is_coco(path):
        return True
    return ":" in data and not path.exists()


def find_sources(
    data: str | PathLike[str],
    store_path: Path,
    columns: Columns = NO_COLUMNS,
    selection: Selection | None = None,
) -> list[SourceFile]:
    """Return what a store can have counterparts of, in the order of their keys, or of the file that they are in.

    Args:
        data: As for `open_data`. Whether the images can be read shows when they are.
        store_path: A store inside the folder is not part of the data set.
        columns: As for `open_data`.
        selection: What is to be left out; is told what was passed over, files whose names cannot be keys among them.

    Raises:
        OSError: The data cannot be read.
        ValueError: As `open_data`; or two sources have the same key, or nothing is left.

    """
    selection, data = selection or Selection(), fspath(data)
    files = open_data(data, store_path, columns, selection)
    listed = files.rows() if isinstance(files, ObjectDataset) else files
    sources = sort_by_key(
        file._replace(label=_composed(file.label)) for file in selection.with_valid_keys(selection.take(listed))
    )
    if sources:
        return sources
    if selection.refused:
        raise ValueError(f"{data!r} has no source: {selection.refusal()}")
    raise ValueError(f"--exclude leaves out all {selection.excluded:,} images of {data!r}: give other patterns")


def box_classes(data: Path, sources: Iterable[SourceFile], *, first: int = 0) -> list[tuple[int, str]]:
    """Return the classes of the boxes in a data set, with the numbers that YOLO or COCO gave them, else from `first`.

    Raises:
        OSError: The data cannot be read.
        ValueError: As `open_data`.

    """
    if is_coco(data):
        return sorted(coco_categories(data).items())
    labels = {box.label for source in sources for box in source.boxes or ()}
    return list(enumerate(yolo_names(data) if is_yolo(data) else sorted(labels), first))


def spread(elements: Sequence[Element], most: int) -> list[Element]:
    """Choose at most so many elements, evenly, so that a data set sorted by class shows several classes."""
    if len(elements) <= most:
        return list(elements)
    return [elements[place * len(elements) // most] for place in range(most)]


def _files_in_list(path: Path, columns: Columns) -> list[SourceFile]:
    if path.suffix.lower() == ".csv" and columns != NO_COLUMNS:
        return files_in_table(path, columns)
    columns.refuse_all_but(where=f"the manifest {str(path)!r}")
    return files_in_manifest(path)


def _composed(label: str | None) -> str | None:
    """Return a label in Unicode's composed form, as keys are, so that it equals what a user writes."""
    return label and unicodedata.normalize("NFC", label)
