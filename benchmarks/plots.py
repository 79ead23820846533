"""Draw the plots of the documentation from a run: `python -m benchmarks.plots build/bench docs/pictures`.

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
from numpy.typing import NDArray

from benchmarks.report import Results, Row, digits, shown

OURS, SECOND, THEIRS, MISSED, GREY = "#0072B2", "#56B4E9", "#999999", "#D55E00", "#555555"
INCH_A_BAR = 0.36
STYLE = {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 110,
}
MIXING = ("DiffuseMix", "HalfConcat", "FractalBlend")
FROM_STORE = ("raw, filters", "4:2:0, filters", "4:4:4, filters")
LOADERS = ("without", "raw, p=0.5", "4:2:0, p=0.5", "half of a second JPEG, p=0.5")
BRIGHTNESS, JITTER = "RandomBrightnessContrast", "ColorJitter"


def lines(results: Results) -> Figure:
    """Each row with a line, as a share of what the line allows."""
    rows = [row for row in results.rows if row.line][::-1]
    met = sum(row.line.met_by(row.spread.value) for row in rows)
    longest = max(2, *(row.line.used_by(row.spread.value) for row in rows))
    figure, axes = plt.subplots(figsize=(12, 1.5 + INCH_A_BAR * len(rows)))
    for place, row in enumerate(rows):
        used, missed = row.line.used_by(row.spread.value), not row.line.met_by(row.spread.value)
        axes.barh(place, used, color=MISSED if missed else OURS, hatch="//" if missed else None, edgecolor="white")
        text = f"{shown(row.spread.value, row.unit)}, {row.line}" + (": missed" if missed else "")
        _beside(axes, text, (max(used, 1), place))
    axes.axvline(1, color="black", linewidth=1.5)
    axes.set_yticks(range(len(rows)), [_in_two(row.title) for row in rows], fontsize=9)
    axes.set_xlim(0, 1.7 * longest)
    axes.margins(y=0.01)
    axes.set_xlabel("share of what the line allows; the line is 1, and shorter is better")
    axes.set_title(f"{met} of {len(rows)} lines are met")
    return figure


def in_compose(results: Results) -> Figure:
    """Time of a call of everybody, ours and the host's, on a logarithmic axis."""
    table = results.table("A call in Compose, uint8")
    column = table[0].column
    rows = sorted((row for row in table if row.column == column), key=lambda row: -row.spread.value)
    figure, axes = plt.subplots(figsize=(9, 1.6 + INCH_A_BAR * len(rows)))
    for place, row in enumerate(rows):
        color, marker = (OURS, "o") if row.name.startswith(MIXING) else (THEIRS, "s")
        axes.hlines(place, row.spread.low, row.spread.high, color=color, linewidth=3, alpha=0.5)
        axes.plot(row.spread.value, place, marker, color=color, markersize=9)
        _beside(axes, shown(row.spread.value, row.unit), (row.spread.high, place))
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    _logarithmic(axes, "x")
    axes.set_xlim(right=3 * rows[0].spread.high)
    axes.set_xlabel(f"microseconds a call, uint8, {column}; bars: all rounds; blue circles: ours")
    against = {row.column: row.spread.value for row in results.table("In Compose, uint8") if row.name == "DiffuseMix"}
    brightness, jitters = (f"{against[f'/ {name}']:.2g}" for name in (BRIGHTNESS, JITTER))
    axes.set_title(f"DiffuseMix costs {brightness} brightness changes, or {jitters} colour jitters")
    return figure


def pixels(results: Results) -> Figure:
    """Time of a call by the number of pixels."""
    table = results.table("A call in Compose, uint8")
    figure, axes = plt.subplots(figsize=(9, 5.5))
    for name in ("DiffuseMix, procedural", "OverlayElements", JITTER, "DiffuseMix", BRIGHTNESS, "a plain copy"):
        rows = [row for row in table if row.name == name]
        places = [_number(row.column) ** 2 for row in rows]
        color, marker = (OURS, "o") if name.startswith(MIXING) else (THEIRS, "s")
        _curve(axes, places, rows, (color, marker))
        _beside(axes, name, (places[-1], rows[-1].spread.value), OURS if color == OURS else GREY)
    ours = [row for row in table if row.name == "DiffuseMix"]
    sides = [_number(row.column) for row in ours]
    _logarithmic(axes, "y")
    axes.set_xscale("log")
    axes.set_xticks([side**2 for side in sides], [f"{side}²" for side in sides])
    axes.minorticks_off()
    axes.set_xlim(right=sides[-1] ** 2 * max(sides[-1] / sides[0], 2) ** 0.9)
    axes.set(xlabel="pixels, uint8", ylabel="microseconds a call")
    more, longer = (sides[-1] / sides[0]) ** 2, ours[-1].spread.value / ours[0].spread.value
    axes.set_title(f"{digits(more)} times the pixels cost DiffuseMix {digits(longer)} times the time")
    return figure


