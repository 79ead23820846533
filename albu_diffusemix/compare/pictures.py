"""The pictures of a report. Colors are Okabe and Ito's, which the color-blind tell apart."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.compare.report import Findings, lower_is_better

__all__ = ["draw_pictures"]

_COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
_GREY = "#999999"
_BESIDE = 3


def draw_pictures(findings: Findings, prompts: Mapping[str, int], folder: Path) -> list[str]:
    """Draw what the findings have material for.

    Args:
        findings: What the rows say.
        prompts: Number of prompts of the arms that name theirs.
        folder: Where the files are put.

    Returns:
        Names of the files; none where nothing was measured.

    """
    if not findings.metrics:
        return []
    import matplotlib as mpl  # noqa: PLC0415  slow
    from matplotlib import pyplot as plt  # noqa: PLC0415  slow

    mpl.use("Agg")
    drawn: dict[str, Callable[[], Any]] = {
        "differences.png": lambda: _differences(plt, findings),
        "curves.png": lambda: _curves(plt, findings),
        "prompts.png": lambda: _scatter(plt, findings, prompts, "number of prompts"),
        "overhead.png": lambda: _scatter(plt, findings, _overheads(findings), "overhead in time A_O, %"),
    }
    made = []
    for name, draw in drawn.items():
        figure: Any = draw()
        if figure is not None:
            write_atomically(folder / name, partial(figure.savefig, format="png", dpi=110))
            plt.close(figure)
            made.append(name)
    return made


def _differences(plt: Any, findings: Findings) -> Any:
    arms = [arm for arm in findings.spec.arms if arm != findings.spec.reference][::-1]
    if not arms:
        return None
    figure, panels = _grid(plt, len(findings.metrics), 1 + 0.35 * len(arms))
    for axes, metric in zip(panels, findings.metrics, strict=False):
        for place, arm in enumerate(arms):
            difference = findings.difference(arm, metric)
            if difference is None:
                continue
            better = (difference.mean < 0) == lower_is_better(metric)
            color = _GREY if not difference.shown else _COLORS[1] if better else _COLORS[2]
            axes.plot([difference.low, difference.high], [place, place], color=color, linewidth=2)
            axes.plot(difference.mean, place, "o" if difference.shown else "D", color=color)
        axes.axvline(0, color="black", linewidth=1)
        axes.set_yticks(range(len(arms)), arms)
        axes.set_ylim(-0.5, len(arms) - 0.5)
        axes.set_title(f"{metric} ({'lower' if lower_is_better(metric) else 'higher'} is better)", fontsize=10)
    figure.suptitle(
        f"Difference to {findings.spec.reference}, 95 % interval: blue better, orange worse, grey not shown"
    )
    return figure


def _curves(plt: Any, findings: Findings) -> Any:
    shown = [name for name in ("loss", "nll", "top1", "top5") if any(True for _ in _curve(findings, name))]
    if not shown:
        return None
    figure, panels = _grid(plt, len(shown), 3)
    for axes, name in zip(panels, shown, strict=False):
        for color, arm, epochs, means, spreads in _curve(findings, name):
            axes.plot(epochs, means, color=color, label=arm)
            axes.fill_between(epochs, means - spreads, means + spreads, color=color, alpha=0.15, linewidth=0)
        axes.set_title(f"{name}, {'training' if name == 'loss' else 'validation'}", fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[0].legend(fontsize=8)
    return figure


def _curve(findings: Findings, name: str) -> Iterator[tuple[Any, ...]]:
    for number, arm in enumerate(findings.spec.arms):
        by_epoch: dict[int, list[float]] = {}
        for row in findings.done(arm).values():
            for point in row["curve"]:
                if name in point:
                    by_epoch.setdefault(point["epoch"], []).append(point[name])
        if len(by_epoch) > 1:
            means, spreads = (np.array([each(values) for values in by_epoch.values()]) for each in (np.mean, np.std))
            yield _COLORS[number % len(_COLORS)], arm, list(by_epoch), means, spreads


def _scatter(plt: Any, findings: Findings, places: Mapping[str, float], label: str) -> Any:
    """Draw the first metric against a number that each arm has."""
    metric = findings.metrics[0]
    if len(set(places.values())) < 2:  # noqa: PLR2004
        return None
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for arm, place in sorted(places.items(), key=lambda pair: pair[1]):
        values = list(findings.values(arm, metric).values())
        if values:
            color = _COLORS[list(findings.spec.arms).index(arm) % len(_COLORS)]
            axes.errorbar(place, statistics.mean(values), statistics.pstdev(values), fmt="o", color=color, capsize=3)
            axes.annotate(arm, (place, statistics.mean(values)), xytext=(6, 4), textcoords="offset points", fontsize=8)
    axes.set_xlabel(label)
    axes.set_ylabel(f"{metric}, mean and standard deviation")
    axes.margins(0.15)
    return figure


def _overheads(findings: Findings) -> dict[str, float]:
    overheads = {arm: findings.overhead(arm) for arm in findings.spec.arms}
    return {arm: overhead for arm, overhead in overheads.items() if overhead is not None}


def _grid(plt: Any, count: int, height: float) -> tuple[Any, Any]:
    rows, columns = -(-count // _BESIDE), min(count, _BESIDE)
    size = (4.2 * columns, height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for unused in axes.flat[count:]:
        unused.axis("off")
    return figure, axes.flat
