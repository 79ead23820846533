"""The command that shows counterparts in a browser: review."""

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from albu_diffusemix.cli.common import DONE, SOME_FAILED, complain, positive, say
from albu_diffusemix.cli.data_flags import DATA, add_data_flags, columns_of
from albu_diffusemix.curate import read_scores
from albu_diffusemix.curate.page import write_page
from albu_diffusemix.curate.pictures import Sources
from albu_diffusemix.curate.score_files import SCORES
from albu_diffusemix.curate.server import ReviewServer
from albu_diffusemix.curate.table import ReviewTable
from albu_diffusemix.store import Store
from albu_diffusemix.store.remote import HUB

__all__ = ["add_commands"]

_SHOWN = 10
_MOST_PORT = 65_535


def add_commands(commands: Any) -> None:
    """Add the command to the parser's."""
    review = commands.add_parser("review", help="look at counterparts in a browser, and accept or reject them")
    review.add_argument(
        "stores",
        nargs="+",
        metavar="STORE",
        help=f"one store, or several that are compared; what they were made from may stand last, DATA: {DATA}",
    )
    add_data_flags(review)
    where = review.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", type=Path, metavar="PAGE", help="page to write, such as review.html")
    where.add_argument(
        "--serve", action="store_true", help="show it from here until Ctrl-C, and write each verdict at once"
    )
    review.add_argument("--limit", type=positive, metavar="N", help="counterparts in the page at the most (all)")
    review.add_argument("--port", type=_port, default=0, help="port of --serve (one that is free)")
    review.set_defaults(run=_review)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _MOST_PORT:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {_MOST_PORT}; got {text!r}")
    return int(text)


def _review(options: argparse.Namespace) -> int:
    stores, data = _stores_and_data(options.stores)
    sources = Sources(data, stores[0].path, columns_of(options))
    table = ReviewTable(stores, sources.label, _scores)
    return _serve(table, sources, options.port) if options.serve else _write(table, sources, options)


def _scores(store: Store) -> Any:
    """Return the scores of a store; those without any need no pyarrow."""
    return read_scores(store) if (store.path / SCORES).is_dir() else None


def _stores_and_data(given: list[str]) -> tuple[list[Store], str | None]:
    """Open the stores; the last name is the data set if it is not a store."""
    *first, last = given
    if not first or last.startswith(HUB) or (Path(last) / "store.json").exists():
        return [Store.open(path) for path in given], None
    return [Store.open(path) for path in first], last


def _write(table: ReviewTable, sources: Sources, options: argparse.Namespace) -> int:
    total = min(len(table), options.limit or len(table))
    with tqdm(total=total, unit="image", leave=False, disable=None) as bar:
        problems = write_page(table, sources, options.output, options.limit, bar.update)
    for problem in problems[:_SHOWN]:
        complain(f"cannot be shown: {problem}")
    if len(problems) > _SHOWN:
        complain(f"... and {len(problems) - _SHOWN:,} more")
    say(f"Page: {options.output} ({total:,} counterparts). Open it in a browser; it needs no network.")
    say("What its button saves is for: albu-diffusemix reject STORE --from choices.jsonl")
    return SOME_FAILED if problems else DONE


def _serve(table: ReviewTable, sources: Sources, port: int) -> int:
    with ReviewServer(table, sources, port) as server, contextlib.suppress(KeyboardInterrupt):
        say(f"Open {server.address} in a browser. Each verdict is written at once; Ctrl-C ends.")
        sys.stdout.flush()  # it may be read by a program
        server.serve_forever()
    return DONE
