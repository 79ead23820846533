"""Lists of verdicts that people and other tools write: `.jsonl`, an object on each line, or `.csv` with a first line.

`key` must be there. `variant` left out means all counterparts of the key; `verdict` left out means "reject", but an
empty cell of that column passes over the line, as in a table of `albu-diffusemix scores -o`. `reason`, `rule` and
`check` are taken as they are, all else is passed over: a verdict's time is when it comes into the store.
"""

import csv
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.regular_files import read_text
from albu_diffusemix.store import Store, StoreError, Verdict
from albu_diffusemix.store.choices import ACCEPT, REJECT, UNDO, settled
from albu_diffusemix.text import parse_json

__all__ = ["Fitting", "fit", "read_list"]

_ENDINGS = (".jsonl", ".ndjson", ".csv")
_FIELDS = ("key", "variant", "verdict", "reason", "rule", "check")


_CUT_OFF = "is the file cut off? Correct the line, and give the file again"


class Fitting(NamedTuple):
    """Verdicts that a store can take, and why it cannot take the others, a line for each."""

    verdicts: list[Verdict]
    complaints: list[str]


def read_list(path: Path) -> Iterator[tuple[str, Verdict | str]]:
    """Read a list of verdicts.

    Args:
        path: Its file.

    Yields:
        Where it stands, and the verdict, or why that line is not one.

    Raises:
        OSError: It cannot be read.
        ValueError: It has another ending, or no column `key`.

    """
    if path.suffix.lower() not in _ENDINGS:
        raise ValueError(f"{str(path)!r} is not a list of verdicts: give a file that ends in {', '.join(_ENDINGS)}")
    text = read_text(path)
    lines = _csv_lines(path, text) if path.suffix.lower() == ".csv" else enumerate(text.split("\n"), 1)
    for number, line in lines:
        undecided = isinstance(line, dict) and line.get("verdict") == ""  # as in a table of all counterparts
        if line and line != "\r" and not undecided:
            yield f"{str(path)!r} line {number}", _verdict(line)


def fit(store: Store, listed: Iterator[tuple[str, Verdict | str]], *, undo: bool = False) -> Fitting:
    """Look up what verdicts are on; without a variant, all counterparts of the key.

    Args:
        store: Where they are to be written.
        listed: Each with where it stands, for the complaints.
        undo: Take the rejections among them back; what is not rejected is left out.

    Raises:
        StoreError: The store is damaged.

    """
    verdicts: list[Verdict] = []
    complaints: list[str] = []
    for where, verdict in listed:
        try:
            found = _found(store, verdict)
        except ValueError as error:
            complaints.append(f"{where}: {error}")
            continue
        verdicts += _taken_back(store, found) if undo else found
    return Fitting(verdicts, complaints)


def _found(store: Store, verdict: Verdict | str) -> list[Verdict]:
    if isinstance(verdict, str):
        raise StoreError(verdict)
    variants = [verdict.variant] if verdict.variant else [record.variant for record in store.variants(verdict.key)]
    if not variants:
        raise StoreError(f"no counterpart of {verdict.key!r} in the store: give keys as the store has them")
    return [settled(verdict._replace(variant=variant), store.find, time.time()) for variant in variants]


def _taken_back(store: Store, verdicts: list[Verdict]) -> Iterator[Verdict]:
    for verdict in verdicts:
        record = store.find(verdict.key, verdict.variant)
        if verdict.verdict == REJECT and record is not None and store.is_rejected(record):
            yield verdict._replace(verdict=ACCEPT, rule=UNDO)


def _verdict(line: str | dict[str, Any]) -> Verdict | str:
    if isinstance(line, dict) and None in line.values():
        return f"it has fewer cells than the first line has names; {_CUT_OFF}"
    try:
        fields = parse_json(line) if isinstance(line, str) else line
    except ValueError as error:
        return f"it is not valid JSON ({error}); {_CUT_OFF}"
    if not isinstance(fields, dict):
        return "it is not a JSON object: give one with a key, a variant and a verdict"
    given = {name: fields[name] for name in _FIELDS if fields.get(name) not in (None, "")}
    wrong = next((name for name, value in given.items() if not isinstance(value, str)), None)
    if wrong or "key" not in given:
        return f"{wrong} is {given[wrong]!r}: give text" if wrong else "it has no key: give that of the source"
    return Verdict(**{"variant": "", "verdict": REJECT, **given})


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    table = csv.DictReader(io.StringIO(text, newline=""))
    if "key" not in (table.fieldnames or ()):
        raise ValueError(f"{str(path)!r} has no column 'key' in its first line: give key, variant and verdict")
    try:
        return iter([(table.line_num, fields) for fields in table])
    except csv.Error as error:
        raise ValueError(f"{str(path)!r} line {table.line_num} is not CSV: {error}") from error
