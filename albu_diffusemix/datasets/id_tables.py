"""A table of image names, as Kaggle gives it, beside a folder of images: a `.csv` with a column of names and classes.

A name is the path of an image below the folder, with its ending or without; as it stands it is the image's key. Images
that the table does not name are not part of the data set.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from albu_diffusemix.datasets.items import SourceFile
from albu_diffusemix.datasets.rows import Columns, choose_column
from albu_diffusemix.images import find_images
from albu_diffusemix.regular_files import read_text

__all__ = ["files_in_id_table"]


def files_in_id_table(table: Path, columns: Columns) -> list[SourceFile]:
    """Read a table.

    Args:
        table: A `.csv` file.
        columns: `images` is the folder, by default the table's own; `key` and `label` are columns.

    Raises:
        OSError: Table or folder cannot be read.
        ValueError: A column is not there, a row names no image, or several, or one that another row names.

    """
    folder = Path(columns.images) if columns.images is not None else table.parent
    if not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is not a folder: give the one with the images as --images")
    images = _by_name(folder)
    found: dict[str, SourceFile] = {}
    missing: list[str] = []
    for line, key, label in _named(table, columns):
        if key in found:
            raise ValueError(
                f"{str(table)!r} line {line} names {key!r}, as a line before does: keep one line for each image, "
                "or give another --key-column"
            )
        paths = images.get(key, [])
        if len(paths) > 1:
            raise ValueError(f"{str(table)!r} line {line}: {key!r} can be {paths[0].name!r} or {paths[1].name!r}")
        if not paths:
            missing.append(key)
            continue
        found[key] = SourceFile(str(paths[0]), key, label or None)
    if missing:
        raise ValueError(
            f"{len(missing):,} of {len(missing) + len(found):,} names in {str(table)!r} have no image in "
            f"{str(folder)!r}, such as {missing[0]!r}: check --images and --key-column, or remove their lines"
        )
    if not found:
        raise ValueError(f"{str(table)!r} lists no images")
    return list(found.values())


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """Index the images of a folder by their paths below it, without their endings and with them."""
    images: dict[str, list[Path]] = defaultdict(list)
    paths = find_images(folder)
    for path in paths:
        images[path.relative_to(folder).with_suffix("").as_posix()].append(path)
    return images | {path.relative_to(folder).as_posix(): [path] for path in paths}


def _named(table: Path, columns: Columns) -> Iterator[tuple[int, str, str | None]]:
    lines = csv.DictReader(io.StringIO(read_text(table), newline=""), strict=True, skipinitialspace=True)
    try:
        names = list(lines.fieldnames or ())
        key = choose_column(columns.key, (), names, "--key-column", repr(str(table)))
        label = columns.label and choose_column(columns.label, (), names, "--label-column", repr(str(table)))
        for fields in lines:
            if not fields[key]:
                raise ValueError(f"{str(table)!r} line {lines.line_num} has no name in column {key!r}: fill it")
            yield lines.line_num, fields[key], fields[label] if label else None
    except csv.Error as error:
        raise ValueError(f"{str(table)!r} is not valid CSV: {error}") from error
