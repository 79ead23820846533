"""Tables of Arrow and Parquet as a data set, among them what `datasets` of Hugging Face writes and loads.

A table has a column of image files as bytes, alone or as the "bytes" beside a "path" that Hugging Face stores. Column
and classes are found by the types that Hugging Face writes into the file, else by the column's type and the name
"label". The key is a row's number in all files together, unless a column is named.
"""

import json
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets.rows import Columns, Row, choose_column, keep_open, refuse_missing_row, require, row_key
from albu_diffusemix.images import read_encoded, read_image
from albu_diffusemix.text import in_one_line

__all__ = ["TABLE_SUFFIXES", "image_column", "read_table_image", "table_rows"]

TABLE_SUFFIXES = (".arrow", ".parquet")

_GROUPS_HELD = 2
_FILE = b"ARROW1"  # how the other of Arrow's two formats begins


class _Names(NamedTuple):
    """The columns of a table that are wanted; None where there is no such."""

    image: str
    label: str | None
    classes: Sequence[str] | None


def image_column(path: str, columns: Columns) -> str:
    """Return the column with the images.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, or has no such column, or several.

    """
    return _names(path, columns).image


def table_rows(path: str, first: int, columns: Columns) -> Iterator[Row]:
    """List the rows of a file.

    Args:
        path: The file.
        first: Rows of the data set in files before this one.
        columns: `key` and `label` are columns.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, or a column is not there, or a row has no key.

    """
    names = _names(path, columns)
    table = keep_open(_open, path)
    wanted = [name for name in (columns.key, names.label) if name is not None]
    rows = table.read_columns(wanted) if wanted else ({} for _ in range(table.count))
    for number, row in enumerate(rows):
        key = row[columns.key] if columns.key is not None else row_key(first + number)
        if key is None or key == "":
            raise ValueError(f"row {number} of {path!r} has no key in column {columns.key!r}: fill it, or take another")
        label = row[names.label] if names.label is not None else None
        yield Row(str(key), _class_name(label, names.classes), number)


def read_table_image(path: str, column: str, number: int) -> NDArray[np.uint8]:
    """Return the image of a row, (H, W, 3) uint8 RGB, read as image files are.

    Raises:
        OSError: The file cannot be read.
        ValueError: There is no image, or it cannot be read.

    """
    table = keep_open(_open, path)
    refuse_missing_row(path, number, table.count)
    value = table.value(column, number)
    data, beside = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    if data is not None:
        return read_encoded(data, f"row {number} of {path}")
    if not beside:
        raise ValueError(f"row {number} of {path!r} has no image in column {column!r}")
    return read_image(Path(beside))


def _names(path: str, columns: Columns) -> _Names:
    schema = keep_open(_open, path).schema
    features = _features(schema)
    names = [name for name in schema.names if name != columns.label]
    images = [name for name in names if features.get(name, {}).get("_type") == "Image"]
    images = images or [field.name for field in schema if _may_hold_images(field.type)]
    image = choose_column(columns.image, images, schema.names, "--image-column", repr(path))
    if not _may_hold_images(schema.field(image).type):
        kind = schema.field(image).type
        raise ValueError(f"column {image!r} of {path!r} is of type {kind}: give one with the bytes of image files")
    for name, flag in ((columns.key, "--key-column"), (columns.label, "--label-column")):
        if name is not None:
            choose_column(name, (), schema.names, flag, repr(path))
    usual = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    label = columns.label or (usual or [name for name in schema.names if name == "label"] or [None])[0]
    return _Names(image, label, features.get(label, {}).get("names") if label else None)


def _features(schema: Any) -> dict[str, Any]:
    """Return what Hugging Face says of the columns; empty where the file is not from there."""
    try:
        said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: feature for name, feature in said.items() if isinstance(feature, dict)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _may_hold_images(kind: Any) -> bool:
    types = _arrow("types")
    if types.is_struct(kind):
        return any(kind.field(place).name == "bytes" for place in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _class_name(label: Any, names: Sequence[str] | None) -> str | None:
    if label is None or (names and label == -1):  # what Hugging Face has where the class is not known
        return None
    known = names is not None and isinstance(label, int) and 0 <= label < len(names)
    return str(names[label] if names is not None and known else label)


def _open(path: str) -> "_ArrowFile | _ParquetFile":
    try:
        return _ParquetFile(path) if path.lower().endswith(".parquet") else _ArrowFile(path)
    except _arrow("lib").ArrowException as error:
        reason = in_one_line(error)
        raise ValueError(f"{path!r} is damaged, or not a table: {reason}; copy or write it again") from error


class _ArrowFile:
    """A file of record batches, such as `datasets` keeps them, mapped."""

    def __init__(self, path: str) -> None:
        mapped, ipc = _arrow("lib").memory_map(path), _arrow("ipc")
        stream = mapped.read(len(_FILE)) != _FILE
        mapped.seek(0)
        self._table = (ipc.open_stream if stream else ipc.open_file)(mapped).read_all()
        self.schema = self._table.schema
        self.count = self._table.num_rows

    def read_columns(self, names: list[str]) -> Iterator[dict[str, Any]]:
        return _in_rows(self._table.select(names).to_batches())

    def value(self, column: str, number: int) -> Any:
        return self._table.column(column)[number].as_py()


class _ParquetFile:
    """A Parquet file; the last groups of rows that images were read from stay in memory."""

    def __init__(self, path: str) -> None:
        self._file = _arrow("parquet").ParquetFile(path)
        self._turn = threading.Lock()
        self._held: dict[tuple[str, int], Any] = {}
        self.schema = self._file.schema_arrow
        self.count = self._file.metadata.num_rows
        groups = range(self._file.num_row_groups)
        self._starts = list(accumulate((self._file.metadata.row_group(group).num_rows for group in groups), initial=0))

    def read_columns(self, names: list[str]) -> Iterator[dict[str, Any]]:
        return _in_rows(self._file.iter_batches(columns=names))

    def value(self, column: str, number: int) -> Any:
        group = bisect_right(self._starts, number) - 1
        with self._turn:
            if (column, group) not in self._held:
                if len(self._held) == _GROUPS_HELD:
                    del self._held[next(iter(self._held))]
                self._held[column, group] = self._file.read_row_group(group, columns=[column]).column(column)
            return self._held[column, group][number - self._starts[group]].as_py()


def _in_rows(batches: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from batch.to_pylist()


def _arrow(module: str) -> Any:
    return require(f"pyarrow.{module}", "pyarrow", "a data set in Arrow or Parquet files")
