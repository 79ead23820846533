"""The report: every arm and every metric, with its interval, whatever they say."""

import math
import statistics
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import yaml
from scipy.special import stdtrit

from albu_diffusemix.compare.runs import Row, Run
from albu_diffusemix.compare.spec import Spec
from albu_diffusemix.text import table_cell

__all__ = ["Difference", "Findings", "paired", "write_report"]

LOWER = ("nll", "error", "ece", "rms_calibration", "flip_probability", "seconds", "overhead")
"""Metrics whose names end in one of these, or begin with `error_`, are better when they are lower."""

TIMES = ("training_seconds", "overhead")
_ALWAYS_SAID = """\
- All arms of a seed share split, initial weights, order of images, number of steps and evaluation. What is
  measured is the model after the last epoch, never the best one.
- Intervals are Student's t over the differences of the seeds, 95 %. Of 20 comparisons without any true
  difference, about one interval leaves out zero by chance.
- Corruptions are the host's transforms at severities of our own, not ImageNet-C. FGSM and corruptions change
  pixels before Normalize.
- The overhead is the paper's A_O: how much longer than the reference an arm takes, in percent. Making
  counterparts counts where the spec gives an arm's `generation_seconds`."""


MOST_SEEDS = 1000
"""More are never said to be needed: a difference so small is nobody's concern."""


class Difference(NamedTuple):
    """A mean difference over seeds.

    Attributes:
        mean: Of the differences.
        low: Lower end of the interval; NaN with one seed.
        high: Upper end.
        seeds: How many both arms have.
        needed: Seeds with which an interval of this spread around this mean would leave out zero; None beyond
            `MOST_SEEDS`.

    """

    mean: float
    low: float
    high: float
    seeds: int
    needed: int | None

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired(ours: Mapping[int, float], reference: Mapping[int, float]) -> Difference | None:
    """Compare the values of two arms seed by seed.

    Args:
        ours: Value by seed.
        reference: Value by seed.

    Returns:
        None where no seed is in both.

    """
    each = np.array([ours[seed] - reference[seed] for seed in ours if seed in reference])
    if not len(each):
        return None
    mean = float(each.mean())
    if len(each) == 1:
        return Difference(mean, math.nan, math.nan, 1, None)
    spread = float(each.std(ddof=1))
    half = _half_of_interval(spread, len(each))
    candidates = range(2, MOST_SEEDS + 1) if mean else ()
    needed = next((seeds for seeds in candidates if _half_of_interval(spread, seeds) < abs(mean)), None)
    return Difference(mean, mean - half, mean + half, len(each), needed)


def _half_of_interval(spread: float, seeds: int) -> float:
    return float(stdtrit(seeds - 1, 0.975) * spread / seeds**0.5)


class Findings:
    """What the rows of a spec say.

    Args:
        spec: With all arms and a reference.
        rows: Of any arms and seeds.

    Attributes:
        spec: The spec.
        rows: Those of the spec's arms and seeds.
        metrics: Names of all that was measured, in order.

    """

    def __init__(self, spec: Spec, rows: Mapping[Run, Row]) -> None:
        self.spec = spec
        self.rows = {run: row for run, row in rows.items() if run.arm in spec.arms and run.seed in spec.seeds}
        self.metrics = list(dict.fromkeys(name for row in self.rows.values() for name in row.get("metrics", ())))

    def done(self, arm: str) -> dict[int, Row]:
        """Return the rows of an arm that did not fail, by seed."""
        return {run.seed: row for run, row in self.rows.items() if run.arm == arm and "metrics" in row}

    def values(self, arm: str, metric: str) -> dict[int, float]:
        """Return what an arm reached, or how long it took, by seed."""
        if metric == "training_seconds":
            making = self.spec.arms[arm].generation_seconds
            return {seed: row["seconds"]["training"] + making for seed, row in self.done(arm).items()}
        if metric == "overhead":
            ours, reference = (self.values(name, "training_seconds") for name in (arm, str(self.spec.reference)))
            return {seed: 100 * (ours[seed] / reference[seed] - 1) for seed in ours if reference.get(seed)}
        return {seed: row["metrics"][metric] for seed, row in self.done(arm).items() if metric in row["metrics"]}

    def difference(self, arm: str, metric: str) -> Difference | None:
        """Return the paired difference of an arm to the reference."""
        return paired(self.values(arm, metric), self.values(str(self.spec.reference), metric))

    def answers(self) -> list[str]:
        """Return a line for each arm but the reference: what the first metric says."""
        if not self.metrics:
            return ["Nothing was measured."]
        arms = [arm for arm in self.spec.arms if arm != self.spec.reference]
        return [self._answer(arm, self.metrics[0]) for arm in arms]

    def _answer(self, arm: str, metric: str) -> str:
        verdict, interval = _told(self.difference(arm, metric), metric)
        against = f"{arm} against {self.spec.reference}, {metric}"
        return f"{against}: {verdict}, {interval}." if verdict else f"{arm}: not measured."


