"""Files that hold many images each, as a data set: arrays, tables and tars, alone or by a pattern."""

from pathlib import Path

from albu_diffusemix.datasets.arrays import ARRAY_SUFFIXES, array_column, array_rows
from albu_diffusemix.datasets.hugging_face import hub_files, saved_files
from albu_diffusemix.datasets.items import SourceFile
from albu_diffusemix.datasets.rows import Columns, Row
from albu_diffusemix.datasets.tables import image_column, table_rows
from albu_diffusemix.datasets.tars import TAR_SUFFIX, expand_braces, tar_rows

__all__ = ["files_from_hub", "files_in_containers", "files_saved_to_disk", "in_container"]


def files_in_containers(data: str, columns: Columns) -> list[SourceFile]:
    """List the images of a file, or of those that a pattern such as `train-{00..09}.tar` stands for.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is not there or damaged, or a column is not there, or there are no images.

    """
    files = [data] if Path(data).exists() else expand_braces(data)
    missing = [file for file in files if not Path(file).exists()]
    if missing:
        raise ValueError(f"there is no {missing[0]!r}: check the path")
    suffix = Path(data).suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        return _in_arrays(data, files, columns)
    if suffix == TAR_SUFFIX:
        return _in_tars(data, files, columns)
    columns.refuse_all_but("key", "label", "image", where=repr(data))
    return _in_tables(data, files, columns)


def files_saved_to_disk(folder: str, columns: Columns) -> list[SourceFile]:
    """List the images of a folder of Hugging Face's `save_to_disk`; raises as `files_in_containers`."""
    columns.refuse_all_but("key", "label", "image", "split", where=repr(folder))
    return _in_tables(folder, saved_files(folder, columns.split), columns)


def files_from_hub(data: str, columns: Columns) -> list[SourceFile]:
    """List the images of `hf://owner/name[@revision]`; raises as `files_in_containers`, or if it cannot be loaded."""
    columns.refuse_all_but("key", "label", "image", "split", where=repr(data))
    return _in_tables(data, hub_files(data, columns.split), columns)


def in_container(path: str, row: Row, column: str = "") -> SourceFile:
    """Return the source that a row of a file is."""
    return SourceFile(path, row.key, row.label, row.position, row.size, column)


def _in_arrays(data: str, files: list[str], columns: Columns) -> list[SourceFile]:
    columns.refuse_all_but("label", "image", where=repr(data))
    if len(files) > 1:
        raise ValueError(f"{data!r} stands for {len(files)} files: give one file of arrays")
    column = array_column(files[0], columns)
    return [in_container(files[0], row, column) for row in array_rows(files[0], column, columns)]


def _in_tars(data: str, files: list[str], columns: Columns) -> list[SourceFile]:
    columns.refuse_all_but("label", "image", where=repr(data))
    samples = [in_container(file, row) for file in files for row in tar_rows(file, columns)]
    if not samples:
        raise ValueError(f"{data!r} holds no samples: give tars with images")
    return samples


def _in_tables(data: str, files: list[str], columns: Columns) -> list[SourceFile]:
    rows: list[SourceFile] = []
    for file in files:
        column = image_column(file, columns)
        rows.extend(in_container(file, row, column) for row in table_rows(file, len(rows), columns))
    if not rows:
        raise ValueError(f"{data!r} holds no rows: give a table with images")
    return rows
