"""The compiled verdicts: which counterparts are rejected, searched in place, and over it what was decided since.

`index/choices.idx` begins with a line of JSON with a check, padded with spaces: format, version, the files of verdicts
that it covers (name, bytes, lines), number of rows, xxh3-64 of what follows, and lines that are not verdicts. Then come
the images' checks in ascending order, 8 bytes each, and the rows of `_ROW` in the same order, one for each image that
has verdicts: its last one. An image that has none costs one search among the checks. The file is made again from the
verdicts whenever it does not fit them.
"""

import mmap
from bisect import bisect_left
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import xxhash
from numpy.typing import NDArray

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.keys import hash_key
from albu_diffusemix.regular_files import open_regular
from albu_diffusemix.store.choices import CHOICES, REJECT, Verdict, choices_files, read_lines
from albu_diffusemix.store.files import StoreError, dump_checked, explained, load_checked
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.members import Problem
from albu_diffusemix.store.records import Record

__all__ = ["COMPILED", "Choices", "compile_choices", "verify_choices"]

COMPILED = "index/choices.idx"

_FORMAT = "albu-diffusemix choices"
_VERSION = 1
_LONGEST_TAIL = 100
"""Verdicts that may lie beside the compiled ones: reading these takes a few milliseconds."""

_ROW = np.dtype(
    [
        ("check", "<u8"),  # of the image
        ("key_hi", "<u8"),  # the key's hash, as two big-endian numbers
        ("key_lo", "<u8"),
        ("variant", "<u8"),  # xxh3-64 of its name
        ("time", "<f8"),
        ("file", "<u4"),  # number in the head's list
        ("line", "<u4"),
        ("rejected", "<u8"),  # 1 or 0
    ],
)
_NAME = ("check", "key_hi", "key_lo", "variant")
_HEAD_PLACE = 64
_LONGEST_HEAD = 1 << 24


class _Image(NamedTuple):
    """Whose image has verdicts: hash of the key, and of the variant."""

    key: bytes
    variant: int


class _Last(NamedTuple):
    """The last verdict on an image: its place in the order, and what it is."""

    time: float
    file: str
    line: int
    rejected: bool


class _Compiled(NamedTuple):
    files: list[tuple[str, int, int]]
    checks: NDArray[np.uint64]
    rows: NDArray[Any]
    problems: list[Problem]


_NOTHING = _Compiled([], np.empty(0, "<u8"), np.empty(0, _ROW), [])


class Choices:
    """What is rejected, as it was when this was made, and what was noted since.

    Args:
        root: The store's folder.
        from_files: Read all verdicts themselves, and not what is compiled of them.

    Attributes:
        problems: Lines that are not verdicts.
        torn: Files that end within a line: their writers were killed, or write just now.
        tail: How many verdicts are not compiled.

    Raises:
        StoreError: The verdicts cannot be read.

    """

    def __init__(self, root: Path, *, from_files: bool = False) -> None:
        self._root = root
        sizes = choices_files(root)
        self._compiled = _NOTHING if from_files or not sizes else _open_compiled(root)
        if any(sizes.get(name, -1) < size for name, size, _ in self._compiled.files):
            self._compiled = _NOTHING
        self._checks = cast("Any", self._compiled.checks.data)
        self._recent: dict[int, dict[_Image, _Last]] = {}
        self._ends = {name: (size, lines) for name, size, lines in self._compiled.files}
        self.tail = 0
        self.problems = list(self._compiled.problems)
        self.torn: list[str] = []
        for name, size in sizes.items():
            self._read_on(name, size)

    def __bool__(self) -> bool:
        """Tell whether there are verdicts."""
        return bool(self._recent) or len(self._checks) > 0

    @property
    def is_long(self) -> bool:
        """Whether so much lies beside what is compiled that it should be compiled again."""
        return self.tail > _LONGEST_TAIL

    def rejects(self, record: Record) -> bool:
        """Tell whether the last verdict on an image is to reject it."""
        check = record.location.check
        if check in self._recent:
            last = self._recent[check].get(_image(record.key, record.variant))
            if last is not None:
                return last.rejected
        place = self._place(check, record.key, record.variant)
        return place is not None and bool(self._compiled.rows["rejected"][place])

    def note(self, file: str, line: int, verdict: Verdict) -> None:
        """Take note of a verdict, unless a later one is known.

        Args:
            file: Name of its file.
            line: Its line there, counted from 1.
            verdict: With its time and check.

        """
        check, image = int(verdict.check, 16), _image(verdict.key, verdict.variant)
        last = _Last(verdict.time, file, line, verdict.verdict == REJECT)
        before = self._recent.get(check, {}).get(image) or self._compiled_last(check, verdict)
        self.tail += 1
        if before is None or before[:3] < last[:3]:
            self._recent.setdefault(check, {})[image] = last

    def count(self, whole: Index) -> tuple[int, int]:
        """Return how many images of a store are accepted by their last verdicts, and how many rejected.

        Args:
            whole: The index of all of the store.

        """
        names = np.array([_hash_variant(text) for text in whole.texts()], np.uint64)
        rows, ours = whole.arrays["rows"], self.rows()
        rows = rows[(rows["encoding"] != 0) & np.isin(rows["image_check"], ours["check"])]
        columns = (rows["image_check"], rows["key_hi"], rows["key_lo"], names[rows["variant"]])
        there = set(zip(*(column.tolist() for column in columns), strict=True))
        verdicts = zip(*(ours[name].tolist() for name in (*_NAME, "rejected")), strict=True)
        last = [rejected for *image, rejected in verdicts if tuple(image) in there]
        return len(last) - sum(last), sum(last)

    def digest(self) -> str:
        """Return a digest of what is rejected; empty where nothing is."""
        rejected = self.rows()
        rejected = rejected[rejected["rejected"] == 1]
        names = b"".join(rejected[name].tobytes() for name in _NAME)
        return xxhash.xxh3_64_hexdigest(names) if names else ""

    def save(self) -> None:
        """Write the compiled file.

        Raises:
            StoreError: It cannot be written.

        """
        rows = self.rows()
        body = rows["check"].tobytes() + rows.tobytes()
        head = dump_checked(
            {
                "format": _FORMAT,
                "version": _VERSION,
                "files": [(name, *end) for name, end in self._ends.items()],
                "rows": len(rows),
                "hash": xxhash.xxh3_64_hexdigest(body),
                "problems": self.problems,
            }
        )
        head += b" " * (-(len(head) + 1) % _HEAD_PLACE) + b"\n"
        path = self._root / COMPILED
        with explained("write", path):
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, lambda file: file.write(head + body))

    def equals(self, other: "Choices") -> bool:
        """Tell whether both say the same of the same images."""
        mine, others = self.rows(), other.rows()
        return all(np.array_equal(mine[name], others[name]) for name in (*_NAME, "rejected"))

    def _read_on(self, name: str, size: int) -> None:
        """Read what follows the compiled part of a file."""
        covered, lines = self._ends.get(name, (0, 0))
        if size <= covered:
            return
        found = read_lines(self._root, name, covered, lines)
        for line, verdict in found.verdicts:
            self.note(name, line, verdict)
        self.problems += found.problems
        self.torn += [name] if found.torn else []
        self._ends[name] = (found.size, found.lines)

    def _place(self, check: int, key: str, variant: str) -> int | None:
        """Return the compiled row of an image; None where there is none."""
        place = bisect_left(self._checks, check)
        while place < len(self._checks) and self._checks[place] == check:
            row = self._compiled.rows[place]
            if (row["key_hi"], row["key_lo"], row["variant"]) == (*_halves(hash_key(key)), _hash_variant(variant)):
                return place
            place += 1
        return None

    def _compiled_last(self, check: int, verdict: Verdict) -> _Last | None:
        place = self._place(check, verdict.key, verdict.variant)
        if place is None:
            return None
        row = self._compiled.rows[place]
        file = self._compiled.files[int(row["file"])][0]
        return _Last(float(row["time"]), file, int(row["line"]), bool(row["rejected"]))

    def rows(self) -> NDArray[Any]:
        """Return the last verdict on each image, ordered by the images' checks."""
        numbers = {name: number for number, name in enumerate(self._ends)}
        recent = [
            (check, *_halves(image.key), image.variant, last.time, numbers.get(last.file, 0), last.line, last.rejected)
            for check, images in self._recent.items()
            for image, last in images.items()
        ]
        rows = np.concatenate([np.array(recent, _ROW), self._compiled.rows])
        rows = rows[np.lexsort([rows[name] for name in reversed(_NAME)])]
        first = np.ones(len(rows), bool)  # of two with one name, which the recent one is
        first[1:] = np.logical_or.reduce([rows[name][1:] != rows[name][:-1] for name in _NAME])
        return rows[first]


