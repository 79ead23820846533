"""Baking what a plan says: processes make the images, one writes them, in the order of the plan."""

import contextlib
import io
import itertools
import json
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import yaml

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.bake.baker import Baker, Sample
from albu_diffusemix.bake.plan import RECIPE, ROWS, BakePlan, read_rows
from albu_diffusemix.datasets import SourceFile, spread
from albu_diffusemix.datasets.yolo import is_yolo, yolo_folders
from albu_diffusemix.import_paths import import_asked_for
from albu_diffusemix.store.locks import EXCLUSIVE, try_lock
from albu_diffusemix.worker_processes import map_in_order

__all__ = ["BakeSummary", "estimate", "run"]

_MEASURED = 6

_json = json.JSONEncoder(ensure_ascii=False).encode


class BakeSummary(NamedTuple):
    """What a run did.

    Attributes:
        made: Images.
        failed: Images that are missing in the set, those of earlier runs too.
        interrupted: Whether it was told to stop before its end.

    """

    made: int
    failed: int
    interrupted: bool


class _StoppedError(Exception):
    """The run was told to stop, and there are no more images."""


def run(plan: BakePlan, report: Callable[[dict[str, Any]], object], stop: threading.Event) -> BakeSummary:
    """Bake what is missing.

    Args:
        plan: From `make_plan`.
        report: Is given what the row of each image will say.
        stop: When set, what was begun is finished, and the rest left for another run.

    Raises:
        OSError: Something cannot be written.
        ValueError: Another process bakes the same set, or a worker died.

    """
    output, made, failed, interrupted = plan.options.output, 0, plan.failed, False
    output.mkdir(parents=True, exist_ok=True)
    with _alone(output):
        _begin(plan)
        try:
            for row in _write(plan, _samples(plan, report, stop)):
                made, failed = made + ("failed" not in row), failed + ("failed" in row)
        except _StoppedError:
            interrupted = True
        if plan.recipe["format"] == "coco" and not interrupted:
            _write_annotations(output, plan.recipe["categories"])
    return BakeSummary(made, failed, interrupted)


def estimate(plan: BakePlan) -> tuple[float, float]:
    """Return the seconds and bytes of one image, measured on a few; nothing is written."""
    baker, started = Baker(plan.recipe), time.monotonic()
    made = [sample for source in spread(plan.sources, _MEASURED) for sample in baker.bake(source)]
    size = sum(len(data) for sample in made for data in sample.files.values())
    return (time.monotonic() - started) / len(made), size / len(made)


@contextlib.contextmanager
def _alone(output: Path) -> Iterator[None]:
    handle = os.open(output, os.O_RDONLY)
    try:
        if try_lock(handle, EXCLUSIVE) == "alive":
            raise ValueError(f"another process bakes {str(output)!r}: wait until it has ended")
        yield
    finally:
        os.close(handle)


def _begin(plan: BakePlan) -> None:
    output, recipe, data = plan.options.output, plan.recipe, Path(plan.options.data)
    for unfinished in output.glob("*.tmp"):  # of a run that was killed
        unfinished.unlink()
    _write_text(output / RECIPE, json.dumps(recipe, indent=2, ensure_ascii=False) + "\n")
    with (output / ROWS).open("ab") as rows:
        rows.truncate(plan.size)
    if recipe["format"] == "yolo":  # where there are no images for validation, the baked ones
        val = [str(folder.absolute()) for folder in (yolo_folders(data, "val") if is_yolo(data) else [])] or "images"
        fields = {"train": "images", "val": val, "names": dict(recipe["categories"])}
        _write_text(output / "data.yaml", yaml.safe_dump(fields, sort_keys=False, allow_unicode=True))


def _write(plan: BakePlan, samples: Iterator[Sample]) -> Iterator[dict[str, Any]]:
    """Write what is missing, a row behind the files of its image, and yield the rows."""
    output, unit = plan.options.output, plan.unit
    write = _write_tar if plan.recipe["format"] == "webdataset" else _write_files
    with (output / ROWS).open("ab") as file:
        for start in range(plan.done, plan.total, unit):
            rows = write(output, start // unit, itertools.islice(samples, min(unit, plan.total - start)))
            file.write("".join(_json(row) + "\n" for row in rows).encode())
            file.flush()
            yield from rows


def _samples(plan: BakePlan, report: Callable[[dict[str, Any]], object], stop: threading.Event) -> Iterator[Sample]:
    begun, known = divmod(plan.done, plan.each)
    sources = itertools.takewhile(lambda _: not stop.is_set(), plan.sources[begun:])
    if plan.options.workers > 1:
        made = map_in_order(_start, (plan.recipe, plan.options.modules), sources, plan.options.workers)
    else:
        made = map(Baker(plan.recipe).bake, sources)
    for sample in itertools.islice(itertools.chain.from_iterable(made), known, None):
        report(sample.row)
        yield sample
    raise _StoppedError  # nobody asks for more images than there are to be


def _start(recipe: dict[str, Any], modules: tuple[str, ...]) -> Callable[[SourceFile], list[Sample]]:
    for module in modules:
        import_asked_for(module)
    return Baker(recipe).bake


def _write_files(output: Path, _number: int, samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Write the files of images, each whole under its name or not there, and return the images' rows."""
    rows = []
    for row, files in samples:
        for name, data in files.items():
            path = f"{output}/{name}"  # a Path and a buffered file would take longer than to write it
            with _new_file(f"{path}.tmp") as file:
                left = data
                while left:  # a disk that is nearly full takes a part
                    left = left[file.write(left) :]
            os.replace(f"{path}.tmp", path)  # noqa: PTH105
        rows.append(row)
    return rows


def _new_file(path: str) -> io.FileIO:
    try:
        return io.FileIO(path, "w")
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True)
        return io.FileIO(path, "w")


def _write_tar(output: Path, number: int, samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Write the tar of WebDataset with this number, and return its images' rows."""
    rows = []

    def write(file: BinaryIO) -> None:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for row, files in samples:
                for name, data in files.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                rows.append(row)

    tar = output / f"baked-{number:06d}.tar"
    write_atomically(tar, write)
    return [{**row, "bytes": {tar.name: tar.stat().st_size}} for row in rows]


def _write_annotations(output: Path, categories: list[tuple[int, str]]) -> None:
    """Write COCO's annotations of all images that have rows, one in a line."""
    ids = {name: number for number, name in categories}
    named = [{"id": number, "name": name, "supercategory": ""} for number, name in categories]
    lists = {"categories": list(map(_json, named)), "images": list[str](), "annotations": list[str]()}
    for number, (_, row) in enumerate(read_rows(output), 1):
        if "failed" in row:
            continue
        width, height, name = row["width"], row["height"], row["file"].removeprefix("images/")
        lists["images"].append(_json({"id": number, "file_name": name, "width": width, "height": height}))
        for each in row.get("boxes", ()):
            left, top, right, bottom = each["corners"]
            sides = (left * width, top * height, (right - left) * width, (bottom - top) * height)
            box = [round(side, 3) for side in sides]
            found = {"id": len(lists["annotations"]) + 1, "image_id": number, "category_id": ids[each["label"]]}
            shape = {"bbox": box, "area": round(box[2] * box[3], 3), "segmentation": [], "iscrowd": 0}
            lists["annotations"].append(_json({**found, **shape}))
    inner = ",\n".join(f'"{name}": [\n' + ",\n".join(lines) + "]" for name, lines in lists.items())
    _write_text(output / "annotations.json", f'{{"info": {{}}, "licenses": [],\n{inner}}}\n')


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))
