"""The command that writes a data set of mixed images: bake."""

import argparse
import contextlib
from collections import deque
from pathlib import Path
from typing import Any

from albu_diffusemix.bake import FORMATS, BakeOptions, BakePlan, BakeSummary, estimate, make_plan, run
from albu_diffusemix.cli.common import DONE, INTERRUPTED, SOME_FAILED, add_exclude, complain, positive, say
from albu_diffusemix.cli.data_flags import DATA, add_data_flags, columns_of
from albu_diffusemix.cli.progress import Bar, describe_duration, stoppable
from albu_diffusemix.generate import Outcome, describe_size

__all__ = ["add_commands"]

_SHOWN = 10


def add_commands(commands: Any) -> None:
    """Add the command to the parser's."""
    bake = commands.add_parser("bake", help="write a data set of mixed, labelled images, for any trainer")
    bake.add_argument("data", metavar="DATA", help=DATA)
    add_data_flags(bake)
    bake.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="folder of the set: a new one, or one to continue",
    )
    bake.add_argument("--pipeline", type=Path, required=True, metavar="FILE", help="pipeline that A.save wrote")
    bake.add_argument(
        "--per-image", type=positive, default=1, metavar="M", help="mixed images for each source (%(default)s)"
    )
    bake.add_argument("--keep-originals", action="store_true", help="write each source as well, as it is")
    bake.add_argument(
        "--format", choices=FORMATS, dest="output_format", help="layout of the set (that of DATA, or a folder)"
    )
    bake.add_argument("--base-seed", type=int, default=0, help="number that all seeds are derived from (%(default)s)")
    bake.add_argument("--workers", type=positive, default=1, help="number of processes (%(default)s)")
    bake.add_argument(
        "--retry-failed",
        action="store_true",
        help="go back to the first image that failed, and go on from there",
    )
    add_exclude(bake)
    bake.add_argument(
        "--import",
        action="append",
        default=[],
        dest="modules",
        metavar="MODULE",
        help="module to import first in each process, such as one with a transform of yours",
    )
    bake.add_argument("--dry-run", action="store_true", help="print how long it will take, and write nothing")
    bake.set_defaults(run=_bake)


def _bake(options: argparse.Namespace) -> int:
    names = BakeOptions.__dataclass_fields__
    given = {name: value for name, value in vars(options).items() if name in names}
    listed = {"exclude": tuple(options.exclude), "modules": tuple(options.modules), "columns": columns_of(options)}
    plan = make_plan(BakeOptions(**{**given, **listed}))
    for warning in plan.selection.doubts():
        complain(f"warning: {warning}")
    say(*_describe(plan), *plan.selection.describe())
    left = plan.total - plan.done
    if options.dry_run:
        seconds, size = estimate(plan)
        say(
            f"Time: {describe_duration(left * seconds)} in one process",
            f"Size: {describe_size(plan.total * size)}; nothing was written.",
        )
        return DONE
    failures: deque[dict[str, Any]] = deque(maxlen=_SHOWN)
    with contextlib.closing(Bar(left)) as bar, stoppable() as stop:
        summary = run(plan, lambda row: _report(row, bar, failures), stop)
    say(*_describe_end(summary, failures, options.output))
    if summary.interrupted:
        return INTERRUPTED
    return SOME_FAILED if summary.failed or plan.selection.refused else DONE


def _describe(plan: BakePlan) -> list[str]:
    tried = f", {plan.failed:,} of them failed (--retry-failed tries them again)" if plan.failed else ""
    return [
        f"Sources: {len(plan.sources):,}; images of each: {plan.each:,}; format: {plan.recipe['format']}",
        f"Images: {plan.total:,}, {plan.done:,} done{tried}",
    ]


def _report(row: dict[str, Any], bar: Bar, failures: "deque[dict[str, Any]]") -> None:
    if "failed" in row:
        failures.append(row)
    bar.outcome(Outcome(row["source"], str(row["n"]), row.get("failed", ""), 0, 0))


def _describe_end(summary: BakeSummary, failures: "deque[dict[str, Any]]", output: Path) -> list[str]:
    lines = [f"Made {summary.made:,} images; {summary.failed:,} failed"]
    lines += [f"  failed: {row['file']}: {row['failed']}" for row in failures]
    return [
        *lines,
        f"{'Interrupted; run the same command again to go on' if summary.interrupted else 'Baked'}: {output}",
    ]
