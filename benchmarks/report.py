"""What the benchmarks found, as rows and as tables: read from pytest-benchmark's JSON, written as Markdown.

`python -m benchmarks.report build/bench` prints a run: a folder with a file of each process, or one file.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.lines import Line
from benchmarks.side_by_side import Spread

ROWS = "rows"
"""Key of a benchmark's rows in pytest-benchmark's `extra_info`."""

TIMES = "x"
"""Unit of a ratio."""


class Row(NamedTuple):
    """One figure: its table, its row and column there, its spread, and its line if it has one."""

    table: str
    name: str
    column: str
    spread: Spread
    unit: str = TIMES
    line: Line | None = None

    @property
    def title(self) -> str:
        """Say what is measured, where the row stands alone."""
        joint = " " if self.column.startswith("/") else ", "
        return f"{self.table}: {self.name}" + (joint + self.column if self.column else "")

    def as_json(self) -> dict[str, Any]:
        """Plain types, as `from_json` takes them."""
        return {**self._asdict(), "spread": list(self.spread.rounds), "line": self.line and list(self.line)}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Row":
        """Undo `as_json`."""
        line = plain["line"]
        return cls(**{**plain, "spread": Spread.of(plain["spread"]), "line": line and Line(*line)})

    def with_rounds(self, rounds: tuple[float, ...]) -> "Row":
        """Add the rounds of another process."""
        return self._replace(spread=Spread(self.spread.rounds + rounds))


class Results(NamedTuple):
    """A run: its rows in the order of measuring, and the machine and versions that it ran on.

    Its processes are joined: a row has the rounds of all of them.
    """

    rows: list[Row]
    machine: dict[str, str]

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read what pytest-benchmark saved with `--benchmark-json`: one file, or a folder with one of each process.

        Raises:
            ValueError: The folder holds no run.

        """
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"no run in {path}: there is no .json file in it; measure, `make bench`")
        return cls.joined(json.loads(file.read_text()) for file in files)

    @classmethod
    def joined(cls, processes: Iterable[dict[str, Any]]) -> "Results":
        """Join what each process found, as pytest-benchmark writes it."""
        rows: dict[str, Row] = {}
        machine: dict[str, list[str]] = {}
        for process in processes:
            for name, value in process["machine_info"]["versions"].items():
                machine.setdefault(name, []).append(value)
            for plain in (row for each in process["benchmarks"] for row in each["extra_info"].get(ROWS, [])):
                row = Row.from_json(plain)
                earlier = rows.get(row.title)
                rows[row.title] = row if earlier is None else earlier.with_rounds(row.spread.rounds)
        return cls([*rows.values()], {name: " / ".join(dict.fromkeys(values)) for name, values in machine.items()})

    def table(self, beginning: str) -> list[Row]:
        """Rows of the first table whose title begins like this.

        Raises:
            ValueError: There is no such table.

        """
        for title, rows in self.tables().items():
            if title.startswith(beginning):
                return rows
        raise ValueError(f"no table begins with {beginning!r} in this run: measure all of it, `make bench`")

    def tables(self) -> dict[str, list[Row]]:
        """Rows by table, in the order of measuring."""
        grouped: dict[str, list[Row]] = {}
        for row in self.rows:
            grouped.setdefault(row.table, []).append(row)
        return grouped


def whole_report(results: Results) -> str:
    """Write every table, the last of them against the lines."""
    tables = [f"\n{title}\n\n{pivot_table(rows)}" for title, rows in results.tables().items()]
    lined = any(row.line for row in results.rows)
    lines = lines_table(results.rows) if lined else "None of these has a line."
    return "\n".join([*tables, f"\nAgainst the lines\n\n{machine_line(results.machine)}\n\n{lines}"])


def machine_line(machine: dict[str, str]) -> str:
    """Name the machine and the versions in one line."""
    return ", ".join(f"{name} {value}".strip() for name, value in machine.items())


def lines_table(rows: Iterable[Row]) -> str:
    """Write the rows that have a line: the figure, its spread, the line, and "met", or the gap and its cause."""
    cells = [
        (
            *(row.title, shown(row.spread.value, row.unit), extent(row.spread), str(row.line)),
            *(_verdict(row), row.line.cause_of(row.spread.value)),
        )
        for row in rows
        if row.line
    ]
    return aligned([("what", "measured", "rounds", "line", "verdict", "measured cause"), *cells])


def pivot_table(rows: list[Row]) -> str:
    """Write one table: a figure and its spread for each name and column."""
    names, columns = list(dict.fromkeys(row.name for row in rows)), list(dict.fromkeys(row.column for row in rows))
    cells = {(row.name, row.column): _cell(row) for row in rows}
    return aligned(
        [("", *columns), *((name, *(cells.get((name, column), "") for column in columns)) for name in names)]
    )


def aligned(rows: list[tuple[str, ...]]) -> str:
    """Write rows as a Markdown table whose columns also line up as plain text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    rule = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(row)} |" for row in (padded[0], rule, *padded[1:]))


def shown(value: float, unit: str) -> str:
    """Write a figure to three digits, with its unit unless it is a ratio."""
    return digits(value) if unit == TIMES else f"{digits(value)} {unit}"


def extent(spread: Spread) -> str:
    """Write the lowest and the highest round."""
    return f"{digits(spread.low)} to {digits(spread.high)}"


def digits(value: float) -> str:
    """Write a number to three digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def _cell(row: Row) -> str:
    verdict = f", {_verdict(row)}" if row.line else ""
    return f"{shown(row.spread.value, row.unit)} ({extent(row.spread)}){verdict}"


def _verdict(row: Row) -> str:
    return row.line.verdict(row.spread.value) if row.line else ""


if __name__ == "__main__":
    print(whole_report(Results.load(Path(sys.argv[1]))))
