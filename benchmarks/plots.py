"""Draw the plots of the documentation from a run: `python -m benchmarks.plots build/bench.json docs/pictures`.

Titles say what the run found, so they change with it. Colours are Okabe and Ito's, which the colour-blind tell apart.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.report import Results, Row, digits, shown

OURS, THEIRS, MISSED, SECOND, GREY = "#0072B2", "#999999", "#D55E00", "#56B4E9", "#555555"
CURVES = (OURS, MISSED, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", GREY)
MARKERS = "osD^vP*"
INCH_A_BAR = 0.33
STYLE = {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 130,
}
BRIGHTNESS = "RandomBrightnessContrast"


def lines(results: Results) -> Figure:
    """Each row with a line, as a share of what the line allows."""
    rows = [row for row in results.rows if row.line][::-1]
    figure, axes = plt.subplots(figsize=(11, 1.6 + INCH_A_BAR * len(rows)))
    for place, row in enumerate(rows):
        met = row.line.met_by(row.spread.value)
        used = row.line.used_by(row.spread.value)
        axes.barh(place, used, color=OURS if met else MISSED, hatch=None if met else "//", edgecolor="white")
        text = f"{shown(row.spread.value, row.unit)}, {row.line}" + ("" if met else ": missed")
        axes.annotate(text, (max(used, 1), place), (6, 0), textcoords="offset points", va="center")
    met = sum(row.line.met_by(row.spread.value) for row in rows)
    axes.axvline(1, color="black", linewidth=1.5)
    axes.set_yticks(range(len(rows)), [row.title for row in rows])
    axes.set_xlim(0, 1.75 * max(1, *(row.line.used_by(row.spread.value) for row in rows)))
    axes.set_xlabel("share of what the line allows (1 = the line)")
    figure.suptitle(f"{met} of {len(rows)} lines are met", fontweight="bold", fontsize=13)
    return figure


def in_compose(results: Results) -> Figure:
    """Time of a call of everybody, ours and the host's, on a logarithmic axis."""
    table = results.table("A call in Compose, uint8")
    column = table[0].column
    rows = sorted((row for row in table if row.column == column), key=lambda row: -row.spread.value)
    cost = {row.name: row.spread.value for row in rows}
    figure, axes = plt.subplots(figsize=(9, 1.4 + INCH_A_BAR * len(rows)))
    for place, row in enumerate(rows):
        ours = row.name.startswith(("DiffuseMix", "HalfConcat", "FractalBlend"))
        color = OURS if ours else THEIRS
        axes.hlines(place, *row.spread[1:], color=color, linewidth=3, alpha=0.5)
        axes.plot(row.spread.value, place, "o" if ours else "s", color=color, markersize=9)
        axes.annotate(
            shown(row.spread.value, row.unit), (row.spread.high, place), (8, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    _logarithmic(axes, "x")
    axes.set_xlim(right=3 * rows[0].spread.high)
    axes.set_xlabel(f"microseconds a call, uint8, {column}; bars: all rounds; blue circles: ours")
    against = cost["DiffuseMix"] / cost[BRIGHTNESS], cost["DiffuseMix"] / cost["ColorJitter"]
    axes.set_title(f"DiffuseMix costs {digits(against[0])} brightness changes, or {digits(against[1])} colour jitters")
    return figure


def pixels(results: Results) -> Figure:
    """Time of a call by the number of pixels."""
    names = ("DiffuseMix, procedural", "OverlayElements", "ColorJitter", "DiffuseMix", BRIGHTNESS, "a plain copy")
    table = results.table("A call in Compose, uint8")
    figure, axes = plt.subplots(figsize=(9, 5.5))
    for name, color, marker in zip(names, CURVES, MARKERS, strict=False):
        rows = [row for row in table if row.name == name]
        _curve(axes, [_number(row.column) ** 2 for row in rows], rows, (name, color, marker))
    sides = [_number(row.column) for row in table if row.name == "DiffuseMix"]
    grown = [row.spread.value for row in table if row.name == "DiffuseMix"]
    _logarithmic(axes, "y")
    axes.set_xscale("log")
    axes.set_xticks([side**2 for side in sides], [f"{side}²" for side in sides])
    axes.minorticks_off()
    axes.set_xlim(right=sides[-1] ** 2 * (sides[-1] / sides[0] + 1) ** 1.5)
    axes.set_xlabel("pixels, uint8")
    axes.set_ylabel("microseconds a call")
    more = (sides[-1] / sides[0]) ** 2
    axes.set_title(f"{digits(more)} times the pixels cost DiffuseMix {digits(grown[-1] / grown[0])} times the time")
    return figure


def lookups(results: Results) -> Figure:
    """Look-ups and a worker's memory by the number of entries."""
    table = results.table("The store")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4))
    kinds = [name for name in dict.fromkeys(row.name for row in table) if name.startswith("look up")]
    for kind, color, marker in zip(kinds, CURVES, MARKERS, strict=False):
        _by_entries(left, table, (kind, color, marker))
    _by_entries(right, table, ("its index", GREY, "s"))
    _by_entries(right, table, ("private memory of a worker", OURS, "o"))
    right.set_yscale("symlog", linthresh=1)
    right.set_ylim(bottom=0)
    right.yaxis.set_major_formatter(FuncFormatter(_plain))
    for axes, kind, unit in ((left, kinds[0], "us"), (right, "private memory of a worker", "MB")):
        _draw_line(axes, [row for row in table if row.name == kind], unit)
        axes.set_xlabel("entries in the store")
    left.set_ylabel("microseconds")
    right.set_ylabel("megabytes")
    keys = [row for row in table if row.name == kinds[0]]
    more = _number(keys[-1].column) / _number(keys[0].column)
    longer = keys[-1].spread.value / keys[0].spread.value
    left.set_title(f"{digits(more)} times the entries:\na look-up takes {digits(longer)} times as long")
    right.set_title("The index is mapped, not loaded:\na worker's own memory stays")
    return figure


