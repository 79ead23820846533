"""Commands that tell of a store and repair it: status, verify, repair, doctor."""

import argparse
import math
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from operator import length_hint
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from albu_diffusemix.backends.precomputed.matching import Mismatch
from albu_diffusemix.cli.common import DONE, SOME_FAILED, STORE, add_exclude, say, store_folder
from albu_diffusemix.cli.data_flags import DATA, add_data_flags, columns_of
from albu_diffusemix.datasets import Selection, open_data
from albu_diffusemix.doctor import Coverage, examine, summarize
from albu_diffusemix.generate import describe_encoding, describe_size
from albu_diffusemix.image_decoding import describe_remarks
from albu_diffusemix.store import Recipe, Store, Verdict
from albu_diffusemix.store.choices import CHOICES, REJECT, last_of_each, opposite
from albu_diffusemix.text import parse_json

__all__ = ["add_commands"]

_MOST_RULES = 20
_TORN = "its writer was killed, or writes just now"


def add_commands(commands: Any) -> None:
    """Add the commands of this room to the parser's."""
    _add_status(commands)
    _add_verify(commands)
    _add_repair(commands)
    _add_doctor(commands)


def _add_status(commands: Any) -> None:
    status = commands.add_parser("status", help="count what a store holds, also while it is being written")
    status.add_argument("store", metavar="STORE", help=STORE)
    status.add_argument("--choices", action="store_true", help="also what was rejected by what, and opposite verdicts")
    status.set_defaults(run=_status)


def _add_verify(commands: Any) -> None:
    verify = commands.add_parser("verify", help="compare every byte of a store with its checks")
    verify.add_argument("store", metavar="STORE", help=STORE)
    verify.set_defaults(run=_verify)


def _add_repair(commands: Any) -> None:
    repair = commands.add_parser("repair", help="repair what verify finds; images that are lost can be made again")
    repair.add_argument("store", type=store_folder, metavar="STORE", help="folder of the store")
    repair.add_argument(
        "--recipe", type=Path, metavar="FILE", help="recipe of the store, the JSON in its README.md, if no part has it"
    )
    repair.add_argument(
        "--assume-dead",
        action="store_true",
        help="trust that no process writes to it, where the file system has no locks",
    )
    repair.set_defaults(run=_repair)


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser("doctor", help="tell whether a store has a counterpart for every image of a data set")
    doctor.add_argument("data", metavar="DATA", help=DATA)
    doctor.add_argument("store", metavar="STORE", help=STORE)
    add_data_flags(doctor)
    doctor.add_argument(
        "--on-mismatch",
        choices=get_args(Mismatch),
        default="error",
        help="as in the backend's spec in training (%(default)s)",
    )
    add_exclude(doctor)
    doctor.set_defaults(run=_doctor)


def _status(options: argparse.Namespace) -> int:
    store = Store.open(options.store)
    status = store.status()
    encodings = dict.fromkeys(describe_encoding(recipe) for recipe in (store.recipe, *store.mixed))
    say(
        f"Images: {status.images:,} of {status.sources:,} sources",
        f"Failures: {status.failures:,}",
        f"Parts: {status.parts:,} sealed, {describe_size(status.size)}",
        f"Encoding: {', '.join(encodings)}",
    )
    for part in status.writing:
        counts = f"{part.images:,} images, {part.failures:,} failures of these"
        say(f"In progress: {part.part} (writer {part.writer}): {counts}")
    if status.accepted or status.rejected or options.choices:
        say(f"Verdicts: {status.rejected:,} rejected, {status.accepted:,} accepted")
    say(*(f"{CHOICES}/{name} ends within a line, which is passed over: {_TORN}" for name in status.torn))
    if options.choices:
        say(*_describe_choices(list(store.verdicts())))
    return DONE


def _describe_choices(verdicts: list[Verdict]) -> Iterator[str]:
    last = last_of_each(verdicts)
    counts = Counter((verdict.rule or "by hand", verdict.reason) for verdict in last if verdict.verdict == REJECT)
    for (rule, reason), count in counts.most_common(_MOST_RULES):
        yield f"{count:>9,} x rejected {rule}{f': {reason}' if reason else ''}"
    differing = opposite(verdicts)
    for said in differing[:_MOST_RULES]:
        turns = ", then ".join(f"{verdict.verdict}{_by(verdict)}" for verdict in said)
        yield f"Opposite verdicts on {said[0].key} {said[0].variant}, the last one counts: {turns}"
    if len(differing) > _MOST_RULES:
        yield f"Opposite verdicts on {len(differing) - _MOST_RULES:,} more"


def _by(verdict: Verdict) -> str:
    when = datetime.fromtimestamp(verdict.time, timezone.utc)
    why = " ".join(filter(None, (verdict.rule, verdict.reason)))
    return f" {when:%Y-%m-%d %H:%M}{f' ({why})' if why else ''}"


def _verify(options: argparse.Namespace) -> int:
    problems = Store.open(options.store).verify()
    say(*problems)
    say(f"{len(problems):,} problems in {options.store}" if problems else f"{options.store} is whole")
    return SOME_FAILED if problems else DONE


def _repair(options: argparse.Namespace) -> int:
    recipe = _read_recipe(options.recipe) if options.recipe else None
    report = Store.repair(options.store, assume_dead=options.assume_dead, recipe=recipe)
    say(*(f"repaired: {problem}" for problem in report.repaired), *(f"left: {problem}" for problem in report.left))
    say(f"{len(report.repaired):,} problems repaired in {options.store}, {len(report.left):,} left")
    if report.repaired:
        say("Images that were lost are missing now: run the same `albu-diffusemix generate` again to make them.")
    return SOME_FAILED if report.left else DONE


def _read_recipe(path: Path) -> Recipe:
    """Read the JSON of a recipe, or of a whole store.json."""
    try:
        fields = parse_json(path.read_bytes())
        return Recipe.from_json(fields.get("recipe", fields))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{str(path)!r} is not the JSON of a recipe, as in a store's README.md: {error}") from error


def _doctor(options: argparse.Namespace) -> int:
    store = Store.open(options.store)
    selection = Selection(options.exclude)
    data = open_data(options.data, store.path, columns_of(options), selection)
    findings = examine(selection.take(data), store, options.on_mismatch)
    coverage = summarize(tqdm(findings, total=length_hint(data) or None, unit="image", leave=False, disable=None))
    if coverage.total == 0:
        raise ValueError(f"{options.data} is empty, or --exclude leaves out all of it: name a data set of images")
    say(*_report(coverage, options.store), *describe_remarks(coverage.remarks, store.recipe.background))
    say(*selection.describe())
    return DONE if coverage.covered == coverage.total else SOME_FAILED


def _report(coverage: Coverage, store: str) -> list[str]:
    percent = math.floor(1000 * coverage.covered / coverage.total) / 10  # 100.0 is for all
    lines = [f"{store} has a counterpart for {coverage.covered:,} of {coverage.total:,} images ({percent} %)."]
    for images, example, cause in sorted(coverage.groups.values(), key=lambda group: -group.images):
        lines += [
            f"{images:>9,} x {cause.what}",
            f"{'':11} such as {example}{f': {cause.detail}' if cause.detail else ''}",
        ]
        lines += [f"{'':11} {cause.advice}"]
    return lines