def compile_choices(root: Path, *, from_files: bool = False) -> Choices:
    """Compile the verdicts of a store if some are not compiled, and return them all.

    Args:
        root: The store's folder.
        from_files: Also those that are compiled already.

    Raises:
        StoreError: They cannot be read, or the file cannot be written.

    """
    choices = Choices(root, from_files=from_files)
    if not choices.tail:
        return choices
    choices.save()
    return Choices(root)


def verify_choices(root: Path) -> list[Problem]:
    """Compare what is compiled with the verdicts, and return what is wrong with one or the other.

    Raises:
        StoreError: They cannot be read.

    """
    verdicts = Choices(root, from_files=True)
    sizes = choices_files(root)
    problems = verdicts.problems + [
        Problem(
            f"{CHOICES}/{name}", "", f"{size - sizes[name]:,} bytes of its verdicts are gone: put back a copy of it"
        )
        for name, size, _ in _open_compiled(root).files
        if sizes.get(name, size) < size
    ]
    if Choices(root).equals(verdicts):
        return problems
    return [*problems, Problem(COMPILED, "", "it does not agree with the verdicts")]


def _image(key: str, variant: str) -> _Image:
    return _Image(hash_key(key), _hash_variant(variant))


def _halves(digest: bytes) -> tuple[int, int]:
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")


def _hash_variant(variant: str) -> int:
    return int(xxhash.xxh3_64_intdigest(variant.encode()))


def _open_compiled(root: Path) -> _Compiled:
    """Map the compiled verdicts; nothing where they are missing or damaged."""
    path = root / COMPILED
    try:
        with open_regular(path) as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):
        return _NOTHING
    try:
        return _parse(data, str(path))
    except (StoreError, ValueError, TypeError, KeyError):
        return _NOTHING


def _parse(data: memoryview, path: str) -> _Compiled:
    end = bytes(data[:_LONGEST_HEAD]).index(b"\n") + 1
    head = load_checked(bytes(data[:end]), path)
    if (head["format"], head["version"], head["hash"]) != (_FORMAT, _VERSION, xxhash.xxh3_64_hexdigest(data[end:])):
        raise StoreError(f"{path} is damaged")
    files = [(name, size, lines) for name, size, lines in head["files"]]
    checks = np.frombuffer(data, "<u8", head["rows"], end)
    rows = np.frombuffer(data, _ROW, head["rows"], end + checks.nbytes)
    return _Compiled(files, checks, rows, [Problem(*problem) for problem in head["problems"]])
