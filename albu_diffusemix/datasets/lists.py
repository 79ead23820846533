"""Lists of image files as a data set: a manifest, or a table of names beside a folder, as Kaggle gives it.

A manifest is a `.csv` with the columns `path` and `key`, or a `.jsonl` or `.ndjson` with an object of these fields on
each line. Paths are relative to the manifest's folder. There may be more: `label`, the class; `prompts`, text or a list
of texts, for this image alone; `mask`, the path of a mask; and in JSON `boxes`, a list of lists
`[x_min, y_min, x_max, y_max, label]`, in fractions of the image's width and height.

A name in a table is the path of an image below the folder, with its ending or without; as it stands it is the image's
key. Images that the table does not name are not part of the data set.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from albu_diffusemix.datasets.columns import Columns, choose_column
from albu_diffusemix.datasets.items import SourceFile, read_extras
from albu_diffusemix.images import find_images
from albu_diffusemix.keys import normalise_key
from albu_diffusemix.regular_files import read_text
from albu_diffusemix.text import parse_json

__all__ = ["LIST_SUFFIXES", "files_in_manifest", "files_in_table"]

LIST_SUFFIXES = (".csv", ".jsonl", ".ndjson")

_COLUMNS = ("path", "key")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def files_in_manifest(manifest: Path) -> list[SourceFile]:
    """Read a manifest; its keys are valid in a store.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not a manifest, has no lines, or one is wrong: a path leaves the folder, a key is not valid.

    """
    if manifest.suffix.lower() not in LIST_SUFFIXES:
        raise ValueError(
            f"{str(manifest)!r} is neither a folder nor a manifest (.csv, .jsonl): unpack an archive; give an image's "
            "folder; write any other list as .csv, with a first line path,key"
        )
    lines = _manifest_lines(manifest) if manifest.suffix.lower() == ".csv" else _json_lines(manifest)
    files = [_source_file(manifest, f"{str(manifest)!r} line {number}", fields) for number, fields in lines]
    if not files:
        raise ValueError(f"{str(manifest)!r} lists no images")
    return files


def files_in_table(table: Path, columns: Columns) -> list[SourceFile]:
    """Read a table of names.

    Args:
        table: A `.csv` file.
        columns: `images` is the folder, by default the table's own; `key` and `label` are columns.

    Raises:
        OSError: Table or folder cannot be read.
        ValueError: A column is not there, a row names no image, or several, or one that another row names.

    """
    where = repr(str(table))
    columns.refuse_all_but("images", "key", "label", where=where)
    folder = Path(columns.images) if columns.images is not None else table.parent
    if not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is not a folder: give the one with the images as --images")
    images = _by_name(folder)
    found: dict[str, SourceFile] = {}
    missing: list[str] = []
    for line, key, label in _named(table, columns):
        paths = images.get(key, [])
        if key in found:
            raise ValueError(
                f"{where} line {line} names {key!r}, as a line before does: keep one line for each image, "
                "or give another --key-column"
            )
        if len(paths) > 1:
            raise ValueError(f"{where} line {line}: {key!r} can be {paths[0].name!r} or {paths[1].name!r}")
        if paths:
            found[key] = SourceFile(str(paths[0]), key, label or None)
        else:
            missing.append(key)
    if missing:
        raise ValueError(
            f"{len(missing):,} of {len(missing) + len(found):,} names in {where} have no image in "
            f"{str(folder)!r}, such as {missing[0]!r}: check --images and --key-column, or remove their lines"
        )
    if not found:
        raise ValueError(f"{where} lists no images")
    return list(found.values())


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """Index the images of a folder by their paths below it, without their endings and with them."""
    images: dict[str, list[Path]] = defaultdict(list)
    paths = find_images(folder)
    for path in paths:
        images[path.relative_to(folder).with_suffix("").as_posix()].append(path)
    return images | {path.relative_to(folder).as_posix(): [path] for path in paths}


def _named(table: Path, columns: Columns) -> Iterator[tuple[int, str, str | None]]:
    names, lines = _csv_lines(table)
    key = choose_column("key", columns.key, names, repr(str(table)))
    label = columns.label and choose_column("label", columns.label, names, repr(str(table)))
    for line, fields in lines:
        if not fields[key]:
            raise ValueError(f"{str(table)!r} line {line} has no name in column {key!r}: fill it")
        yield line, fields[key], fields[label] if label else None


def _csv_lines(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, Any]]]]:
    """Return the names of the columns, and the lines with their numbers."""
    text = read_text(path)
    spaced = ", " in text.partition("\n")[0]  # then a space follows the commas of the other lines too
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=spaced)

    def numbered() -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            for fields in lines:
                yield lines.line_num, fields
        except csv.Error as error:
            raise ValueError(f"{str(path)!r} is not valid CSV: {error}") from error

    lines.fieldnames = [name.strip() for name in lines.fieldnames or ()]
    return list(lines.fieldnames), numbered()


def _manifest_lines(manifest: Path) -> Iterator[tuple[int, object]]:
    names, lines = _csv_lines(manifest)
    missing = [column for column in _COLUMNS if column not in names]
    if missing:
        raise ValueError(
            f"{str(manifest)!r} has no column {' and no column '.join(map(repr, missing))}: "
            f"its first line must name 'path' and 'key'; it names {', '.join(names or ['nothing'])}"
        )
    return lines


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
    label = fields.get("label")
    if not isinstance(label, str | None):
        raise ValueError(f"{where}: label {label!r} is not text: write it in quotes")  # noqa: TRY004  bad input
    extras = read_extras(fields, where)
    mask = extras["mask"] and _path(manifest.parent, where, "mask", extras["mask"])
    path = _path(manifest.parent, where, "path", fields["path"])
    try:
        return SourceFile(path, normalise_key(fields["key"]), label or None, **{**extras, "mask": mask})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _path(folder: Path, where: str, column: str, given: str) -> str:
    """Return the file that a column names.

    Raises:
        ValueError: It cannot be one, leaves the folder, or is written in an unusual way and there is no such file.

    """
    what = f"{where}: {column} {given!r}"
    if "\0" in given or _LONE_SURROGATE.search(given):
        raise ValueError(f"{what} has a character that is not allowed in paths: correct it")
    path = _inside(folder, PurePosixPath(given))
    if path is None:
        raise ValueError(f"{what} leaves the manifest's folder: give a path below {str(folder)!r}")
    if ("\\" in given or given != given.strip()) and not (folder / given).exists():
        wrong = "has a backslash: write it with '/'" if "\\" in given else "begins or ends with a space: remove it"
        raise ValueError(f"{what} {wrong}")
    return str(folder / path)


def _inside(folder: Path, path: PurePosixPath) -> PurePosixPath | None:
    """Return a path relative to the folder; None where it leaves the folder."""
    if ".." in path.parts:
        return None
    if not path.is_absolute():
        return path
    above = next((base for base in (folder.absolute(), folder.resolve()) if path.is_relative_to(base)), None)
    return None if above is None else path.relative_to(above)
