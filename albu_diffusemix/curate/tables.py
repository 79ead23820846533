"""Figures and choices for people and for other programs: a table by prompt or class, and files of all of it."""

from pathlib import Path
from typing import Any

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.curate.rules import GROUPS
from albu_diffusemix.curate.score_files import read_counterparts
from albu_diffusemix.store import Store
from albu_diffusemix.store.choices import REJECT

__all__ = ["WRITTEN", "describe_scores", "figures_of", "read_table", "write_table"]

_DECIDED = ("verdict", "reason", "rule")
WRITTEN = (".csv", ".parquet")
"""Endings of the files that `write_table` writes."""


_NO_FIGURES = {"key", "variant", *GROUPS.values(), *_DECIDED}


def read_table(store: Store) -> Any:
    """Return a pyarrow.Table of all counterparts: key, variant, prompt, label, the figures, verdict, reason and rule.

    The verdict is "accept", "reject" or null, where nobody and nothing decided.

    Raises:
        StoreError: The store, its figures or its verdicts cannot be read.

    """
    import pyarrow as pa  # noqa: PLC0415  optional; read_counterparts says where it is missing

    table = read_counterparts(store)
    last = {(verdict.key, verdict.variant, verdict.check): verdict for verdict in store.verdicts()}
    ids = zip(*(table[name].to_pylist() for name in ("key", "variant", "check")), strict=True)
    found = [last.get((key, variant, f"{check:016x}")) for key, variant, check in ids]
    table = table.drop_columns("check")
    for name in _DECIDED:
        values = [getattr(verdict, name) if verdict else None for verdict in found]
        table = table.append_column(name, pa.array(values, pa.string()))
    return table


def write_table(table: Any, path: Path) -> None:
    """Write a table as CSV or Parquet, as the ending says.

    Raises:
        OSError: The file cannot be written.
        ValueError: The ending is another one.

    """
    from pyarrow import csv, parquet  # noqa: PLC0415  optional; there was a table to write

    if path.suffix.lower() not in WRITTEN:
        raise ValueError(f"{str(path)!r} must end in {' or '.join(WRITTEN)}")
    write = csv.write_csv if path.suffix.lower() == ".csv" else parquet.write_table
    write_atomically(path, lambda file: write(table, file))


def figures_of(table: Any) -> list[str]:
    """Return the names of the figures in a table of `read_table` that some counterpart has."""
    names = [name for name in table.column_names if name not in _NO_FIGURES]
    return [name for name in names if table[name].null_count < table.num_rows]


def describe_scores(table: Any, per: str) -> list[list[str]]:
    """Return means as text: a row of headings, then one for each class or prompt, and one for all.

    Args:
        table: Of `read_table`.
        per: A name in `GROUPS`.

    """
    import pyarrow as pa  # noqa: PLC0415  optional; there was a table to describe

    figures = figures_of(table)
    rejected = [verdict == REJECT for verdict in table["verdict"].to_pylist()]
    table = table.append_column("rejected", pa.array(rejected, pa.bool_()))
    wanted = [("key", "count"), ("rejected", "sum"), *((figure, "mean") for figure in figures)]
    groups = table.group_by(GROUPS[per]).aggregate(wanted).sort_by(GROUPS[per])
    rows = [*groups.to_pylist(), *table.group_by([]).aggregate(wanted).to_pylist()]
    names = [*(str(row[GROUPS[per]] or "") for row in rows[:-1]), "all"]
    means = [[_shown(row[f"{figure}_mean"]) for figure in figures] for row in rows]
    counts = [[f"{row[count]:,}" for count in ("key_count", "rejected_sum")] for row in rows]
    described = [[name, *count, *mean] for name, count, mean in zip(names, counts, means, strict=True)]
    return [[per, "images", "rejected", *figures], *described]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
