"""What becomes of one source: a pipeline's images of it, with label, mask and boxes, as the files of a format."""

import functools
import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeAlias

import albumentations as A
import cv2
import numpy as np

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.fractals import shared_library
from albu_diffusemix.functional import Image
from albu_diffusemix.image_headers import orientation
from albu_diffusemix.images import IMAGE_SUFFIXES
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.mask_files import encode_mask, read_mask
from albu_diffusemix.mixing import CounterpartMixin, FractalMixin, unmixed_images
from albu_diffusemix.pipelines import as_picture, leaves, reseed
from albu_diffusemix.text import in_one_line, printable
from albu_diffusemix.tracing import TracedCall, trace

__all__ = ["NUMBER_OF_BOX", "Baker", "Sample", "stem_of"]

NUMBER_OF_BOX = "diffusemix_number_of_box"
"""The label field by which a box is known again behind the pipeline."""

_KEPT_ENDINGS = (".jpeg", ".jpg", ".png")
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)
_UPRIGHT = (0, 1)  # values of EXIF's orientation


class Sample(NamedTuple):
    """One image of a baked set.

    Attributes:
        row: What `rows.jsonl` says of it; has `failed`, the reason, where there is no image.
        files: Its files by their paths in the set, or in a tar; none where it failed.

    """

    row: dict[str, Any]
    files: dict[str, bytes]


_Version: TypeAlias = tuple[str, bytes, dict[str, Any], Image | None]
"""The ending of an image file, its bytes, what its row says, and its mask."""


def stem_of(source: SourceFile, output_format: str) -> str:
    """Return the path of a source's images, without the number and ending that each has behind it.

    Examples:
        >>> stem_of(SourceFile("/data/001.png", "001.png", "rose"), "folder")
        'rose/001'

    """
    stem, ending = os.path.splitext(source.key)  # noqa: PTH122  a PurePath costs ten times as much
    if ending.lower() not in IMAGE_SUFFIXES:
        stem = source.key
    if output_format == "webdataset":  # whose readers end a sample's key at the first dot of its name
        folder, slash, name = stem.rpartition("/")
        return folder + slash + name.replace(".", "_")
    outside = output_format == "folder" and source.label and not stem.startswith(f"{source.label}/")
    return f"{source.label}/{stem}" if outside else stem


class Baker:
    """Makes the images of a baked set, the same ones in every process and order.

    Args:
        recipe: As `albu_diffusemix.bake.plan` makes it.

    """

    def __init__(self, recipe: dict[str, Any]) -> None:
        self._recipe = recipe
        self._format = recipe["format"]
        self._folder = "images/" if self._format in ("yolo", "coco") or recipe["masks"] else ""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Got processor for bboxes")  # nothing in the pipeline moves them
            self._pipeline: Any = A.from_dict(recipe["pipeline"])
        self._keys = {leaf.metadata_key for leaf in leaves(self._pipeline) if isinstance(leaf, CounterpartMixin)}

    def bake(self, source: SourceFile) -> list[Sample]:
        """Make all images of a source: itself where originals are kept, and the mixed ones."""
        read = functools.cache(lambda: _read(source))
        numbers = (*((None,) * self._recipe["keep_originals"]), *range(self._recipe["per_image"]))
        return [self._sample(source, number, read) for number in numbers]

    def _sample(self, source: SourceFile, number: int | None, read: Callable[[], tuple[Image, Image | None]]) -> Sample:
        stem = stem_of(source, self._format) + ("" if number is None else f"__{number}")
        row = {"file": f"{self._folder}{stem}.jpg", "source": source.key, "n": number, "label": source.label}
        try:
            made = _original(source, *read()) if number is None else self._mix(source, *read(), number)
            return self._with_files(source, stem, row, made)
        except Exception as error:  # noqa: BLE001  one image must not end the run
            reason = printable(in_one_line(error))
            told = isinstance(error, ValueError | OSError) and reason
            return Sample({**row, "failed": reason if told else f"{type(error).__name__}: {reason}"}, {})

    def _mix(self, source: SourceFile, image: Image, mask: Image | None, number: int) -> _Version:
        seed = derive_seed(self._recipe["base_seed"], source.key, "", str(number))
        reseed(self._pipeline, seed)
        unmixed = unmixed_images()
        with trace() as calls:
            result = self._pipeline(image=image, **self._targets(source, mask))
        picture = as_picture(result["image"])
        if picture is None:
            raise ValueError("the pipeline does not give a picture: leave Normalize and ToTensorV2 to the trainer")
        left = next((status for status, count in unmixed_images().items() if count != unmixed.get(status, 0)), None)
        boxes = zip(map(int, result.get(NUMBER_OF_BOX, ())), result.get("bboxes", ()), strict=True)
        facts = {"seed": seed, **_drawn(calls, left), **_sides(picture), **_boxes(source, boxes)}
        return ".jpg", _encode(picture), facts, result.get("mask")

    def _targets(self, source: SourceFile, mask: Image | None) -> dict[str, Any]:
        targets: dict[str, Any] = {name: {"key": source.key} for name in self._keys}
        targets |= {} if mask is None else {"mask": mask}
        if self._recipe["boxes"]:
            corners = [box[:4] for box in source.boxes or ()]
            targets["bboxes"] = np.array(corners, np.float64).reshape(-1, 4)
            targets[NUMBER_OF_BOX] = list(range(len(corners)))
        return targets

    def _with_files(self, source: SourceFile, stem: str, row: dict[str, Any], made: _Version) -> Sample:
        ending, data, facts, mask = made
        row = {**row, "file": f"{self._folder}{stem}{ending}", **facts}
        files = {row["file"]: data}
        if mask is not None:
            row["mask"] = f"{stem}.mask.png" if self._format == "webdataset" else f"masks/{stem}.png"
            files[row["mask"]] = encode_mask(mask)
        if self._format == "yolo":
            files[f"labels/{stem}.txt"] = self._yolo_lines(row.get("boxes", ())).encode()
        if self._format != "webdataset":
            return Sample({**row, "bytes": {name: len(content) for name, content in files.items()}}, files)
        if source.label is not None:
            files[f"{stem}.cls"] = str(self._recipe["classes"].index(source.label)).encode()
        files[f"{stem}.json"] = json.dumps(row, ensure_ascii=False).encode()
        return Sample(row, files)

    def _yolo_lines(self, boxes: Sequence[dict[str, Any]]) -> str:
        numbers = {name: number for number, name in self._recipe["categories"]}
        corners = [(numbers[each["label"]], *each["corners"]) for each in boxes]
        return "".join(
            f"{number} {(left + right) / 2:.6f} {(top + bottom) / 2:.6f} {right - left:.6f} {bottom - top:.6f}\n"
            for number, left, top, right, bottom in corners
        )


