"""Tell where two runs disagree: `python -m benchmarks.agree FIRST SECOND`.

Two figures agree where the rounds of one run and the rounds of the other overlap. Exit status 1 where some do not.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Results, Row, extent, shown


def disagreements(first: Results, second: Results) -> Iterator[tuple[Row, Row]]:
    """Give the rows of both runs whose rounds do not overlap."""
    others = {row.title: row for row in second.rows}
    for row in first.rows:
        other = others.get(row.title)
        if other and max(row.spread.low, other.spread.low) > min(row.spread.high, other.spread.high):
            yield row, other


def moved(row: Row, other: Row) -> str:
    """Say how far apart the two are."""
    before, after = (f"{shown(each.spread.value, each.unit)} ({extent(each.spread)})" for each in (row, other))
    return f"{row.title}: {before}, then {after}, {other.spread.value / row.spread.value - 1:+.0%}"


if __name__ == "__main__":
    first, second = (Results.load(Path(path)) for path in sys.argv[1:])
    apart = list(disagreements(first, second))
    print(*(moved(*pair) for pair in apart), sep="\n")
    print(f"{len(apart)} of {len(first.rows)} figures disagree")
    sys.exit(bool(apart))
