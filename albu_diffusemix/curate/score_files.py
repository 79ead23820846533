"""Figures on disk: Parquet files that are never changed, of which the last one that has a counterpart counts."""

import contextlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.curate.scorers import Figures, Scorer
from albu_diffusemix.store import Record, Store, StoreError
from albu_diffusemix.store.columns import find_rows, keys_of
from albu_diffusemix.store.files import explained
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.locks import EXCLUSIVE, try_lock
from albu_diffusemix.text import in_one_line

__all__ = ["ScoreWriter", "read_counterparts", "read_scores", "scored"]

SCORES = "scores"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ID = ["key", "variant", "check"]


class ScoreWriter:
    """Writes the figures of one share of the work, and is alone with it.

    Args:
        store: Whose counterparts are scored.
        name: What the figures' names begin with.
        scorer: Who gives them.
        shard: Index and count.

    """

    def __init__(self, store: Store, name: str, scorer: Scorer, shard: tuple[int, int]) -> None:
        self._folder = store.path / SCORES / check_scorer_name(name)
        self._name = name
        self._scorer = scorer
        self._shard = f"{shard[0]}of{shard[1]}"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Refuse another process that scores the same share, within the block."""
        with explained("write in", self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._folder / f"{self._shard}.lock", os.O_RDWR | os.O_CREAT)
        try:
            if try_lock(handle, EXCLUSIVE) == "alive":
                raise StoreError(f"another process scores share {self._shard} of {self._name}: wait until it has ended")
            yield
        finally:
            os.close(handle)

    def write(self, rows: Sequence[tuple[Record, str | None, Figures]]) -> None:
        """Write a file of figures, if there are any; each row has the counterpart, its label and the figures.

        Raises:
            StoreError: It cannot be written.

        """
        if not rows:
            return
        pa, parquet = _pyarrow()
        columns = {
            "key": pa.array([record.key for record, _, _ in rows], pa.string()),
            "variant": pa.array([record.variant for record, _, _ in rows], pa.string()),
            "check": pa.array([record.location.check for record, _, _ in rows], pa.uint64()),
            "label": pa.array([label for _, label, _ in rows], pa.string()),
        }
        for place, (figure, kind) in enumerate(self._scorer.figures.items()):
            values = [figures[place] for _, _, figures in rows]
            columns[f"{self._name}_{figure}"] = pa.array(values, getattr(pa, kind)(), from_pandas=True)  # NaN: none
        about = {"scorer": self._name, "fingerprint": self._scorer.fingerprint, "time": repr(time.time())}
        table = pa.table(columns).replace_schema_metadata(about)
        numbers = [int(path.stem.rpartition("-")[2]) for path in self._folder.glob(f"{self._shard}-*.parquet")]
        path = self._folder / f"{self._shard}-{max(numbers, default=-1) + 1:05d}.parquet"
        with explained("write", path):
            write_atomically(path, lambda file: parquet.write_table(table, file))


def check_scorer_name(name: str) -> str:
    """Return what the figures' names begin with, if it can stand in an expression.

    Raises:
        ValueError: It cannot.

    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"--name {name!r}: give 1 to 40 of a-z 0-9 _, the first a letter")
    return name


def scored(store: Store, name: str, fingerprint: str) -> set[tuple[str, str, int]]:
    """Return key, variant and check of the counterparts that a scorer with these settings has scored.

    Raises:
        StoreError: A file is damaged.

    """
    files = [file for file in _files(store.path / SCORES / name) if file.fingerprint == fingerprint]
    tables = [_read(file.path, _ID) for file in files]
    return {row for table in tables for row in zip(*(table[column].to_pylist() for column in _ID), strict=True)}


def read_scores(store: Store) -> Any:
    """Return a pyarrow.Table of all counterparts with their figures, null where there is none.

    Of each scorer the settings that were used last count, and of its files the last one; figures of an image that was
    made again since do not count.

    Returns:
        key, variant, and a column for each figure, such as clip_image, in the order of keys and variants.

    Raises:
        StoreError: The store or a file of figures cannot be read, or pyarrow is not installed.

    """
    return read_counterparts(store).drop_columns(["prompt", "label", "check"])


