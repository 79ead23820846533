"""Write the tables of a run into pages, between their markers: `python -m benchmarks.tables build/bench PAGE...`.

A page holds `<!-- table: TITLE -->` and `<!-- end of table -->`; what stands between them is replaced. TITLE is a
table's title or how it begins, `lines` for all rows that have a line, or `machine` for what the run was made on.
"""

import re
import sys
from pathlib import Path

from benchmarks.report import Results, lines_table, machine_line, pivot_table

MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def written_into(page: str, results: Results) -> str:
    """Give the page with its tables replaced.

    Raises:
        ValueError: The run has no such table.

    """
    return MARKED.sub(lambda found: f"{found[1]}\n{content(found[2], results)}\n\n{found[3]}", page)


def content(title: str, results: Results) -> str:
    """Give what belongs between the markers of a title."""
    if title == "lines":
        return lines_table(results.rows)
    if title == "machine":
        return f"Measured on: {machine_line(results.machine)}."
    return pivot_table(results.table(title))


if __name__ == "__main__":
    run, *pages = map(Path, sys.argv[1:])
    for path in pages:
        path.write_text(written_into(path.read_text(), Results.load(run)))
