r"""Verdicts on counterparts: what is thrown out, and what is kept on purpose. They are only ever added.

`choices/<UTC time>-<random>.jsonl` holds one JSON object a line: key, variant, verdict ("accept" or "reject"), reason,
rule, time (seconds since 1970) and check, that of the image's bytes, so that an image that is made again does not
inherit what was said of the one before. Each file has one writer, which only appends to it, so writers need no lock.
Verdicts are ordered by time, then by file, then by line; of one image the last one counts, and all are kept.
"""

import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.atomic_files import sync_folder
from albu_diffusemix.keys import check_name, normalise_key
from albu_diffusemix.regular_files import open_regular
from albu_diffusemix.store.files import StoreError, explained
from albu_diffusemix.store.members import Problem
from albu_diffusemix.store.records import Record
from albu_diffusemix.text import parse_json

__all__ = [
    "ACCEPT",
    "CHOICES",
    "REJECT",
    "REJECTED",
    "UNDO",
    "ChoicesFile",
    "ReadLines",
    "Verdict",
    "check_of",
    "choices_files",
    "last_of_each",
    "opposite",
    "read_lines",
    "read_verdicts",
    "settled",
    "was_rejected",
]

CHOICES = "choices"
"""Folder of the verdicts in a store, and what store.json then says that readers need to know."""

ACCEPT, REJECT = "accept", "reject"

REJECTED = "rejected"
"""How the reason begins of a failure that takes the place of a rejected image in a copy of its store."""

UNDO = "undo"
"""The rule of an acceptance that only takes back a rejection."""

_CHECK = re.compile(r"[0-9a-f]{16}")
_END_OF_TIME = 253_402_300_800  # the year 10000
_TEXTS = ("key", "variant", "verdict", "reason", "rule", "check")


class Verdict(NamedTuple):
    """What somebody, or a rule, says of a counterpart.

    Attributes:
        key: The source's key.
        variant: Which of the source's counterparts.
        verdict: "accept" or "reject".
        reason: Why, in a few words; may be empty.
        rule: By what it was decided, such as an expression; empty where a person did.
        time: When, in seconds since 1970; 0 is now.
        check: That of the image's bytes, 16 hexadecimal digits, see `check_of`; empty is that of the image that is
            there now.

    """

    key: str
    variant: str
    verdict: str
    reason: str = ""
    rule: str = ""
    time: float = 0.0
    check: str = ""


class ReadLines(NamedTuple):
    """The whole lines of a file, from some place in it.

    Attributes:
        verdicts: Each with the number of its line, counted from 1.
        problems: Lines that are not verdicts.
        lines: Whole lines of the file up to here.
        size: Bytes of these.
        torn: Whether something follows that has no end: its writer writes it just now, or was killed.

    """

    verdicts: list[tuple[int, Verdict]]
    problems: list[Problem]
    lines: int
    size: int
    torn: bool


def check_of(record: Record) -> str:
    """Return the check of an image as verdicts and records in parts have it: 16 hexadecimal digits."""
    return f"{record.location.check:016x}"


def was_rejected(record: Record) -> bool:
    """Tell whether a failure stands for an image that was rejected, and left out of a copy of its store."""
    return record.failed and record.reason.startswith(REJECTED)


def settled(verdict: Verdict, find: Callable[[str, str], Record | None], now: float) -> Verdict:
    """Return a verdict as it is written, with the check of the image that it is of, and its time.

    Args:
        verdict: As it was given.
        find: Returns the record of a key and variant, or None.
        now: Seconds since 1970; no verdict is later.

    Raises:
        StoreError: There is no such image, it was made again since, or the verdict is not one.

    """
    name = f"{verdict.key!r} {verdict.variant!r}"
    if verdict.verdict not in (ACCEPT, REJECT):
        raise StoreError(f"verdict on {name} is {verdict.verdict!r}: give 'accept' or 'reject'")
    key, variant = normalise_key(verdict.key), check_name(verdict.variant, "variant")
    record = find(key, variant)
    if record is None or record.failed:
        raise StoreError(f"no counterpart {name} in the store: give key and variant as the store has them")
    check = check_of(record)
    if verdict.check not in ("", check):
        raise StoreError(f"the counterpart {name} was made again since that verdict: look at the new one first")
    when = verdict.time if 0 < verdict.time < now else now
    return Verdict(key, variant, verdict.verdict, verdict.reason, verdict.rule, round(when, 6), check)


