"""Tell where two runs disagree: `python -m benchmarks.agree FIRST SECOND`.

Two figures agree where the rounds of one run and of the other overlap, or nearly do. Times and rates may also drift
with the machine, all of them one way; ratios, which are taken within a round, do not. Where some disagree, the exit
status is 1.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Results, Row, extent, shown
from benchmarks.side_by_side import Spread

NEAR = 1.02
"""How far apart the nearest rounds may lie; less is nothing that anybody could go by."""
DRIFT = dict.fromkeys(("us", "ms", "s", "/s"), 1.125)
"""The same for times and rates, by unit: within an hour the machine became faster by an eighth."""


def disagreements(first: Results, second: Results) -> Iterator[tuple[Row, Row]]:
    """Give the rows of both runs whose rounds do not overlap."""
    others = {row.title: row for row in second.rows}
    for row in first.rows:
        other = others.get(row.title)
        if other and _lie_apart(row.spread, other.spread, DRIFT.get(row.unit, NEAR)):
            yield row, other


def _lie_apart(one: Spread, other: Spread, near: float) -> bool:
    return max(one.low, other.low) > near * min(one.high, other.high)


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
