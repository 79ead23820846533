"""A detection set as YOLO has it: a `data.yaml`, or the folder that holds one, with images and their `labels/*.txt`.

`data.yaml` names the classes and, for each split, a folder of images, or several. The boxes of `images/a/1.jpg` are in
`labels/a/1.txt`, a line `class cx cy w h` for each, as fractions of the image's sides; an image without such a file has
no boxes. A key is the path below the folder `images`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from albu_diffusemix.datasets.columns import Columns
from albu_diffusemix.datasets.items import Box, SourceFile, fitted_box, sort_by_key
from albu_diffusemix.images import find_images
from albu_diffusemix.regular_files import read_text
from albu_diffusemix.text import in_one_line
from albu_diffusemix.yaml_bombs import parse_yaml

__all__ = ["files_in_yolo", "is_yolo", "yolo_folders", "yolo_names"]

_FIELDS = 5


def is_yolo(data: Path) -> bool:
    """Return whether DATA is a `data.yaml`, or a folder that holds one."""
    return data.suffix.lower() in (".yaml", ".yml") or (data / "data.yaml").is_file()


def yolo_names(data: Path) -> list[str]:
    """Return the names of the classes, in the order of their numbers; raises as `files_in_yolo`."""
    return _read(data)[1]


def yolo_folders(data: Path, split: str) -> list[Path]:
    """Return the folders of images of a split, none where it is not given; raises as `files_in_yolo`."""
    file, (fields, _) = _file(data), _read(data)
    root, given = file.parent / str(fields.get("path") or ""), fields.get(split) or []
    return [_folder(root, str(name)) for name in (given if isinstance(given, list) else [given])]


def files_in_yolo(data: Path, columns: Columns) -> list[SourceFile]:
    """List the images of a split, with their boxes.

    Args:
        data: The `data.yaml`, or the folder that holds it.
        columns: `split` is the one to take, by default "train".

    Raises:
        OSError: A file or folder cannot be read.
        ValueError: The `data.yaml` or a line of a label file is wrong, or there are no images.

    """
    columns.refuse_all_but("split", where=f"the YOLO set {str(data)!r}")
    split, names = columns.split or "train", yolo_names(data)
    found = [(path, folder) for folder in yolo_folders(data, split) for path in find_images(folder)]
    if not found:
        raise ValueError(f"{str(_file(data))!r} has no images as {split!r}: check its 'path' and {split!r}")
    return sort_by_key(
        SourceFile(str(path), key, boxes=tuple(_boxes(_label_file(path), names)))
        for path, folder in found
        for key in [path.relative_to(_root(path) or folder).as_posix()]
    )


def _file(data: Path) -> Path:
    return data / "data.yaml" if data.is_dir() else data


def _read(data: Path) -> tuple[dict[str, Any], list[str]]:
    file = _file(data)
    text = read_text(file)
    try:
        fields = parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{str(file)!r} is not valid YAML: {in_one_line(error)}") from error
    names = fields.get("names") if isinstance(fields, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise ValueError(f"{str(file)!r} has no 'names', the list of its classes: write it as a data.yaml of YOLO")
    return fields, [str(name) for name in names]


def _folder(root: Path, name: str) -> Path:
    """Find the folder; what Roboflow writes as `../train/images` is `train/images`, as Ultralytics takes it."""
    folder = root / name
    if not folder.is_dir() and name.startswith("../"):
        folder = root / name.removeprefix("../")
    if not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is not a folder: give folders of images in data.yaml")
    return folder


def _root(path: Path) -> Path | None:
    """Return the last folder `images` that an image lies in."""
    return next((folder for folder in path.parents if folder.name == "images"), None)


def _label_file(path: Path) -> Path:
    root = _root(path)
    beside = path if root is None else root.with_name("labels") / path.relative_to(root)
    return beside.with_suffix(".txt")


def _boxes(file: Path, names: list[str]) -> Iterator[Box]:
    if not file.exists():
        return
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield from fitted_box(*_corners(line.split()), _name(line.split()[0], names))
        except ValueError as error:
            raise ValueError(f"{str(file)!r} line {number}: {line.strip()!r}: {error}") from error


def _corners(fields: list[str]) -> tuple[float, float, float, float]:
    if len(fields) != _FIELDS:
        raise ValueError(f"has {len(fields)} fields: give class cx cy w h; polygons and key points are not read")
    cx, cy, width, height = map(float, fields[1:])
    return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def _name(number: str, names: list[str]) -> str:
    if not number.isdecimal() or int(number) >= len(names):
        raise ValueError(f"class {number!r} has no name in data.yaml: give 0 to {len(names) - 1}")
    return names[int(number)]
