"""Write the tables of a run into pages, between their markers: `python -m benchmarks.tables build/bench PAGE...`.

A page holds `<!-- table: TITLE -->` and `<!-- end of table -->`; what stands between them is replaced. TITLE is a
table's title or how it begins, `prices` for what a user pays, `cost` for that in a sentence, `lines` for all rows that
have a line, or `machine` for what the run was made on. Only the table of `lines` says which lines are met.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import Results, aligned, digits, lines_table, machine_line, pivot_table, shown


class Price(NamedTuple):
    """A figure that a user asks for first: the words for it, and the row that has it.

    Attributes:
        what: What costs that much.
        table: How the title of its table begins.
        name: Its row there.
        every: Whether to show the lowest and the highest of all columns; else the first column is shown.

    """

    what: str
    table: str
    name: str
    every: bool = False


CALL = "A call in Compose, uint8"
RATES = "The same, without DiffuseMix = 1"
PRICES = (
    Price("rate of a loader with a raw store and p=0.5; without DiffuseMix it is 1", RATES, "raw, p=0.5", every=True),
    Price("the same with a store of JPEG (4:2:0)", RATES, "4:2:0, p=0.5", every=True),
    Price("to compare: half of a second JPEG mixed in by hand", RATES, "half of a second JPEG, p=0.5", every=True),
    Price("a call from a raw store, in decodes of its source", "From the store", "raw, filters", every=True),
    Price("a call from a store of JPEG (4:2:0)", "From the store", "4:2:0, filters", every=True),
    Price("a call of `DiffuseMix`, counterpart given", CALL, "DiffuseMix"),
    Price("to compare: `RandomBrightnessContrast`", CALL, "RandomBrightnessContrast"),
    Price("to compare: `ColorJitter`", CALL, "ColorJitter"),
    Price("making a counterpart with the procedural backend", "A procedural counterpart", "the slowest prompt"),
    Price("finding a key in a store", "The store", "look up a key", every=True),
    Price("memory of each of two workers, most of it fractals", "Memory of a worker", "DiffuseMix adds", every=True),
)

MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def written_into(page: str, results: Results) -> str:
    """Return the page with its tables replaced.

    Raises:
        ValueError: The run has no such table.

    """
    return MARKED.sub(lambda found: f"{found[1]}\n{content(found[2], results)}\n\n{found[3]}", page)


def content(title: str, results: Results) -> str:
    """Return what belongs between the markers of a title."""
    if title == "prices":
        return prices_table(results)
    if title == "cost":
        return cost_sentence(results)
    if title == "lines":
        return lines_table(results.rows)
    if title == "machine":
        return f"Measured on: {machine_line(results.machine)}."
    return pivot_table([row._replace(line=None) for row in results.table(title)])


def prices_table(results: Results) -> str:
    """Write what a user pays, in a few rows.

    Raises:
        ValueError: The run lacks a table.

    """
    return aligned([("what", "costs", "measured with"), *(_priced(price, results) for price in PRICES)])


def cost_sentence(results: Results) -> str:
    """Say in one sentence what DiffuseMix costs a loader.

    Raises:
        ValueError: The run lacks the table.

    """
    rates = {
        name: [row.spread.value for row in results.table(RATES) if row.name == f"{name}, p=0.5"]
        for name in ("raw", "4:2:0")
    }
    raw, jpeg = (f"{min(values):.2f} to {max(values):.2f}" for values in rates.values())
    return (
        f"With DiffuseMix at p=0.5, a loader of JPEG files keeps {raw} of its rate with a store of `--encoding raw`,\n"
        f"and {jpeg} with one of JPEG: measured at 500x375 and at ImageNet's sizes, with no workers and with two."
    )


def _priced(price: Price, results: Results) -> tuple[str, str, str]:
    rows = [row for row in results.table(price.table) if row.name == price.name]
    if not price.every:
        return price.what, shown(rows[0].spread.value, rows[0].unit), rows[0].column
    low, high = (choose(row.spread.value for row in rows) for choose in (min, max))
    costs = f"{digits(low)} to {shown(high, rows[0].unit)}"
    return price.what, costs, f"lowest and highest of {len(rows)} cases"


if __name__ == "__main__":
    run, *pages = map(Path, sys.argv[1:])
    for path in pages:
        path.write_text(written_into(path.read_text(), Results.load(run)))
