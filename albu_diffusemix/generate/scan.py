"""Finding the sources: the images below a folder, or those that a manifest lists."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from albu_diffusemix.images import IMAGE_SUFFIXES, find_images
from albu_diffusemix.keys import normalise_key
from albu_diffusemix.regular_files import read_text
from albu_diffusemix.text import parse_json

__all__ = ["SourceFile", "find_sources"]

_COLUMNS = ("path", "key")
_JSON_LINES = (".jsonl", ".ndjson")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class SourceFile(NamedTuple):
    """An image that counterparts are to be made of.

    Attributes:
        path: Where it lies.
        key: Its name in the data set, as the store knows it.

    """

    path: str
    key: str


def find_sources(data: Path, store: Path) -> list[SourceFile]:
    """Find the sources of a data set, in the order of their keys.

    Args:
        data: A folder, searched with its sub-folders (a source's key is its path below the folder), or a manifest:
            a `.csv` with the columns `path` and `key`, or a `.jsonl` with an object of these fields on each line. Paths
            of a manifest are relative to its folder. Whether the files can be read shows when they are.
        store: A store below the folder is no part of the data set.

    Raises:
        OSError: The folder or manifest cannot be read.
        ValueError: There are no images, a line of the manifest is wrong, a path leaves its folder, a key is none that a
            store takes, or two sources have one key.

    """
    if data.is_dir():
        sources = _in_folder(data, store)
    elif data.suffix.lower() == ".csv":
        sources = list(_listed(data, _csv_lines(data)))
    elif data.suffix.lower() in _JSON_LINES:
        sources = list(_listed(data, _json_lines(data)))
    elif data.exists():
        raise ValueError(f"{str(data)!r} is neither a folder nor a manifest (.csv, .jsonl): give one of these")
    else:
        raise ValueError(f"there is no {str(data)!r}: check the path")
    if not sources:
        raise ValueError(f"{str(data)!r} lists no images")
    return _unique(sources)


def _in_folder(folder: Path, store: Path) -> list[SourceFile]:
    paths = find_images(folder)
    if store.resolve().is_relative_to(folder.resolve()):
        own = folder / store.resolve().relative_to(folder.resolve())
        paths = [path for path in paths if not path.is_relative_to(own)]
    if not paths:
        holds = "no images" if any(folder.iterdir()) else "nothing"
        raise ValueError(f"folder {str(folder)!r} holds {holds}; looked for {', '.join(IMAGE_SUFFIXES)}")
    return [SourceFile(str(path), normalise_key(path.relative_to(folder).as_posix())) for path in paths]


def _csv_lines(manifest: Path) -> Iterator[tuple[int, object]]:
    lines = csv.DictReader(io.StringIO(read_text(manifest), newline=""), strict=True)
    missing = [column for column in _COLUMNS if column not in (lines.fieldnames or ())]
    if missing:
        raise ValueError(
            f"{str(manifest)!r} has no column {' and no column '.join(map(repr, missing))}: "
            f"its first line must name 'path' and 'key'; it names {', '.join(lines.fieldnames or ['nothing'])}"
        )
    for fields in lines:
        yield lines.line_num, fields


def _json_lines(manifest: Path) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(read_text(manifest).split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, parse_json(line)
        except ValueError as error:
            raise ValueError(f"{str(manifest)!r} line {number} is not valid JSON: {error}") from error


def _listed(manifest: Path, lines: Iterable[tuple[int, object]]) -> Iterator[SourceFile]:
    try:
        for number, fields in lines:
            yield _entry(manifest, f"{str(manifest)!r} line {number}", fields)
    except csv.Error as error:
        raise ValueError(f"{str(manifest)!r} is not valid CSV: {error}") from error


def _entry(manifest: Path, where: str, fields: object) -> SourceFile:
    if not isinstance(fields, dict):
        raise ValueError(f'{where} is {fields!r}: give an object such as {{"path": "a/1.jpg", "key": "a/1.jpg"}}')  # noqa: TRY004  bad input
    missing = [column for column in _COLUMNS if not isinstance(fields.get(column), str) or not fields[column]]
    if missing:
        raise ValueError(f"{where} has no {' and no '.join(map(repr, missing))}: give both 'path' and 'key', as text")
    if "\0" in fields["path"] or _LONE_SURROGATE.search(fields["path"]):
        raise ValueError(f"{where}: path {fields['path']!r} has a character that no path has: correct it")
    path = PurePosixPath(fields["path"])
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(
            f"{where}: path {fields['path']!r} leaves the manifest's folder: give a path below {str(manifest.parent)!r}"
        )
    try:
        return SourceFile(str(manifest.parent / path), normalise_key(fields["key"]))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _unique(sources: list[SourceFile]) -> list[SourceFile]:
    ordered = sorted(sources, key=lambda source: source.key)
    for one, other in pairwise(ordered):
        if one.key == other.key:
            raise ValueError(f"two sources have the key {one.key!r}: {one.path!r} and {other.path!r}; rename one")
    return ordered
