"""What the scores say by prompt and by class: tables in the store's README.md, and a picture where matplotlib is there.

Colors are Okabe and Ito's, which the color-blind tell apart.
"""

import io
import warnings
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.curate.rules import GROUPS
from albu_diffusemix.curate.tables import describe_scores, figures_of, read_table
from albu_diffusemix.store import Store
from albu_diffusemix.store.choices import REJECT
from albu_diffusemix.store.readme import SCORES_PICTURE, write_scores
from albu_diffusemix.text import printable, table_cell

__all__ = ["write_report"]

_MOST_ROWS = 30
"""Prompts or classes in a table; in the picture as many."""

_LONGEST_NAME = 28
_STAYS, _REJECTED = "#0072B2", "#D55E00"
_SPAN = (5, 25, 50, 75, 95)  # percent
_CAPTION = "A thin line spans 90 % of the counterparts, its thick part the middle half; the white tick is their median."


def write_report(store: Store) -> None:
    """Write what the scores say into README.md, in place of what it said of them; nothing where nothing was scored.

    Raises:
        StoreError: The store cannot be read, or the files not be written.

    """
    table = read_table(store)
    if not figures_of(table):
        return
    rejected = table["verdict"].to_pylist().count(REJECT)
    picture = _draw(table)
    link = f"\n![Scores by prompt and by class]({SCORES_PICTURE})\n\n{_CAPTION}\n" if picture else ""
    text = (
        f"## What the scores say\n\nMeans over all {table.num_rows:,} counterparts that were made, of which "
        f"{rejected:,} are rejected ({datetime.now(timezone.utc):%Y-%m-%d}).\n{link}"
    )
    write_scores(store.path, "\n".join([text, *(_markdown(table, per) for per in reversed(GROUPS))]), picture)


def _markdown(table: Any, per: str) -> str:
    heading, *groups, all_of_them = describe_scores(table, per)
    more = [[f"... and {len(groups) - _MOST_ROWS:,} more"]] if len(groups) > _MOST_ROWS else []
    rows = [heading, ["---", *["---:"] * (len(heading) - 1)], *groups[:_MOST_ROWS], *more, all_of_them]
    return "\n".join(f"| {' | '.join(map(table_cell, row))} |" for row in rows) + "\n"


def _draw(table: Any) -> bytes:
    """Draw how figures spread in each prompt and class, those that stay above those that are rejected."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  slow, and optional
    except ImportError:
        return b""
    figures = {name: np.asarray(table[name].to_numpy(), np.float64) for name in figures_of(table)}
    rejected = np.array(table["verdict"].to_pylist()) == REJECT
    groups = [_groups(table, column) for column in reversed(GROUPS.values())]
    height = 0.8 + 0.3 * max(len(names) for names, _ in groups)
    picture = Figure(figsize=(11, 0.4 + height * len(figures)), layout="constrained")
    panels = picture.subplots(len(figures), len(groups), sharex="row", squeeze=False)
    for row, (name, values) in zip(panels, figures.items(), strict=True):
        for axes, (names, codes) in zip(row, groups, strict=True):
            for place, _ in enumerate(names):
                _draw_spread(axes, place - 0.15, values[(codes == place) & ~rejected], _STAYS)
                _draw_spread(axes, place + 0.15, values[(codes == place) & rejected], _REJECTED)
            axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
            axes.set_title(name, fontsize=10)
            axes.grid(axis="x", color="#dddddd")
            axes.tick_params(labelsize=8)
    picture.suptitle("blue stays, orange is rejected", fontsize=10)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that its font lacks
        picture.savefig(file, format="png", dpi=100)
    return file.getvalue()


def _groups(table: Any, column: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return names as they are shown, and the number of each counterpart's own; some may have no name that is shown."""
    coded = table[column].combine_chunks().fill_null("").dictionary_encode()
    names, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    order = sorted(range(len(names)), key=names.__getitem__)
    places = np.empty(len(names), np.int64)
    places[order] = np.arange(len(names))
    return [_short(names[number]) for number in order[:_MOST_ROWS]], places[codes]


def _short(name: str) -> str:
    shown = printable(name).replace("$", r"\$")  # which would begin a formula
    return f"{shown[:_LONGEST_NAME]}..." if len(shown) > _LONGEST_NAME else shown or "(no name)"


def _draw_spread(axes: Any, place: float, values: NDArray[np.float64], color: str) -> None:
    known = values[np.isfinite(values)]
    if not len(known):
        return
    low, first, median, third, high = np.percentile(known, _SPAN)
    axes.plot([low, high], [place, place], color=color, linewidth=1)
    axes.plot([first, third], [place, place], color=color, linewidth=5, solid_capstyle="butt")
    axes.plot(median, place, "|", color="white", markersize=5)