def lookups(results: Results) -> Figure:
    """Look-ups and a worker's memory by the number of entries."""
    table = results.table("The store")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4))
    for kind, look in {"pixels": (SECOND, "D"), "a key": (OURS, "o"), "a key that is not there": (GREY, "s")}.items():
        _by_entries(left, table, f"look up {kind}", look)
    left.legend(frameon=False, loc="center left", bbox_to_anchor=(0, 0.6))
    growth = results.table("Growth of a look-up")[0]
    many, few = map(_number, growth.column.split(" / "))
    longer = digits(growth.spread.value)
    left.set_title(f"{digits(many / few)} times the entries:\na look-up takes {longer} times as long")
    left.set(ylabel="microseconds", ylim=(0, 1.2 * max(_bound(table, "look up a key"), left.get_ylim()[1])))
    _draw_line(left, table, "look up a key", "us")
    for name, look in {"its index": (GREY, "s"), "private memory of a worker": (OURS, "o")}.items():
        end = _by_entries(right, table, name, look)
        right.annotate(name, end, (-12, 9), textcoords="offset points", ha="right", va="bottom", color=look[0])
    _logarithmic(right, "y")
    right.set(ylabel="megabytes", ylim=(right.get_ylim()[0] / 2, 3 * right.get_ylim()[1]))
    _draw_line(right, table, "private memory of a worker", "MB")
    right.set_title("The index is mapped, not loaded:\na worker's own memory stays")
    return figure


def from_store(results: Results) -> Figure:
    """DiffuseMix from a store in decodes of the image, and the loader's rates with and without it."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 8.5))
    table = [row for row in results.table("From the store") if row.name in FROM_STORE]
    _grouped_bars(above, table, (OURS, SECOND, THEIRS))
    above.set_ylabel("decodes of the source")
    values = [row.spread.value for row in table]
    above.set_title(f"A call from a store costs {digits(min(values))} to {digits(max(values))} decodes of its source")
    rates = [row for row in results.table("Images a second of a loader") if row.name in LOADERS]
    _grouped_bars(below, rates, (THEIRS, OURS, SECOND, MISSED))
    below.set_ylabel("images a second")
    kept = [row.spread.value for row in results.table("The same, without") if row.name in LOADERS[1:3]]
    below.set_title(f"With DiffuseMix at p=0.5 a loader keeps {min(kept):.0%} to {max(kept):.0%} of its rate")
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


def _beside(axes: Axes, text: str, place: tuple[float, float], color: str = "black") -> None:
    axes.annotate(text, place, (8, 0), textcoords="offset points", va="center", color=color)


def _curve(axes: Axes, places: list[int], rows: list[Row], look: tuple[str, str], label: str = "") -> None:
    values, lows, highs = _extents(rows)
    axes.plot(places, values, marker=look[1], color=look[0], label=label)
    axes.fill_between(places, lows, highs, color=look[0], alpha=0.2, linewidth=0)


def _extents(rows: list[Row]) -> NDArray[np.float64]:
    """Give figures, lowest and highest rounds, a column for each row."""
    return np.array([(row.spread.value, row.spread.low, row.spread.high) for row in rows]).T


def _by_entries(axes: Axes, table: list[Row], name: str, look: tuple[str, str]) -> tuple[int, float]:
    """Draw a row of the store by its columns; give its last point."""
    rows = [row for row in table if row.name == name]
    places = [_number(row.column) for row in rows]
    _curve(axes, places, rows, look, name)
    _logarithmic(axes, "x")
    axes.minorticks_off()
    axes.set_xlabel("entries in the store")
    return places[-1], rows[-1].spread.value


def _bound(rows: list[Row], name: str) -> float:
    return max((row.line.bound for row in rows if row.name == name and row.line), default=0)


def _draw_line(axes: Axes, rows: list[Row], name: str, unit: str) -> None:
    """Draw the line of the row, if it has one."""
    for row in [row for row in rows if row.name == name and row.line][:1]:
        axes.axhline(row.line.bound, color="black", linestyle="--", linewidth=1.5)
        text = f"line: {row.line} {unit}".rstrip()
        where = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right"}
        axes.annotate(text, (1, row.line.bound), (0, 4), **where)


def _grouped_bars(axes: Axes, rows: list[Row], colors: tuple[str, ...]) -> None:
    groups, names = list(dict.fromkeys(row.column for row in rows)), list(dict.fromkeys(row.name for row in rows))
    width = 0.8 / len(names)
    for place, (name, color) in enumerate(zip(names, colors, strict=True)):
        values, lows, highs = _extents([row for row in rows if row.name == name])
        places = np.arange(len(groups)) + (place - (len(names) - 1) / 2) * width
        whiskers = (values - lows, highs - values)
        label = name.rsplit("/ ")[-1]
        axes.bar(places, values, width, yerr=whiskers, color=color, ecolor=GREY, edgecolor="white", label=label)
        for x, value, high in zip(places, values, highs, strict=True):
            axes.annotate(digits(value), (x, high), (0, 3), textcoords="offset points", ha="center", fontsize=9)
    axes.set_xticks(range(len(groups)), [group.replace(", ", "\n") for group in groups], fontsize=9)
    axes.set_xlim(-0.5, len(groups) + 0.15)
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])
    axes.legend(frameon=False, loc="upper left", fontsize=10, ncols=len(names))


def _logarithmic(axes: Axes, name: str) -> None:
    axes.set(**{f"{name}scale": "log"})
    getattr(axes, f"{name}axis").set_major_formatter(FuncFormatter(_plain))


def _plain(value: float, _place: object) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _in_two(title: str) -> str:
    """Break a long title behind its table."""
    table, _, rest = title.partition(": ")
    return f"{table}:\n{rest}" if len(title) > 60 else title


def _number(column: str) -> int:
    return int(column.split(maxsplit=1)[0].replace(",", ""))


if __name__ == "__main__":
    run, folder = map(Path, sys.argv[1:])
    draw_all(Results.load(run), folder)
