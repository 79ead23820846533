"""A manifest as a data set: a list of image files and their keys.

A `.csv` has the columns `path` and `key`; a `.jsonl` or `.ndjson` has an object with these fields on each line. Paths
are relative to the manifest's folder. There may be a `label` as well, the class.
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from albu_diffusemix.datasets.items import SourceFile
from albu_diffusemix.keys import normalise_key
from albu_diffusemix.regular_files import read_text
from albu_diffusemix.text import parse_json

__all__ = ["files_in_manifest"]

_COLUMNS = ("path", "key")
_JSON_LINES = (".jsonl", ".ndjson")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def files_in_manifest(manifest: Path) -> list[SourceFile]:
    """Read a manifest; its keys are valid in a store.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not a manifest, has no lines, or one is wrong: a path leaves the folder, a key is not valid.

    """
    suffix = manifest.suffix.lower()
    if suffix != ".csv" and suffix not in _JSON_LINES:
        raise ValueError(
            f"{str(manifest)!r} is neither a folder nor a manifest (.csv, .jsonl): unpack an archive; give an image's "
            "folder; write any other list as .csv, with a first line path,key"
        )
    lines = _csv_lines(manifest) if suffix == ".csv" else _json_lines(manifest)
    files = [_source_file(manifest, f"{str(manifest)!r} line {number}", fields) for number, fields in lines]
    if not files:
        raise ValueError(f"{str(manifest)!r} lists no images")
    return files


def _csv_lines(manifest: Path) -> Iterator[tuple[int, object]]:
    text = read_text(manifest)
    spaced = ", " in text.partition("\n")[0]  # then a space follows the commas of the other lines too
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=spaced)
    try:
        lines.fieldnames = [name.strip() for name in lines.fieldnames or ()]
        missing = [column for column in _COLUMNS if column not in (lines.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{str(manifest)!r} has no column {' and no column '.join(map(repr, missing))}: "
                f"its first line must name 'path' and 'key'; it names {', '.join(lines.fieldnames or ['nothing'])}"
            )
        for fields in lines:
            yield lines.line_num, fields
    except csv.Error as error:
        raise ValueError(f"{str(manifest)!r} is not valid CSV: {error}") from error


def _json_lines(manifest: Path) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(read_text(manifest).split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, parse_json(line)
        except ValueError as error:
            raise ValueError(f"{str(manifest)!r} line {number} is not valid JSON: {error}") from error


def _source_file(manifest: Path, where: str, fields: object) -> SourceFile:
    if not isinstance(fields, dict):
        raise ValueError(f'{where} is {fields!r}: give an object such as {{"path": "a/1.jpg", "key": "a/1.jpg"}}')  # noqa: TRY004  bad input
    missing = [column for column in _COLUMNS if not isinstance(fields.get(column), str) or not fields[column]]
    if missing:
        raise ValueError(f"{where} has no {' and no '.join(map(repr, missing))}: give both 'path' and 'key', as text")
    if "\0" in fields["path"] or _LONE_SURROGATE.search(fields["path"]):
        raise ValueError(f"{where}: path {fields['path']!r} has a character that is not allowed in paths: correct it")
    path = _inside(manifest.parent, PurePosixPath(fields["path"]))
    if path is None:
        raise ValueError(
            f"{where}: path {fields['path']!r} leaves the manifest's folder: give a path below {str(manifest.parent)!r}"
        )
    _refuse_unusual(where, fields["path"], manifest.parent)
    label = fields.get("label")
    if not isinstance(label, str | None):
        raise ValueError(f"{where}: label {label!r} is not text: write it in quotes")  # noqa: TRY004  bad input
    try:
        return SourceFile(str(manifest.parent / path), normalise_key(fields["key"]), label or None)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _inside(folder: Path, path: PurePosixPath) -> PurePosixPath | None:
    """Return a path relative to the folder; None where it leaves the folder."""
    if ".." in path.parts:
        return None
    if not path.is_absolute():
        return path
    above = next((base for base in (folder.absolute(), folder.resolve()) if path.is_relative_to(base)), None)
    return None if above is None else path.relative_to(above)


def _refuse_unusual(where: str, path: str, folder: Path) -> None:
    r"""Raise ValueError where a path with `\` or spaces around it names no file: somebody wrote it otherwise."""
    if ("\\" not in path and path == path.strip()) or (folder / path).exists():
        return
    wrong = "has a backslash: write it with '/'" if "\\" in path else "begins or ends with a space: remove it"
    raise ValueError(f"{where}: path {path!r} {wrong}")