class ChoicesFile:
    """Appends verdicts to a file of its own, which it makes when the first ones come. For any number of threads.

    Args:
        root: The store's folder.

    """

    def __init__(self, root: Path) -> None:
        self._folder = root / CHOICES
        self._lock = threading.Lock()
        self._process = 0
        self._path: Path | None = None
        self._lines = 0

    def append(self, verdicts: Iterable[Verdict]) -> list[tuple[str, int, Verdict]]:
        """Write verdicts; when this returns they survive a power loss.

        Returns:
            Each with its file's name and line.

        Raises:
            StoreError: They cannot be written. Those that were written until then count.

        """
        with self._lock, explained("write in", self._folder):
            path = self._own_path()
            lines = [json.dumps(verdict._asdict(), ensure_ascii=False) + "\n" for verdict in verdicts]
            self._path = None  # unless all is written: what follows half a line would be lost
            with path.open("ab") as file:
                file.write("".join(lines).encode())
                file.flush()
                os.fsync(file.fileno())
            self._path, first = path, self._lines + 1
            self._lines += len(lines)
        return [(path.name, number, verdict) for number, verdict in enumerate(verdicts, first)]

    def _own_path(self) -> Path:
        if self._path is not None and self._process == os.getpid():
            return self._path
        if not self._folder.is_dir():
            self._folder.mkdir(exist_ok=True)
            sync_folder(self._folder.parent)
        name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}.jsonl"
        path = self._folder / name
        path.open("xb").close()
        sync_folder(self._folder)
        self._lines, self._process = 0, os.getpid()
        return path


def choices_files(root: Path) -> dict[str, int]:
    """Return the size of each file of verdicts, by name, in the order of the names.

    Raises:
        StoreError: The folder cannot be read.

    """
    folder = root / CHOICES
    with explained("read", folder):
        if not folder.is_dir():
            return {}
        found = [(entry.name, entry.stat().st_size) for entry in os.scandir(folder) if entry.name.endswith(".jsonl")]
    return dict(sorted(found))


def read_lines(root: Path, name: str, size: int = 0, lines: int = 0) -> ReadLines:
    """Read a file of verdicts.

    Args:
        root: The store's folder.
        name: The file's name.
        size: Bytes at its beginning that are passed over, whole lines.
        lines: How many lines these are.

    Raises:
        StoreError: It cannot be read.

    """
    path = root / CHOICES / name
    with explained("read", path), open_regular(path) as file:
        file.seek(size)
        data = file.read()
    whole, _, rest = data.rpartition(b"\n")
    verdicts, problems = [], []
    split = whole.split(b"\n") if len(data) > len(rest) else []
    for number, line in enumerate(split, lines + 1):
        try:
            verdicts.append((number, _parse(line)))
        except ValueError as error:
            what = f"it is not a verdict ({error}) and is passed over: correct the line, or remove it"
            problems.append(Problem(f"{CHOICES}/{name}", f"line {number}", what))
    return ReadLines(verdicts, problems, lines + len(split), size + len(data) - len(rest), bool(rest))


def read_verdicts(root: Path) -> Iterator[Verdict]:
    """Yield all verdicts in their order.

    Raises:
        StoreError: They cannot be read.

    """
    found = [
        (verdict.time, name, number, verdict)
        for name in choices_files(root)
        for number, verdict in read_lines(root, name).verdicts
    ]
    return (verdict for *_, verdict in sorted(found, key=lambda each: each[:3]))


def last_of_each(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the last verdict on each image.

    Args:
        verdicts: In their order.

    """
    return list({(verdict.key, verdict.variant, verdict.check): verdict for verdict in verdicts}.values())


def opposite(verdicts: Iterable[Verdict]) -> list[list[Verdict]]:
    """Return the verdicts on each image on which they differ; what was taken back does not count.

    Args:
        verdicts: In their order.

    """
    on_image: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in verdicts:
        image = (verdict.key, verdict.variant, verdict.check)
        if verdict.rule == UNDO:
            on_image.pop(image, None)
        else:
            on_image.setdefault(image, []).append(verdict)
    return [said for said in on_image.values() if len({verdict.verdict for verdict in said}) > 1]


def _parse(line: bytes) -> Verdict:
    fields: Any = parse_json(line)
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004  as for all wrong lines
    verdict = (
        Verdict(**{name: fields[name] for name in Verdict._fields if name in fields}) if _has_all(fields) else None
    )
    if verdict is None or verdict.verdict not in (ACCEPT, REJECT):
        raise ValueError("a field is missing, or is of another form")
    int(verdict.check, 16)
    return verdict


def _has_all(fields: dict[str, Any]) -> bool:
    when = fields.get("time")
    return all(isinstance(fields.get(name), str) for name in _TEXTS) and (
        isinstance(when, int | float) and not isinstance(when, bool) and 0 <= when < _END_OF_TIME
    )
