"""Data sets that the library `datasets` of Hugging Face reads.

They are a folder of `save_to_disk`, Parquet files, or `hf://owner/name[@revision]` from the Hub. An image is in a
column of type `Image`, or of the bytes of image files, and is read as files are. The class is in a column of type
`ClassLabel`, else in one called `label`. The key is the row's number in the whole split, unless a column is named.

Of Parquet files and of the Hub the library keeps a copy in its cache. It is mapped, so that nothing is held in memory.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets.columns import Columns, choose_column
from albu_diffusemix.datasets.items import READERS, SourceFile, read_extras, refuse_missing_row, row_key
from albu_diffusemix.datasets.opened import find_files, keep_open, version_of
from albu_diffusemix.images import read_encoded, read_image
from albu_diffusemix.text import in_one_line

__all__ = ["HUB", "PARQUET", "is_saved", "rows_of_table"]

HUB, PARQUET = "hf://", ".parquet"

_BYTES = ("binary", "large_binary")
_AT_ONCE = 1000


def is_saved(folder: Path) -> bool:
    """Return whether a folder is one of `save_to_disk`."""
    one = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return one or (folder / "dataset_dict.json").is_file()


def rows_of_table(data: str, columns: Columns) -> list[SourceFile]:
    """List the rows of a split.

    Raises:
        OSError: The files cannot be read.
        ValueError: The library is not installed, the data set cannot be loaded, a column or split is not there or not
            the only one, or a row has no key.

    """
    columns.refuse_all_but("key", "label", "image", *(() if _is_parquet(data) else ("split",)), where=repr(data))
    splits = keep_open(_load, data, version=_version(data))
    split = columns.split or ("" if len(splits) > 1 else next(iter(splits)))
    if split not in splits:
        wrong = f"has no split {split!r}" if split else "has several splits"
        raise ValueError(f"{data!r} {wrong}: give one of {', '.join(splits)} as --split")
    rows = splits[split]
    features = rows.features
    usual = [name for name, feature in features.items() if hasattr(feature, "int2str")]
    usual = usual or [name for name in features if name == "label"]
    label = choose_column("label", columns.label, features, repr(data)) if columns.label else (usual or [None])[0]
    key = columns.key and choose_column("key", columns.key, features, repr(data))
    image = _choose_image(data, {name: features[name] for name in features if name != label}, columns.image)
    extras = [name for name in ("prompts", "mask", "boxes") if name in features and not _is_image(features[name])]
    found = []
    for number, row in enumerate(_in_rows(rows, [name for name in (key, label, *extras) if name])):
        where = f"row {number} of {data!r}"
        if key and row[key] in (None, ""):
            raise ValueError(f"{where} has no key in column {key!r}: fill it, or take another")
        name = str(row[key]) if key else row_key(number)
        known = read_extras({name: row[name] for name in extras}, where)
        class_name = _class_name(row[label], features[label]) if label else None
        found.append(SourceFile(data, name, class_name, number, 0, f"{split}/{image}", **known, kind="table"))
    if not found:
        raise ValueError(f"{data!r} holds no rows: give a table with images")
    return found


def _read(source: SourceFile) -> NDArray[np.uint8]:
    split, _, column = source.column.partition("/")
    rows = keep_open(_open, source.path, split, column, version=_version(source.path))
    number = refuse_missing_row(source, len(rows))
    value = rows[number][column]
    data, beside = (value["bytes"], value.get("path")) if isinstance(value, dict) else (value, None)
    if data is not None:
        return read_encoded(data, f"row {number} of {source.path}")
    if not beside:
        raise ValueError(f"row {number} of {source.path!r} has no image in column {column!r}")
    return read_image(beside)


READERS["table"] = _read


def _open(data: str, split: str, column: str) -> Any:
    """Open one column of a split, with its images as the bytes of files."""
    rows = keep_open(_load, data, version=_version(data))[split].select_columns([column])
    feature = rows.features[column]
    return rows.cast_column(column, type(feature)(decode=False)) if _is_image(feature) else rows


def _version(data: str) -> object:
    return version_of(data) if Path(data).exists() else None


def _load(data: str) -> Mapping[str, Any]:
    """Load a data set, and return its splits."""
    library = _library(data)
    name, _, revision = data.removeprefix(HUB).partition("@")
    if data.startswith(HUB) and (name.count("/") != 1 or not all(name.split("/"))):
        raise ValueError(f"{data!r} is not a data set of the Hub: give hf://owner/name or hf://owner/name@revision")
    files = find_files(data) if _is_parquet(data) else []
    try:
        if data.startswith(HUB):
            loaded = library.load_dataset(name, revision=revision or None)
        else:
            loaded = library.Dataset.from_parquet(files, batch_size=_AT_ONCE) if files else library.load_from_disk(data)
    except Exception as error:
        cause = error.__cause__ or error
        advice = "check its name, the revision and the network" if data.startswith(HUB) else "copy or write it again"
        reason = f"{type(cause).__name__}: {in_one_line(cause)}"
        raise ValueError(f"{data!r} cannot be loaded: {reason}; {advice}") from error
    return loaded if isinstance(loaded, Mapping) else {str(loaded.split): loaded}


def _library(data: str) -> Any:
    try:
        return import_module("datasets")
    except ImportError as error:
        raise ValueError(f"{data!r} needs datasets: pip install datasets pyarrow") from error


def _choose_image(data: str, features: Mapping[str, Any], asked_for: str | None) -> str:
    images = [name for name, feature in features.items() if _is_image(feature)]
    encoded = [name for name, feature in features.items() if _holds_bytes(feature)]
    image = choose_column("image", asked_for, features, repr(data), images or encoded)
    if image not in (*images, *encoded):
        kind = getattr(features[image], "dtype", "something else")
        raise ValueError(f"column {image!r} of {data!r} is of type {kind}: give one with the bytes of image files")
    return image


def _is_image(feature: Any) -> bool:
    return type(feature).__name__ == "Image"  # not by its class: the library need not be there for all data sets


def _holds_bytes(feature: Any) -> bool:
    return "bytes" in feature if isinstance(feature, dict) else getattr(feature, "dtype", "") in _BYTES


def _in_rows(rows: Any, names: list[str]) -> Iterator[dict[str, Any]]:
    if not names:
        yield from ({} for _ in range(len(rows)))
        return
    for batch in rows.select_columns(names).iter(_AT_ONCE):
        yield from (dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True))


def _class_name(label: Any, feature: Any) -> str | None:
    names = getattr(feature, "names", None)
    if label is None or (names and label == -1):  # what Hugging Face has where the class is not known
        return None
    return str(names[label] if names else label)


def _is_parquet(data: str) -> bool:
    return data.lower().endswith(PARQUET)
