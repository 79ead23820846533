"""The command that trains pipelines against each other: compare."""

import argparse
from pathlib import Path
from typing import Any

from tqdm import tqdm

from albu_diffusemix.cli.common import DONE, SOME_FAILED, complain, positive, say
from albu_diffusemix.compare.spec import read_spec

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the command of this room to the parser's."""
    compare = commands.add_parser("compare", help="train pipelines against each other on your data, with several seeds")
    compare.add_argument("data", metavar="SPEC_OR_DATA", help="spec, a .yaml file")
    compare.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the results")
    compare.add_argument("--seeds", type=positive, help="number of seeds")
    compare.add_argument("--workers", type=positive, default=1, help="processes that train (%(default)s)")
    compare.add_argument("--threads", type=positive, default=1, help="threads that each computes with (%(default)s)")
    compare.add_argument("--retry-failed", action="store_true", help="run again what failed before")
    compare.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> int:
    from albu_diffusemix.compare.comparison import Comparison  # noqa: PLC0415  it brings torch
    from albu_diffusemix.compare.runs import Results, pending, run_all  # noqa: PLC0415  it brings torch

    changed = {} if options.seeds is None else {"seeds": options.seeds}
    comparison = Comparison(read_spec(Path(options.data), **changed), options.threads)
    comparison.check()
    results = Results(options.output)
    results.refuse_other(comparison)
    runs = pending(comparison.spec, results.rows(), retry_failed=options.retry_failed)
    total = len(runs) * comparison.spec.train.epochs
    with tqdm(total=total, unit="epoch", dynamic_ncols=True, disable=total == 0) as bar:
        for row in run_all(comparison, runs, options.workers, bar.update):
            results.append(row)
            if "failed" in row:
                bar.clear()
                complain(f"{row['arm']}, seed {row['seed']} failed: {row['failed']}")
    rows = results.rows()
    say(f"Rows: {len(rows)} in {options.output}")
    return SOME_FAILED if any("failed" in row for row in rows.values()) else DONE
