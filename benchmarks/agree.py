"""Tell where two runs disagree: `python -m benchmarks.agree FIRST SECOND`.

Two figures agree where the rounds of one run and the rounds of the other overlap. Times and rates may also drift with
the machine, all of them one way; ratios, which are taken within a round, may not. Exit status 1 where some disagree.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Results, Row, extent, shown
from benchmarks.side_by_side import Spread


DRIFT = dict.fromkeys(("us", "ms", "s", "/s"), 1.125)
"""By unit, how many times faster the machine may be in one run than in the other: an eighth was seen within an hour."""


def disagreements(first: Results, second: Results) -> Iterator[tuple[Row, Row]]:
    """Give the rows of both runs whose rounds do not overlap."""
    others = {row.title: row for row in second.rows}
    for row in first.rows:
        other = others.get(row.title)
        if other and _lie_apart(row.spread, other.spread, DRIFT.get(row.unit, 1)):
            yield row, other


def _lie_apart(one: Spread, other: Spread, drift: float) -> bool:
    return max(one.low, other.low) > drift * min(one.high, other.high)


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