def _read(source: SourceFile) -> tuple[Image, Image | None]:
    image, mask = source.read(), None if source.mask is None else read_mask(Path(source.mask))
    sides = (image.shape[1], image.shape[0])
    if mask is not None and (mask.shape[1], mask.shape[0]) != sides:
        both = f"{mask.shape[1]} x {mask.shape[0]}, the image {sides[0]} x {sides[1]}"
        raise ValueError(f"the mask {source.mask!r} has {both} pixels: give one of the same size")
    if source.boxes and source.sides not in (None, sides):
        width, height = source.sides
        both = f"{sides[0]} x {sides[1]} pixels, and its boxes were drawn for {width} x {height}"
        raise ValueError(
            f"{source.path!r} has {both}: save it upright where EXIF turns it, or annotate it as it is now"
        )
    return image, mask


def _encode(image: Image) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _JPEG)[1].tobytes()


def _original(source: SourceFile, image: Image, mask: Image | None) -> _Version:
    """Return the source as it is, its own file where trainers read that as it is."""
    ending, data = PurePosixPath(source.path).suffix.lower(), b""
    if source.position is None and ending in _KEPT_ENDINGS:
        data = Path(source.path).read_bytes()
    if not data or orientation(data) not in _UPRIGHT:
        ending, data = ".jpg", _encode(image)
    facts = {"seed": None, **_drawn([]), **_sides(image), **_boxes(source, enumerate(source.boxes or ()))}
    return ending, data, facts, mask


def _drawn(calls: list[TracedCall], left: str | None = None) -> dict[str, Any]:
    """Return what the row says of DiffuseMix: what was drawn for its first step and for its last, where they ran."""
    concat = next((call for call in calls if isinstance(call.transform, CounterpartMixin)), None)
    blend = next((call for call in calls if isinstance(call.transform, FractalMixin)), None)
    drawn = concat.params if concat else {}
    row = {name: drawn.get(name) for name in ("prompt", "mask_type", "mask_params", "variant")}
    row["counterpart"] = (left or "ok") if concat else None
    if blend is None or (left and concat and blend.transform is concat.transform):
        return {**row, "fractal": None, "alpha": None}
    library: Any = blend.transform
    fractal = shared_library(library.fractals).name(blend.params["fractal_index"])
    return {**row, "fractal": fractal, "alpha": blend.params["alpha"]}


def _sides(image: Image) -> dict[str, int]:
    return {"height": image.shape[0], "width": image.shape[1]}


def _boxes(source: SourceFile, boxes: Iterable[tuple[int, Any]]) -> dict[str, Any]:
    """Return what the row says of the boxes: those that are left, each with its number in the source, and the lost."""
    if source.boxes is None:
        return {}
    kept = [
        {"of": of, "label": source.boxes[of].label, "corners": [round(float(corner), 6) for corner in corners[:4]]}
        for of, corners in boxes
    ]
    return {"boxes": kept, "lost_boxes": sorted({*range(len(source.boxes))} - {each["of"] for each in kept})}
