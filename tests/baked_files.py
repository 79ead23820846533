"""Data sets of real photographs to bake, pipelines in files, and the command."""

import json
import shutil
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import yaml
from skimage import data

from albu_diffusemix import DiffuseMix
from albu_diffusemix.cli import main
from albu_diffusemix.images import read_image, write_image

FLIP = [DiffuseMix(prompts=("snowy",), mask_types=("left",), p=1), A.HorizontalFlip(p=1)]
NAMES = ("astronaut", "chelsea", "coffee", "rocket")
CLASSES = {"astronaut": "person", "chelsea": "animal", "coffee": "thing", "rocket": "thing"}
BOXES = {"astronaut": [(1, 0.1, 0.2, 0.4, 0.6)], "chelsea": [(0, 0.0, 0.25, 0.5, 1.0), (1, 0.5, 0.5, 0.75, 0.75)]}
"""Class, and corners as fractions."""


def photographs():
    """A dozen: four of scikit-image's, whole and two halves of each, 96 x 64 pixels."""
    for name in NAMES:
        whole = cv2.resize(getattr(data, name)(), (96, 64), interpolation=cv2.INTER_AREA)
        for part, image in (("", whole), ("_top", whole[:32]), ("_bottom", whole[32:])):
            yield name + part, cv2.resize(image, (96, 64)), CLASSES[name]


def make_folder(folder):
    for name, image, label in photographs():
        write_image(folder / label / f"{name}.jpg", image)
    return folder


def make_yolo(folder):
    for name, image, _ in photographs():
        write_image(folder / "images/train" / f"{name}.jpg", image)
        write_image(folder / "images/val" / f"{name}.jpg", image)
        if name in BOXES:
            file = folder / "labels/train" / f"{name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(_yolo_line(*box) for box in BOXES[name]))
    fields = {"path": ".", "train": "images/train", "val": "images/val", "names": {0: "animal", 1: "face", 2: "unused"}}
    (folder / "data.yaml").write_text(yaml.safe_dump(fields))
    return folder / "data.yaml"


def make_coco(folder):
    images, annotations = [], []
    for number, (name, image, _) in enumerate(photographs(), 10):
        write_image(folder / "images" / f"{name}.jpg", image)
        images.append({"id": number, "file_name": f"{name}.jpg", "width": 96, "height": 64})
        for category, left, top, right, bottom in BOXES.get(name, ()):
            box = [96 * left, 64 * top, 96 * (right - left), 64 * (bottom - top)]
            found = {"id": len(annotations) + 1, "image_id": number, "category_id": 7 + 10 * category, "bbox": box}
            annotations.append({**found, "iscrowd": 0})
    crowd = {"id": 98, "image_id": 10, "category_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 1}
    empty = {"id": 99, "image_id": 10, "category_id": 7, "bbox": [5, 5, 0, 9]}
    categories = [{"id": 17, "name": "face"}, {"id": 7, "name": "animal"}]
    fields = {"images": images, "annotations": [*annotations, crowd, empty], "categories": categories}
    (folder / "train.json").write_text(json.dumps(fields))
    return folder / "train.json"


def _yolo_line(number, left, top, right, bottom):
    return f"{number} {(left + right) / 2} {(top + bottom) / 2} {right - left} {bottom - top}\n"


def save(pipeline, file):
    A.save(pipeline, file, data_format="yaml")
    return file


def bake(data_set, output, *arguments, transforms=FLIP, pipeline=None):
    """Run the command; the pipeline lies beside the output."""
    file = save(pipeline or A.Compose(transforms), Path(output).with_suffix(".yaml"))
    return main(["bake", str(data_set), "-o", str(output), "--pipeline", str(file), *map(str, arguments)])


def rows_of(output):
    return [json.loads(line) for line in (output / "rows.jsonl").read_text().splitlines()]


def contents(folder):
    """Return the bytes of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def forget(output, rows):
    """Leave a set as a kill does: so many rows, half of the next, and files that have none."""
    lines = (output / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (output / "rows.jsonl").write_bytes(b"".join(lines[:rows]) + lines[rows][:40])
    for row in map(json.loads, lines[rows + 1 :]):
        file = output / row["file"]
        if file.exists():
            shutil.move(file, f"{file}.tmp")


def as_floats(path):
    return read_image(path).astype(np.float32)
