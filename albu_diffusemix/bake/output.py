"""Where a baked set goes: its files, their rows, and what is written once for all of them."""

import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from albu_diffusemix.atomic_files import sync_folder, write_atomically
from albu_diffusemix.bake.baker import Sample

__all__ = ["RECIPE", "ROWS", "Files", "Progress", "Tars", "read_progress", "write_annotations", "write_data_yaml"]

RECIPE, ROWS = "bake.json", "rows.jsonl"
_IN_TAR = 1000  # images


class Progress(NamedTuple):
    """How much of a baked set is there: its first so many images, how many of them failed, and bytes of their rows."""

    done: int
    failed: int
    size: int


def read_progress(output: Path, output_format: str, total: int, *, until_failure: bool) -> Progress:
    """Count the rows whose files are there, up to the last whole tar, or to the first failure where that is asked for.

    A kill may have cut off the last row, and a power loss the files behind the last rows.
    """
    in_tars = output_format == "webdataset"
    progress, failed, size = Progress(0, 0, 0), 0, 0
    for number, line in enumerate(_lines(output / ROWS), 1):
        row = json.loads(line)
        failed, size = failed + ("failed" in row), size + len(line)
        if (failed and until_failure) or not (in_tars or _has_files(output, row)):
            break
        if not in_tars or number % _IN_TAR == 0 or number == total:
            progress = Progress(number, failed, size)
    return progress


def _has_files(output: Path, row: dict[str, Any]) -> bool:
    paths = {output / name: size for name, size in row.get("bytes", {}).items()}
    return all(path.exists() and path.stat().st_size == size for path, size in paths.items())


def _lines(file: Path) -> Iterator[bytes]:
    if file.exists():
        with file.open("rb") as lines:
            yield from (line for line in lines if line.endswith(b"\n"))


class Files:
    """Images in files of their own, each whole under its name or not there."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._folders: set[str] = set()

    def put(self, _number: int, sample: Sample) -> None:
        """Write the files of an image."""
        for name, data in sample.files.items():
            path = f"{self._output}/{name}"
            folder = os.path.dirname(path)  # noqa: PTH120  a Path costs a tenth of an image
            if folder not in self._folders:
                Path(folder).mkdir(parents=True, exist_ok=True)
                self._folders.add(folder)
            with open(f"{path}.tmp", "wb") as file:  # noqa: PTH123  as above
                file.write(data)
            os.replace(f"{path}.tmp", path)  # noqa: PTH105  as above

    def is_whole(self, _number: int) -> bool:
        """Return whether the images that were put can have their rows."""
        return True

    def end(self, *, whole: bool) -> None:
        """Nothing is left to be done."""


class Tars:
    """Images in tars of WebDataset, each with the same images however many processes make them."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._tar: Any = None  # typeshed does not know its members
        self._path = output

    def put(self, number: int, sample: Sample) -> None:
        """Add the files of an image to its tar."""
        if self._tar is None:
            self._path = self._output / f"baked-{number // _IN_TAR:06d}.tar"
            self._tar = tarfile.open(_beside(self._path), "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        for name, data in sample.files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            self._tar.addfile(member, io.BytesIO(data))
            self._tar.members.clear()  # it would keep them all

    def is_whole(self, number: int) -> bool:
        """Close the tar behind its last image, and return whether the images that were put can have their rows."""
        if (number + 1) % _IN_TAR == 0:
            self.end(whole=True)
        return self._tar is None

    def end(self, *, whole: bool) -> None:
        """Close the last tar and put it in its place, or leave it out where it is not whole."""
        if self._tar is None:
            return
        self._tar.close()
        self._tar, beside = None, _beside(self._path)
        if not whole:
            beside.unlink()
            return
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(self._path)
        sync_folder(self._output)


def write_data_yaml(output: Path, names: list[str], validation: list[Path]) -> None:
    """Write what tells YOLO's trainers of the set; where there are no images for validation, the baked ones."""
    val: Any = [str(folder.absolute()) for folder in validation] or "images"
    fields = {"train": "images", "val": val, "names": dict(enumerate(names))}
    text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    write_atomically(output / "data.yaml", lambda file: file.write(text.encode()))


def write_annotations(output: Path, categories: list[tuple[int, str]]) -> None:
    """Write COCO's annotations of all images that have rows, one in a line, in little memory."""
    ids = {name: number for number, name in categories}
    named = [{"id": number, "name": name, "supercategory": ""} for number, name in categories]

    def write(file: Any) -> None:
        file.write(b'{"info": {}, "licenses": [],\n"categories": [')
        _write_list(file, named)
        file.write(b'],\n"images": [')
        _write_list(file, (_coco_image(number, row) for number, row in _rows(output)))
        file.write(b'],\n"annotations": [')
        _write_list(file, _coco_boxes(output, ids))
        file.write(b"]}\n")

    write_atomically(output / "annotations.json", write)


def _write_list(file: Any, elements: Iterable[dict[str, Any]]) -> None:
    for number, element in enumerate(elements):
        file.write((",\n" if number else "\n").encode() + json.dumps(element, ensure_ascii=False).encode())


def _rows(output: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_lines(output / ROWS), 1):
        row = json.loads(line)
        if "failed" not in row:
            yield number, row


def _coco_image(number: int, row: dict[str, Any]) -> dict[str, Any]:
    name = row["file"].removeprefix("images/")
    return {"id": number, "file_name": name, "width": row["width"], "height": row["height"]}


def _coco_boxes(output: Path, ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    number = 0
    for image, row in _rows(output):
        for each in row.get("boxes", ()):
            number += 1
            left, top, right, bottom = each["corners"]
            x, y, width, height = left * row["width"], top * row["height"], right - left, bottom - top
            box = [round(side, 3) for side in (x, y, width * row["width"], height * row["height"])]
            shape = {"bbox": box, "area": round(box[2] * box[3], 3), "segmentation": [], "iscrowd": 0}
            yield {"id": number, "image_id": image, "category_id": ids[each["label"]], **shape}


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.tmp")
