"""Exports: a store as a folder of images, or as Parquet files that Hugging Face `datasets` opens.

Counterparts that are rejected are left out.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.generate.encoding import encode
from albu_diffusemix.generate.exclusive_runs import refuse_other_writers
from albu_diffusemix.store import Record, Store
from albu_diffusemix.store.files import StoreError, explained
from albu_diffusemix.store.raw_images import ENCODING as RAW
from albu_diffusemix.store.raw_images import decode_raw

__all__ = ["IMAGE", "RECORDS", "ParquetRows", "export_folder", "export_parquet", "image_file", "prepare"]

RECORDS = "counterparts.jsonl"
"""The table of an exported folder; written last, so that it stands for a complete export."""

_ROWS_IN_GROUP = 256
_FILE_BYTES = 1 << 28

IMAGE = "image"
"""The type of a column of images; others are named as pyarrow and Hugging Face do."""


class ParquetRows:
    """What the rows of an export to Parquet hold: an image, and the fields of its record.

    Args:
        store: What is exported.

    """

    columns: Mapping[str, str] = {
        "image": IMAGE,
        "key": "string",
        "variant": "string",
        "prompt": "string",
        "seed": "uint32",
        "height": "uint32",
        "width": "uint32",
        "pixels": "string",
    }
    """Their names and types."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def row(self, record: Record) -> dict[str, Any]:
        """Return the values of a counterpart, by column."""
        data, ending = image_file(self._store, record)
        image = {"bytes": data, "path": f"{record.key}/{record.variant}.{ending}"}
        return {"image": image, **_fields(record)}


def export_folder(store: Store, output: Path, progress: Callable[[], object]) -> int:
    """Write each counterpart as a file `<key>/<variant>.<ending>`, byte for byte, and a table of them.

    Raw images are written as PNG, which loses nothing. The table, `counterparts.jsonl`, has an object for each file:
    key, variant, prompt, seed, height, width, pixels and file, its path. `albu-diffusemix import` reads such a folder
    back.

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
    count = 0

    def write_all(table: BinaryIO) -> None:
        nonlocal count
        for record in store.kept_records():
            data, ending = image_file(store, record)
            name = f"{record.key}/{record.variant}.{ending}"
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            with (output / name).open("xb") as file:  # never through a link that somebody puts there
                file.write(data)
            table.write((json.dumps({**_fields(record), "file": name}, ensure_ascii=False) + "\n").encode())
            count += 1
            progress()

    with explained("write in", output):
        write_atomically(output / RECORDS, write_all)
    return count


def export_parquet(store: Store, output: Path, progress: Callable[[], object], rows: ParquetRows | None = None) -> int:
    """Write Parquet files of about 256 MiB, which `datasets.load_dataset` opens with the images decoded.

    Columns: image (a struct of `bytes`, the image file as it is, or a raw image as PNG, and `path`), key, variant,
    prompt, seed, height, width and pixels, as in the records of a store.

    Args:
        store: What to export.
        output: A new or an empty folder.
        progress: Called after each counterpart.
        rows: What they hold, where that is something else.

    Returns:
        How many were written.

    Raises:
        StoreError: As `export_folder`, or pyarrow is not installed.

    """
    try:
        import pyarrow as pa  # noqa: PLC0415  not needed by anything else
        from pyarrow import parquet  # noqa: PLC0415  as above
    except ImportError as error:
        raise StoreError("an export to Parquet needs pyarrow: pip install pyarrow") from error
    prepare(store, output)
    rows = rows or ParquetRows(store)
    schema = _schema(pa, rows.columns)
    groups = _groups(store, rows, progress)
    count = 0
    for number in itertools.count():
        first = next(groups, None)
        if first is None:
            return count

        def write(file: BinaryIO, records: list[dict[str, Any]] = first) -> None:
            nonlocal count
            with parquet.ParquetWriter(file, schema) as writer:
                for group in itertools.chain([records], groups):
                    writer.write_table(pa.Table.from_pylist(group, schema))
                    count += len(group)
                    if file.tell() >= _FILE_BYTES:
                        return

        with explained("write in", output):
            write_atomically(output / f"counterparts-{number:05d}.parquet", write)
    return count


def prepare(store: Store, output: Path) -> None:
    """Make the folder of an export.

    Raises:
        StoreError: It is not empty or cannot be made.
        ValueError: A live process writes to the store.

    """
    refuse_other_writers(store.path, "wait until it has ended, then export")
    with explained("write in", output):
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()):
            raise StoreError(f"{output} is not empty: choose a new or an empty folder")


def image_file(store: Store, record: Record) -> tuple[bytes, str]:
    """Return an image file that every program opens, and its ending: raw images become PNG, which loses nothing."""
    data = store.read(record)
    return (encode(decode_raw(data), "png"), "png") if record.encoding == RAW else (data, record.encoding)


def _fields(record: Record) -> dict[str, Any]:
    height, width, pixels = record.source
    return {
        "key": record.key,
        "variant": record.variant,
        "prompt": record.prompt,
        "seed": record.seed,
        "height": height,
        "width": width,
        "pixels": pixels.hex(),
    }


def _groups(store: Store, rows: ParquetRows, progress: Callable[[], object]) -> Iterator[list[dict[str, Any]]]:
    records = store.kept_records()
    while group := list(itertools.islice(records, _ROWS_IN_GROUP)):
        filled = []
        for record in group:
            filled.append(rows.row(record))
            progress()
        yield filled


def _schema(pa: Any, columns: Mapping[str, str]) -> Any:
    """The columns, with what Hugging Face `datasets` wants to know to show the images as such."""
    features = {
        name: {"_type": "Image"} if kind == IMAGE else {"dtype": kind, "_type": "Value"}
        for name, kind in columns.items()
    }
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    typed = [(name, image if kind == IMAGE else getattr(pa, kind)()) for name, kind in columns.items()]
    return pa.schema(typed, {"huggingface": json.dumps({"info": {"features": features}})})
