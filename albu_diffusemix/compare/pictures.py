"""The pictures of a report. Colors are Okabe and Ito's, which the color-blind tell apart."""

from collections.abc import Mapping
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


def draw_pictures(findings: Findings, prompts: Mapping[str, int], folder: Path) -> dict[str, str]:
    """Draw what the findings have material for.

    Args:
        findings: What the rows say.
        prompts: Number of prompts of the arms that name theirs.
        folder: Where the files are put.

    Returns:
        Captions by file; none where nothing was measured.

    """
    if not findings.metrics:
        return {}
    overheads = {arm: findings.values(arm, "overhead").values() for arm in findings.spec.arms}
    means = {arm: float(np.mean(list(values))) for arm, values in overheads.items() if values}
    bands = "Means over the seeds during training, with bands of one standard deviation"
    figures = {
        "differences.png": ("Paired differences to the reference, with their 95 % intervals", _differences(findings)),
        "curves.png": (bands, _curves(findings)),
        "prompts.png": ("Against the number of prompts", _scatter(findings, prompts, "number of prompts")),
        "overhead.png": ("Against the overhead in time", _scatter(findings, means, "overhead in time A_O, %")),
    }
    drawn = {name: (caption, figure) for name, (caption, figure) in figures.items() if figure is not None}
    for name, (_, figure) in drawn.items():
        write_atomically(folder / name, partial(figure.savefig, format="png", dpi=110))
    return {name: caption for name, (caption, _) in drawn.items()}


def _differences(findings: Findings) -> Any:
    arms = [arm for arm in findings.spec.arms if arm != findings.spec.reference][::-1]
    if not arms:
        return None
    figure, panels = _panels(len(findings.metrics), 1 + 0.35 * len(arms))
    for axes, metric in zip(panels, findings.metrics, strict=False):
        lower = lower_is_better(metric)
        for place, arm in enumerate(arms):
            difference = findings.difference(arm, metric)
            if difference is not None:
                color = _COLORS[1 if (difference.mean < 0) == lower else 2] if difference.shown else _GREY
                axes.plot([difference.low, difference.high], [place, place], color=color, linewidth=2)
                axes.plot(difference.mean, place, "o" if difference.shown else "D", color=color)
        axes.axvline(0, color="black", linewidth=1)
        axes.set(yticks=range(len(arms)), yticklabels=arms, ylim=(-0.5, len(arms) - 0.5))
        axes.set_title(f"{metric} ({'lower' if lower else 'higher'} is better)", fontsize=10)
    reference = findings.spec.reference
    figure.suptitle(f"Difference to {reference}, 95 % interval: blue better, orange worse, grey not shown")
    return figure


def _curves(findings: Findings) -> Any:
    points = [point for arm in findings.spec.arms for row in findings.done(arm).values() for point in row["curve"]]
    names = [name for name in ("loss", "nll", "top1", "top5") if len({p["epoch"] for p in points if name in p}) > 1]
    if not names:
        return None
    figure, panels = _panels(len(names), 3)
    for axes, name in zip(panels, names, strict=False):
        for arm in findings.spec.arms:
            curves = [[point[name] for point in row["curve"] if name in point] for row in findings.done(arm).values()]
            if curves:
                epochs = [point["epoch"] for point in next(iter(findings.done(arm).values()))["curve"] if name in point]
                mean, spread, color = np.mean(curves, 0), np.std(curves, 0), _color(findings, arm)
                axes.plot(epochs, mean, color=color, label=arm)
                axes.fill_between(epochs, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
        axes.set_title(f"{name}, {'training' if name == 'loss' else 'validation'}", fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[0].legend(fontsize=8)
    return figure


def _scatter(findings: Findings, places: Mapping[str, float], label: str) -> Any:
    """Draw the first metric against a number that each arm has."""
    metric = findings.metrics[0]
    if len(set(places.values())) < 2:  # noqa: PLR2004
        return None
    figure, [axes] = _panels(1, 4)
    figure.set_size_inches(7, 4)
    for arm, place in sorted(places.items(), key=lambda pair: pair[1]):
        values = list(findings.values(arm, metric).values())
        if values:
            mean, spread = np.mean(values), np.std(values)
            axes.errorbar(place, mean, spread, fmt="o", color=_color(findings, arm), capsize=3)
            axes.annotate(arm, (place, mean), xytext=(6, 4), textcoords="offset points", fontsize=8)
    axes.set(xlabel=label, ylabel=f"{metric}, mean and standard deviation")
    axes.margins(0.15)
    return figure


def _color(findings: Findings, arm: str) -> str:
    return _COLORS[list(findings.spec.arms).index(arm) % len(_COLORS)]


def _panels(count: int, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415  slow

    rows, columns = -(-count // _BESIDE), min(count, _BESIDE)
    figure = Figure(figsize=(4.2 * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for unused in axes.flat[count:]:
        unused.axis("off")
    return figure, list(axes.flat)