def read_counterparts(store: Store, *, figures: bool = True) -> Any:
    """Return a pyarrow.Table of all counterparts with what is known of each.

    Args:
        store: Whose counterparts.
        figures: Whether the files of figures are read; without them no label is known but the key's first folder.

    Returns:
        key, variant, prompt, label, check and a column for each figure, in the order of keys and variants. The label is
        that which the data set gave when it was scored, or else the first folder of the key.

    Raises:
        StoreError: As `read_scores`.

    """
    pa, _ = _pyarrow()
    from pyarrow import compute  # noqa: PLC0415  seconds, and optional

    index = store.whole_index()
    images = np.flatnonzero(index.arrays["rows"]["encoding"])
    rows, texts = index.arrays["rows"][images], pa.array(index.texts(), pa.string())
    columns = {
        "key": pa.array(keys_of(index, images), pa.string()),
        **{name: texts.take(pa.array(rows[name])) for name in ("variant", "prompt")},
        "check": pa.array(rows["image_check"]),
    }
    key = columns["key"]
    folder = compute.list_element(compute.split_pattern(key, "/", max_splits=1), 0)
    labels = [compute.if_else(compute.match_substring(key, "/"), folder, None)]
    for scorer in sorted(store.path.glob(f"{SCORES}/*/")) if figures else ():
        found = _figures(scorer)
        if found is None:
            continue
        places = _places(found, index)[images]
        found = found.drop_columns(_ID).take(pa.array(places, mask=places < 0)).combine_chunks()
        labels.insert(-1, found["label"].chunk(0))
        columns |= {name: found[name] for name in found.column_names if name != "label"}
    columns["label"] = compute.coalesce(*labels)
    table = pa.table(columns).sort_by([("key", "ascending"), ("variant", "ascending")])
    known = ["key", "variant", "prompt", "label", "check"]
    return table.select([*known, *(name for name in table.column_names if name not in known)])


class _File(NamedTuple):
    time: float
    path: Path
    fingerprint: str


def _files(folder: Path) -> list[_File]:
    """Return a scorer's files in the order in which they were written."""
    found = []
    for path in folder.glob("*.parquet"):
        about = _opened(path).schema_arrow.metadata or {}
        try:
            found.append(_File(float(about[b"time"]), path, about[b"fingerprint"].decode()))
        except (KeyError, ValueError) as error:
            raise _damaged(path, "it does not say when and with what it was made") from error
    return sorted(found)


def _figures(folder: Path) -> Any:
    """Return all that a scorer wrote with its last settings, in order; None where it wrote nothing."""
    pa, _ = _pyarrow()
    files = _files(folder)
    tables = [_read(file.path) for file in files if file.fingerprint == files[-1].fingerprint]
    return pa.concat_tables(tables).replace_schema_metadata(None) if tables else None


def _places(figures: Any, index: Index) -> NDArray[np.int64]:
    """Return for each row of the index the last row of figures that is of its image, -1 where there is none."""
    rows = find_rows(index, *(figures[name].to_pylist() for name in ("key", "variant")))
    same = (rows >= 0) & (index.arrays["rows"]["image_check"][rows] == figures["check"].to_numpy())
    places = np.full(len(index), -1, np.int64)
    places[rows[same]] = np.flatnonzero(same)  # of several the last assignment counts
    return places


def _read(path: Path, columns: list[str] | None = None) -> Any:
    opened = _opened(path)
    try:
        return opened.read(columns)
    except (OSError, ValueError) as error:
        raise _damaged(path, in_one_line(error)) from error


def _opened(path: Path) -> Any:
    _, parquet = _pyarrow()
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, in_one_line(error)) from error


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(f"{path} is not a whole file of figures: {reason.rstrip('.')}. Remove it, and score again")


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415  optional
        from pyarrow import parquet  # noqa: PLC0415  as above
    except ImportError as error:
        raise StoreError("scores need pyarrow: pip install pyarrow") from error
    return pa, parquet
