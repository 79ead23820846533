"""Commands that bring counterparts in and out: import, export."""

import argparse
import contextlib
from pathlib import Path
from typing import Any

from tqdm import tqdm

from albu_diffusemix.cli.common import (
    DONE,
    INTERRUPTED,
    SOME_FAILED,
    STORE,
    add_exclude,
    add_new_store,
    say,
)
from albu_diffusemix.cli.data_flags import add_data_flags, columns_of
from albu_diffusemix.cli.progress import Bar, describe_summary, stoppable
from albu_diffusemix.curate import read_scores
from albu_diffusemix.datasets import find_sources
from albu_diffusemix.exchange import (
    ImportOptions,
    PairRows,
    export_folder,
    export_kaggle,
    export_parquet,
    plan_import,
    run_import,
)
from albu_diffusemix.generate import ENCODINGS
from albu_diffusemix.store import Store

__all__ = ["add_commands"]

_EXPORTS = {"folder": export_folder, "parquet": export_parquet, "kaggle": export_kaggle}
_SHOWN = 10


def add_commands(commands: Any) -> None:
    """Add the commands of this room to the parser's."""
    _add_import(commands)
    _add_export(commands)


def _add_import(commands: Any) -> None:
    importing = commands.add_parser("import", help="make a store of a folder of counterparts")
    importing.add_argument(
        "folder", type=Path, help="with <class>/<file>_generated_<prompt>_<number>.jpg or <key>/<variant>.jpg"
    )
    add_new_store(importing)
    importing.add_argument("--sources", required=True, metavar="DATA", help="the data set that they were made from")
    add_data_flags(importing)
    importing.add_argument(
        "--encoding", choices=list(ENCODINGS), default="jpeg", help="format of the image files (%(default)s)"
    )
    add_exclude(importing)
    importing.add_argument("--allow-mixed", action="store_true", help="continue a store made with other parameters")
    importing.set_defaults(run=_import)


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="write a store as a folder of images, as Parquet files or for Kaggle")
    export.add_argument("store", metavar="STORE", help=STORE)
    export.add_argument("--to", choices=list(_EXPORTS), required=True, help="what to write")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="a new or an empty folder")
    export.add_argument(
        "--sources",
        metavar="DATA",
        help="with --to parquet: the data set that they were made from, to write both images, prompt, label and scores",
    )
    add_data_flags(export)
    export.set_defaults(run=_export)


def _import(options: argparse.Namespace) -> int:
    plan = plan_import(
        ImportOptions(
            options.folder,
            options.sources,
            options.output,
            options.encoding,
            options.allow_mixed,
            tuple(options.exclude),
            columns_of(options),
        )
    )
    say(f"Files: {plan.pending:,} of {len(plan.arrivals):,} sources; {len(plan.unmatched):,} without a source")
    say(*plan.selection.describe())
    for reason in plan.unmatched[:_SHOWN]:
        say(f"  left out: {reason}")
    if len(plan.unmatched) > _SHOWN:
        say(f"  ... and {len(plan.unmatched) - _SHOWN:,} more")
    with contextlib.closing(Bar(plan.pending)) as bar, stoppable() as stop:
        summary = run_import(plan, bar, stop)
    say(*describe_summary(summary, options.output))
    if summary.interrupted:
        return INTERRUPTED
    return SOME_FAILED if summary.failed or plan.unmatched else DONE


def _export(options: argparse.Namespace) -> int:
    store, rows = Store.open(options.store), []
    if options.sources:
        if options.to != "parquet":
            raise ValueError(f"--sources is for --to parquet; --to {options.to} has counterparts alone")
        rows = [PairRows(store, find_sources(options.sources, store.path, columns_of(options)), read_scores(store))]
    with tqdm(total=store.status().images, unit="image") as bar:
        count = _EXPORTS[options.to](store, options.output, bar.update, *rows)
    say(f"Exported {count:,} counterparts: {options.output}")
    return DONE
