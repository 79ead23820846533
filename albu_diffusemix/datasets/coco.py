"""A detection set as COCO has it: a `.json` file of annotations beside a folder of images.

A key is an image's `file_name`, below the folder that `--images` names. Crowds and boxes without an area are passed
over, as trainers do it; of polygons only the box is taken.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from albu_diffusemix.datasets.columns import Columns
from albu_diffusemix.datasets.items import Box, SourceFile, fitted_box, sort_by_key
from albu_diffusemix.keys import normalise_key
from albu_diffusemix.regular_files import read_text
from albu_diffusemix.text import in_one_line, parse_json

__all__ = ["coco_categories", "files_in_coco", "is_coco"]


def is_coco(data: Path) -> bool:
    """Return whether DATA is a file of annotations."""
    return data.suffix.lower() == ".json"


def coco_categories(data: Path) -> dict[int, str]:
    """Return the names of the categories by their ids, which need not be without gaps; raises as `files_in_coco`."""
    return {int(each["id"]): str(each["name"]) for each in _read(data)["categories"]}


def files_in_coco(data: Path, columns: Columns) -> list[SourceFile]:
    """List the images, with their boxes.

    Args:
        data: The file of annotations.
        columns: `images` is the folder, by default the file's own.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not one of annotations, an annotation is wrong, or an image is not in the folder.

    """
    columns.refuse_all_but("images", where=f"the COCO set {str(data)!r}")
    folder = data.parent if columns.images is None else Path(columns.images)
    fields, boxes = _read(data), defaultdict[int, list[Box]](list)
    images, names = {image["id"]: image for image in fields["images"]}, coco_categories(data)
    for annotation in fields["annotations"]:
        if annotation.get("iscrowd"):
            continue
        try:
            for field, known in (("image_id", images), ("category_id", names)):
                if annotation[field] not in known:
                    raise ValueError(f"{field} {annotation[field]!r} is not in the file's list of them")  # noqa: TRY301
            image = images[annotation["image_id"]]
            boxes[image["id"]] += _box(annotation["bbox"], image, names[annotation["category_id"]])
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ValueError(f"{str(data)!r}: annotation {annotation.get('id')}: {in_one_line(error)}") from error
    keys = {number: normalise_key(image["file_name"]) for number, image in images.items()}
    missing = [key for key in keys.values() if not (folder / key).is_file()]
    if missing or not keys:
        such = f"{len(missing):,} of {len(keys):,} images are not in {str(folder)!r}, such as {missing[:1]}"
        raise ValueError(f"{str(data)!r}: {such}: give their folder as --images")
    return sort_by_key(
        SourceFile(str(folder / key), key, boxes=tuple(boxes[number]), sides=_sides(images[number]))
        for number, key in keys.items()
    )


def _read(data: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        fields = parse_json(read_text(data))
    except ValueError as error:
        raise ValueError(f"{str(data)!r} is not valid JSON: {error}") from error
    wanted = {"images": ("id", "file_name"), "annotations": (), "categories": ("id", "name")}
    for name, inner in wanted.items():
        listed = fields.get(name) if isinstance(fields, dict) else None
        if not isinstance(listed, list) or not all(isinstance(each, dict) and {*inner} <= {*each} for each in listed):
            raise ValueError(f"{str(data)!r} has no list {name!r} as COCO has it: give a file of COCO annotations")
    return dict(fields)


def _sides(image: dict[str, Any]) -> tuple[int, int] | None:
    return (image["width"], image["height"]) if {"width", "height"} <= {*image} else None


def _box(box: list[float], image: dict[str, Any], label: str) -> list[Box]:
    x, y, width, height = map(float, box)
    across, down = image["width"], image["height"]
    return fitted_box(x / across, y / down, (x + width) / across, (y + height) / down, label)
