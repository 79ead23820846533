"""The command that trains pipelines against each other: compare."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.cli.common import DONE, SOME_FAILED, add_shard, complain, positive, say
from albu_diffusemix.cli.data_flags import DATA, add_data_flags
from albu_diffusemix.cli.progress import describe_duration
from albu_diffusemix.compare.spec import Spec, check_spec, read_spec

if TYPE_CHECKING:
    from albu_diffusemix.compare.comparison import Comparison
    from albu_diffusemix.compare.runs import Results

__all__ = ["add_commands"]

_VALIDATION = 0.2
_TRAIN = {"epochs": positive, "batch_size": positive, "lr": float}


def add_commands(commands: Any) -> None:
    """Add the command of this room to the parser's."""
    compare = commands.add_parser("compare", help="train pipelines against each other on your data, with several seeds")
    compare.add_argument("data", metavar="SPEC_OR_DATA", help=f"spec, a .yaml file; or with --pipeline: {DATA}")
    add_data_flags(compare)
    compare.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the results")
    compare.add_argument(
        "--pipeline", action="append", default=[], metavar="FILE", help="an arm, what A.save wrote; give several"
    )
    sides = compare.add_mutually_exclusive_group()
    sides.add_argument("--validation", metavar="DATA", help="images to measure on (a fifth of DATA, drawn by seed)")
    sides.add_argument(
        "--per-class", type=positive, metavar="N", help="train on N of each class, measure on the others"
    )
    compare.add_argument("--model", metavar="NAME", help="small_resnet, preact_resnet18, timm's, or module:factory")
    for name, kind in _TRAIN.items():
        compare.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"in place of the spec's train.{name}")
    compare.add_argument("--seeds", type=positive, metavar="N", help="number of seeds (5)")
    compare.add_argument("--workers", type=positive, default=1, help="processes that train on CPU cores (%(default)s)")
    compare.add_argument("--threads", type=positive, default=1, help="threads that each computes with (%(default)s)")
    add_shard(compare, "make")
    compare.add_argument("--retry-failed", action="store_true", help="make again what failed before")
    compare.add_argument(
        "--dry-run", action="store_true", help="take a few steps of each arm, and tell how long all take"
    )
    compare.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> int:
    for package in ("torch", "torchmetrics", "matplotlib"):
        if find_spec(package) is None:
            raise ValueError(f"compare needs {package}: pip install {package}")
    from albu_diffusemix.compare.comparison import Comparison  # noqa: PLC0415  it brings torch
    from albu_diffusemix.compare.runs import Results  # noqa: PLC0415  it brings torch

    comparison = Comparison(_spec(options), options.threads)
    if options.dry_run:
        return _estimate(comparison, options.workers * options.shard[1])
    i, n = options.shard
    results = Results(options.output, f".{i}of{n}" if n > 1 else "")
    results.begin(comparison)
    try:
        _make(comparison, results, options)
    finally:
        failed = _publish(comparison, results)
    return SOME_FAILED if failed else DONE


def _spec(options: argparse.Namespace) -> Spec:
    """Return the spec that a file or the flags describe."""
    train = {name: getattr(options, name) for name in _TRAIN if getattr(options, name) is not None}
    changed = {name: getattr(options, name) for name in ("model", "seeds", "validation") if getattr(options, name)}
    if options.data.lower().endswith((".yaml", ".yml")):
        if options.pipeline or options.per_class:
            raise ValueError("--pipeline and --per-class are for DATA without a spec: write them into the spec")
        return read_spec(Path(options.data), changed, train)
    if not options.pipeline:
        raise ValueError(f"give a spec, a .yaml file, or {options.data} with --pipeline FILE for each arm")
    arms = {Path(file).stem: {"pipeline": file} for file in options.pipeline}
    if len(arms) < len(options.pipeline):
        raise ValueError("two of the --pipeline files have one name: rename one, since arms are named after them")
    columns = {"images": options.images, "key": options.key_column, "label": options.label_column}
    data = {"path": options.data, **columns, "image": options.image_column, "split": options.split}
    drawn: dict[str, Any] = {"per_class": options.per_class} if options.per_class else {"validation": _VALIDATION}
    split = None if options.validation else drawn
    return check_spec({"data": data, "split": split, "arms": arms, "train": train, **changed}, "compare", Path())


def _estimate(comparison: "Comparison", processes: int) -> int:
    spec, each = comparison.spec, {}
    for name in tqdm(spec.arms, unit="arm", leave=False, disable=None):
        each[name] = comparison.estimate(name)
        say(f"{name}: about {describe_duration(each[name])} a run")
    seconds = sum(each.values()) * len(spec.seeds) / processes
    runs = f"{len(spec.arms)} arms x {len(spec.seeds)} seeds, {processes} at a time"
    say(f"All: {runs}: about {describe_duration(seconds)}")
    return DONE


def _make(comparison: "Comparison", results: "Results", options: argparse.Namespace) -> None:
    from albu_diffusemix.compare.runs import pending, run_all  # noqa: PLC0415  it brings torch

    runs = pending(comparison.spec, results.rows(), options.shard, retry_failed=options.retry_failed)
    total = len(runs) * comparison.spec.train.epochs
    with tqdm(total=total, unit="epoch", dynamic_ncols=True, disable=True if total == 0 else None) as bar:
        for row in run_all(comparison, runs, options.workers, bar.update):
            results.append(row)
            if "failed" in row:
                bar.clear()
                complain(f"{row['arm']}, seed {row['seed']} failed: {row['failed']}")


def _publish(comparison: "Comparison", results: "Results") -> int:
    """Write the report and its pictures, and say the answer; return the number of failed runs."""
    from albu_diffusemix.compare.pictures import draw_pictures  # noqa: PLC0415  it brings torch
    from albu_diffusemix.compare.report import Findings, write_report  # noqa: PLC0415  it brings torch

    findings = Findings(comparison.spec, results.rows())
    pictures = draw_pictures(findings, comparison.prompts, results.folder)
    text = write_report(findings, results.made_with(), pictures)
    write_atomically(results.folder / "report.md", lambda file: file.write(text.encode()))
    say(*findings.answers(), f"Report: {results.folder / 'report.md'}")
    return sum("failed" in row for row in findings.rows.values())