def lower_is_better(metric: str) -> bool:
    """Return whether a metric is better when it is lower."""
    return metric.endswith(LOWER) or metric.startswith("error_")


def write_report(findings: Findings, made_with: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Return the report, in Markdown.

    Args:
        findings: What the rows say.
        made_with: `comparison.json`, with the fingerprints of what made counterparts.
        pictures: Captions of the pictures that lie beside it, by file.

    """
    spec, rows = findings.spec, findings.rows.values()
    missing = len(spec.arms) * len(spec.seeds) - len(rows)
    lines = [f"# {spec.title}", "", *(f"- {answer}" for answer in findings.answers()), ""]
    lines += [f"{missing:,} of its runs are still missing.", ""] if missing else []
    lines += [line for name, caption in pictures.items() for line in (f"![{caption}]({name})", "")]
    lines += [line for metric in (*findings.metrics, *TIMES) for line in (*_table(findings, metric), "")]
    failed = [f"- {row['arm']}, seed {row['seed']}: {row['failed']}" for row in rows if "failed" in row]
    lines += ["## Failed", "", *failed, ""] if failed else []
    lines += ["## How it was made", "", *(f"- {note}" for note in spec.notes), *dict.fromkeys(map(_machine, rows))]
    for arm, made in made_with.get("arms", {}).items():
        lines += [f"- Counterparts of {arm}: {fingerprint}" for fingerprint in made.get("counterparts", ())]
    told = yaml.safe_dump(spec.model_dump(mode="json", exclude_defaults=True), sort_keys=False, width=100)
    return "\n".join([*lines, _ALWAYS_SAID, "", "```yaml", f"{told}```", ""])


def _told(difference: Difference | None, metric: str) -> tuple[str, str]:
    """Return what a difference says, and its interval."""
    if difference is None:
        return "", ""
    mean, low, high, seeds, needed = difference
    if seeds == 1:
        interval = f"{mean:+.3g} (one seed: no interval)"
    else:
        interval = f"{mean:+.3g} ({low:+.3g} to {high:+.3g}, {seeds} seeds)"
    if difference.shown:
        return "better" if (mean < 0) == lower_is_better(metric) else "worse", interval
    more = "" if needed is None else f" (about {needed - seeds} more seeds would tell)"
    return f"no difference shown{more}", interval


def _table(findings: Findings, metric: str) -> Iterator[str]:
    spec = findings.spec
    numbers = spec.paper.numbers if spec.paper else {}
    published = {name: told[metric] for name, told in numbers.items() if metric in told}
    yield f"## {metric}: {'lower' if lower_is_better(metric) else 'higher'} is better"
    yield ""
    beside = f" {spec.paper.table} |" if published and spec.paper else ""
    yield f"| Arm | Mean | Standard deviation | Seeds | Difference to {spec.reference}, 95 % interval | |{beside}"
    yield f"|---|---|---|---|---|---|{'---|' if beside else ''}"
    for arm in spec.arms:
        values = list(findings.values(arm, metric).values())
        mean = f"{statistics.mean(values):.4g}" if values else "not measured"
        spread = f"{statistics.stdev(values):.3g}" if len(values) > 1 else ""
        verdict, interval = _told(None if arm == spec.reference else findings.difference(arm, metric), metric)
        last = f" {published.get(arm, '')} |" if beside else ""
        yield f"| {table_cell(arm)} | {mean} | {spread} | {len(values)} | {interval} | {verdict} |{last}"
    for name in published.keys() - spec.arms.keys():
        yield f"| {table_cell(name)}, not run here | | | | | | {published[name]} |"


def _machine(row: Row) -> str:
    return f"- {row['device']}; {', '.join(f'{name} {version}' for name, version in row['versions'].items())}"