def from_store(results: Results) -> Figure:
    """DiffuseMix from a store in decodes of the image, and the loader's rates with and without it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
    table = results.table("From the store")
    _grouped_bars(left, table)
    _draw_line(left, table, "")
    left.set_ylabel("cost of DiffuseMix, in decodes of the image")
    values = [row.spread.value for row in table if row.line or len(table) == 1]
    low, high = (digits(bound(values)) for bound in (min, max))
    left.set_title(f"DiffuseMix from a store costs\n{low} to {high} decodes of the image")
    rates = results.table("The loader, images a second")
    _grouped_bars(right, rates)
    right.set_ylabel("images a second")
    kept = [row.spread.value for row in results.table("The loader's rate") if row.name == "p=0.5"]
    right.set_title(f"A loader keeps {min(kept):.0%} to {max(kept):.0%} of its rate\nat p=0.5")
    return figure


PLOTS = {draw.__name__: draw for draw in (lines, in_compose, pixels, lookups, from_store)}


def draw_all(results: Results, folder: Path) -> list[Path]:
    """Draw every plot into a folder.

    Raises:
        ValueError: The run lacks a table.

    """
    paths = []
    with plt.rc_context(STYLE):
        for name, draw in PLOTS.items():
            figure = draw(results)
            paths.append(folder / f"bench_{name}.png")
            figure.savefig(paths[-1], metadata={"Software": None})
            plt.close(figure)
    return paths


def _curve(axes: Axes, places: list[float], rows: list[Row], look: tuple[str, str, str]) -> None:
    name, color, marker = look
    values, lows, highs = (np.array(part) for part in zip(*(row.spread for row in rows), strict=True))
    axes.plot(places, values, marker=marker, color=color)
    axes.fill_between(places, lows, highs, color=color, alpha=0.2, linewidth=0)
    axes.annotate(name, (places[-1], values[-1]), (9, 0), textcoords="offset points", va="center", color=color)


def _by_entries(axes: Axes, table: list[Row], look: tuple[str, str, str]) -> None:
    rows = [row for row in table if row.name == look[0]]
    places = [_number(row.column) for row in rows]
    values, lows, highs = (np.array(part) for part in zip(*(row.spread for row in rows), strict=True))
    axes.plot(places, values, marker=look[2], color=look[1], label=look[0])
    axes.fill_between(places, lows, highs, color=look[1], alpha=0.2, linewidth=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="center left")


def _draw_line(axes: Axes, rows: list[Row], unit: str) -> None:
    for row in rows:
        if row.line:
            axes.axhline(row.line.bound, color="black", linestyle="--", linewidth=1.5)
            text = f"line: {row.line} {unit}".rstrip()
            axes.annotate(
                text, (0, row.line.bound), (4, 4), xycoords=("axes fraction", "data"), textcoords="offset points"
            )
            return


def _grouped_bars(axes: Axes, rows: list[Row]) -> None:
    groups = list(dict.fromkeys(row.column for row in rows))
    names = list(dict.fromkeys(row.name for row in rows))
    width = 0.8 / len(names)
    for place, (name, color) in enumerate(zip(names, (OURS, SECOND, THEIRS), strict=False)):
        spreads = [row.spread for row in rows if row.name == name]
        values, lows, highs = (np.array(part) for part in zip(*spreads, strict=True))
        places = np.arange(len(groups)) + (place - (len(names) - 1) / 2) * width
        whiskers = (values - lows, highs - values)
        axes.bar(places, values, width, yerr=whiskers, color=color, ecolor=GREY, edgecolor="white", label=name)
        for x, value, high in zip(places, values, highs, strict=True):
            axes.annotate(digits(value), (x, high), (0, 3), textcoords="offset points", ha="center", fontsize=9)
    axes.set_xticks(range(len(groups)), [group.replace(", ", "\n") for group in groups])
    axes.margins(y=0.3)
    axes.legend(frameon=False, loc="upper left", fontsize=10)


def _logarithmic(axes: Axes, name: str) -> None:
    axes.set(**{f"{name}scale": "log"})
    getattr(axes, f"{name}axis").set_major_formatter(FuncFormatter(_plain))


def _plain(value: float, _place: object) -> str:
    return f"{value:,g}"


def _number(column: str) -> int:
    return int(column.split(maxsplit=1)[0].replace(",", ""))


if __name__ == "__main__":
    run, folder = map(Path, sys.argv[1:])
    draw_all(Results.load(run), folder)
