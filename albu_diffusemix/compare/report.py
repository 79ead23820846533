"""The report: every arm and every metric, with its interval, whatever they say."""

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from albu_diffusemix.compare.differences import Difference, paired
from albu_diffusemix.compare.runs import Row, Run
from albu_diffusemix.compare.spec import Spec

__all__ = ["PICTURES", "Findings", "write_report"]

PICTURES = {
    "differences.png": "Paired differences to the reference, with their 95 % intervals",
    "curves.png": "Means over the seeds during training, with bands of one standard deviation",
    "prompts.png": "Against the number of prompts (the paper's Figure 5)",
    "overhead.png": "Against the overhead in time (the paper's Figure 6)",
}
LOWER = ("nll", "error", "ece", "rms_calibration", "flip_probability")
"""Metrics whose names end in one of these, or begin with `error_`, are better when they are lower."""


_ALWAYS_SAID = (
    "- All arms of a seed share split, initial weights, order of images, number of steps and evaluation. What is",
    "  measured is the model after the last epoch, never the best one.",
    "- Intervals are Student's t over the differences of the seeds, 95 %. Of 20 comparisons without any true",
    "  difference, about one interval leaves out zero by chance.",
    "- Corruptions are the host's transforms at severities of our own, not ImageNet-C. FGSM and corruptions change",
    "  pixels before Normalize.",
)


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
        """Return what an arm reached, by seed."""
        return {seed: row["metrics"][metric] for seed, row in self.done(arm).items() if metric in row["metrics"]}

    def difference(self, arm: str, metric: str) -> Difference | None:
        """Return the paired difference of an arm to the reference."""
        return paired(self.values(arm, metric), self.values(str(self.spec.reference), metric))

    def answers(self) -> list[str]:
        """Return a line for each arm but the reference: what the first metric says."""
        arms = [arm for arm in self.spec.arms if arm != self.spec.reference]
        return [_answer(self, arm, self.metrics[0]) for arm in arms] if self.metrics else ["Nothing was measured."]

    def seconds(self, arm: str) -> float | None:
        """Return the mean time of training, with that of making counterparts where the spec says it."""
        times = [row["seconds"]["training"] for row in self.done(arm).values()]
        return statistics.mean(times) + self.spec.arms[arm].generation_seconds if times else None

    def overhead(self, arm: str) -> float | None:
        """Return the paper's A_O in percent: how much longer than the reference an arm takes."""
        ours, reference = self.seconds(arm), self.seconds(str(self.spec.reference))
        return None if ours is None or not reference else 100 * (ours - reference) / reference


def lower_is_better(metric: str) -> bool:
    """Return whether a metric is better when it is lower."""
    return metric.endswith(LOWER) or metric.startswith("error_")


def write_report(findings: Findings, made_with: Mapping[str, Any], pictures: list[str]) -> str:
    """Return the report, in Markdown.

    Args:
        findings: What the rows say.
        made_with: `comparison.json`, with the fingerprints of what made counterparts.
        pictures: Files of pictures that lie beside it.

    """
    spec, rows = findings.spec, findings.rows.values()
    missing = len(spec.arms) * len(spec.seeds) - len(rows)
    lines = [f"# {spec.title}", ""]
    lines += [f"- {answer}" for answer in findings.answers()]
    lines += ["", *([f"{missing:,} of its runs are still missing.", ""] if missing else [])]
    lines += [line for name in pictures for line in (f"![{PICTURES[name]}]({name})", "")]
    for metric in findings.metrics:
        lines += [*_table(findings, metric), ""]
    lines += [*_times(findings), ""]
    failed = [f"- {row['arm']}, seed {row['seed']}: {row['failed']}" for row in rows if "failed" in row]
    lines += ["## Failed", "", *failed, ""] if failed else []
    return "\n".join([*lines, *_how(findings, made_with)]) + "\n"


def _answer(findings: Findings, arm: str, metric: str) -> str:
    difference = findings.difference(arm, metric)
    if difference is None:
        return f"{arm}: not measured."
    told = f"{_verdict(difference, metric)}, {_interval(difference)}"
    return f"{arm} against {findings.spec.reference}, {metric}: {told}."


def _interval(difference: Difference) -> str:
    if difference.seeds == 1:
        return f"{difference.mean:+.3g} (one seed: no interval)"
    return f"{difference.mean:+.3g} ({difference.low:+.3g} to {difference.high:+.3g}, {difference.seeds} seeds)"


def _verdict(difference: Difference, metric: str) -> str:
    if difference.shown:
        return "better" if (difference.mean < 0) == lower_is_better(metric) else "worse"
    if difference.needed is None:
        return "no difference shown"
    return f"no difference shown (about {difference.needed - difference.seeds} more seeds would tell)"


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
        difference = None if arm == spec.reference else findings.difference(arm, metric)
        told = (_interval(difference), _verdict(difference, metric)) if difference else ("", "")
        last = f" {published.get(arm, '')} |" if beside else ""
        yield f"| {arm} | {mean} | {spread} | {len(values)} | {told[0]} | {told[1]} |{last}"
    for name in published.keys() - spec.arms.keys():
        yield f"| {name}, not run here | | | | | | {published[name]} |"


def _times(findings: Findings) -> Iterator[str]:
    yield "## Time"
    yield ""
    yield "| Arm | Seconds of training, a run | Overhead A_O, % |"
    yield "|---|---|---|"
    for arm in findings.spec.arms:
        seconds, overhead = findings.seconds(arm), findings.overhead(arm)
        told = ("" if number is None else f"{number:{form}}" for number, form in ((seconds, ".1f"), (overhead, "+.0f")))
        yield f"| {arm} | {' | '.join(told)} |"
    yield ""
    yield "A_O is the paper's: how much longer an arm takes than the reference. Making counterparts counts where the"
    yield "spec gives an arm's `generation_seconds`."


def _how(findings: Findings, made_with: Mapping[str, Any]) -> Iterator[str]:
    spec, rows = findings.spec, list(findings.rows.values())
    yield "## How it was made"
    yield ""
    yield from (f"- {note}" for note in spec.notes)
    yield from (f"- {line}" for line in dict.fromkeys(_machine(row) for row in rows))
    for arm, made in made_with.get("arms", {}).items():
        yield from (f"- Counterparts of {arm}: {fingerprint}" for fingerprint in made.get("counterparts", ()))
    yield from _ALWAYS_SAID
    yield ""
    yield "```yaml"
    yield yaml.safe_dump(spec.model_dump(mode="json", exclude_defaults=True), sort_keys=False, width=100).rstrip()
    yield "```"


def _machine(row: Row) -> str:
    return f"{row['device']}; {', '.join(f'{name} {version}' for name, version in row['versions'].items())}"
