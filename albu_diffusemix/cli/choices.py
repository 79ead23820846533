"""Commands that throw counterparts out of a store, and bring them back: reject."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from albu_diffusemix.cli.common import DONE, SOME_FAILED, complain, say, store_folder
from albu_diffusemix.store import Store, Verdict
from albu_diffusemix.store.choices import REJECT
from albu_diffusemix.store.verdict_lists import fit, read_list

__all__ = ["add_commands"]

_SHOWN = 20


def add_commands(commands: Any) -> None:
    """Add the command to the parser's."""
    reject = commands.add_parser(
        "reject",
        help="throw counterparts out of a store, or bring them back",
        epilog="Training, exports and baked sets leave out what is rejected. Nothing is removed from the store.",
    )
    reject.add_argument("store", type=store_folder, metavar="STORE", help="folder of the store")
    reject.add_argument("keys", nargs="*", metavar="KEY", help="key of a source, whose counterparts are rejected")
    reject.add_argument(
        "--from",
        dest="file",
        type=Path,
        metavar="FILE",
        help="list of verdicts, .jsonl or .csv, such as the choices.jsonl of the review page",
    )
    reject.add_argument(
        "--variant",
        action="append",
        metavar="NAME",
        help="only these counterparts of each KEY, such as 0000; may be given several times (all)",
    )
    reject.add_argument("--reason", default="", metavar="TEXT", help="why, for whoever looks at the store later")
    reject.add_argument("--undo", action="store_true", help="bring back what is rejected")
    reject.set_defaults(run=_reject)


def _reject(options: argparse.Namespace) -> int:
    if bool(options.keys) == bool(options.file):
        raise ValueError("give the keys of sources, or --from FILE with verdicts: one of them")
    if options.file and options.variant:
        raise ValueError("--variant goes with KEY: in a list each line has its own variant")
    store = Store.open(options.store)
    listed = read_list(options.file) if options.file else _of_keys(options)
    fitting = fit(store, _with_reason(listed, options.reason), undo=options.undo)
    for complaint in fitting.complaints[:_SHOWN]:
        complain(complaint)
    if len(fitting.complaints) > _SHOWN:
        complain(f"{len(fitting.complaints) - _SHOWN:,} more verdicts like these cannot be taken")
    store.choose(fitting.verdicts)
    say(*_describe(store, fitting.verdicts, undo=options.undo))
    return SOME_FAILED if fitting.complaints else DONE


def _of_keys(options: argparse.Namespace) -> Iterator[tuple[str, Verdict]]:
    for key in options.keys:
        for variant in options.variant or [""]:
            yield key, Verdict(key, variant, REJECT)


def _with_reason(listed: Iterable[tuple[str, Verdict | str]], reason: str) -> Iterator[tuple[str, Verdict | str]]:
    for where, verdict in listed:
        given = isinstance(verdict, Verdict) and reason and not verdict.reason
        yield where, verdict._replace(reason=reason) if given and isinstance(verdict, Verdict) else verdict


def _describe(store: Store, verdicts: list[Verdict], *, undo: bool) -> Iterator[str]:
    rejected = sum(verdict.verdict == REJECT for verdict in verdicts)
    accepted = f", {len(verdicts) - rejected:,} accepted" if len(verdicts) > rejected else ""
    status = store.status()
    done = f"Brought back: {len(verdicts):,}" if undo else f"Rejected: {rejected:,}{accepted}"
    yield f"{done}; of {status.images:,} counterparts in {store.path} {status.rejected:,} are rejected now"
    keys = dict.fromkeys(verdict.key for verdict in verdicts)
    lost = [key for key in keys if not store.kept(store.variants(key))]
    if lost:
        yield (
            f"{len(lost):,} sources have no counterpart left, such as {lost[0]}: "
            "generate --replace-rejected makes others in their place"
        )
