"""What becomes of one source: a pipeline's images of it, with label, mask and boxes, as the files of a format."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np

from albu_diffusemix.bake.names import stem_of
from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.datasets.mask_files import encode_mask, read_mask
from albu_diffusemix.fractals import shared_library
from albu_diffusemix.functional import Image
from albu_diffusemix.image_headers import orientation
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.mixing import CounterpartMixin, FractalMixin, unmixed_images
from albu_diffusemix.pipelines import as_picture, leaves
from albu_diffusemix.text import in_one_line, printable
from albu_diffusemix.tracing import TracedCall, trace

__all__ = ["NUMBER_OF_BOX", "Baker", "Sample"]

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


class _Version(NamedTuple):
    ending: str
    data: bytes
    shape: tuple[int, ...]
    drawn: dict[str, Any]
    boxes: list[tuple[int, Any]]  # the number of each, and its corners
    mask: Image | None


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
        ours = [leaf for leaf in leaves(self._pipeline) if isinstance(leaf, CounterpartMixin)]
        self._metadata_keys = {leaf.metadata_key for leaf in ours}

    def bake(self, source: SourceFile, versions: Sequence[int | None]) -> list[Sample]:
        """Make images of a source.

        Args:
            source: What they are made of.
            versions: Their numbers; None for the source as it is.

        Returns:
            One for each number.

        """
        try:
            image, mask = self._read(source)
        except Exception as error:  # noqa: BLE001  a data set is anybody's code, and one image must not end the run
            return [self._failure(source, number, error) for number in versions]
        return [self._sample(source, image, mask, number) for number in versions]

    @staticmethod
    def _read(source: SourceFile) -> tuple[Image, Image | None]:
        image, mask = source.read(), None if source.mask is None else read_mask(Path(source.mask))
        if mask is not None and mask.shape[:2] != image.shape[:2]:
            sizes = f"{mask.shape[1]} x {mask.shape[0]}, the image {image.shape[1]} x {image.shape[0]}"
            raise ValueError(f"the mask {source.mask!r} has {sizes} pixels: give one of the same size")
        return image, mask

    def _sample(self, source: SourceFile, image: Image, mask: Image | None, number: int | None) -> Sample:
        try:
            version = _original(source, image, mask) if number is None else self._mix(source, image, mask, number)
            return self._finish(source, number, version)
        except Exception as error:  # noqa: BLE001  a transform is anybody's code, and one image must not end the run
            return self._failure(source, number, error)

    def _mix(self, source: SourceFile, image: Image, mask: Image | None, number: int) -> _Version:
        seed = derive_seed(self._recipe["base_seed"], source.key, "", str(number))
        self._pipeline.set_random_seed(seed)
        unmixed = unmixed_images()
        with trace() as calls:
            result = self._pipeline(image=image, **self._targets(source, mask))
        picture = as_picture(result["image"])
        if picture is None:
            raise ValueError("the pipeline does not give a picture: leave Normalize and ToTensorV2 to the trainer")
        left = [status for status, count in unmixed_images().items() if count != unmixed.get(status, 0)]
        boxes = list(zip(map(int, result.get(NUMBER_OF_BOX, ())), result.get("bboxes", ()), strict=True))
        drawn = {"seed": seed, **_drawn(calls, left)}
        return _Version(".jpg", _encode(picture), picture.shape, drawn, boxes, result.get("mask"))

    def _targets(self, source: SourceFile, mask: Image | None) -> dict[str, Any]:
        targets: dict[str, Any] = {name: {"key": source.key} for name in self._metadata_keys}
        if mask is not None:
            targets["mask"] = mask
        if self._recipe["boxes"]:
            corners = [box[:4] for box in source.boxes or ()]
            targets["bboxes"] = np.array(corners, np.float64).reshape(-1, 4)
            targets[NUMBER_OF_BOX] = list(range(len(corners)))
        return targets

    def _finish(self, source: SourceFile, number: int | None, version: _Version) -> Sample:
        stem, mask = self._stem(source, number), version.mask
        height, width, *_ = version.shape
        row = {**self._beginning(source, number, version.ending), **version.drawn, "height": height, "width": width}
        files = {row["file"]: version.data}
        if source.boxes is not None:
            row |= _boxes(source, version.boxes)
        if mask is not None:
            row["mask"] = f"{stem}.mask.png" if self._format == "webdataset" else f"masks/{stem}.png"
            files[row["mask"]] = encode_mask(mask)
        if self._format == "yolo":
            files[f"labels/{stem}.txt"] = self._yolo_lines(row["boxes"]).encode() if "boxes" in row else b""
        if self._format == "webdataset":
            if source.label is not None:
                files[f"{stem}.cls"] = str(self._recipe["classes"].index(source.label)).encode()
            files[f"{stem}.json"] = json.dumps(row, ensure_ascii=False).encode()
        else:
            row["bytes"] = {name: len(content) for name, content in files.items()}
        return Sample(row, files)

    def _stem(self, source: SourceFile, number: int | None) -> str:
        return stem_of(source, self._format) + ("" if number is None else f"__{number}")

    def _beginning(self, source: SourceFile, number: int | None, ending: str) -> dict[str, Any]:
        file = f"{self._folder}{self._stem(source, number)}{ending}"
        return {"file": file, "source": source.key, "n": number, "label": source.label}

    def _failure(self, source: SourceFile, number: int | None, error: Exception) -> Sample:
        return Sample({**self._beginning(source, number, ".jpg"), "failed": _reason(error)}, {})

    def _yolo_lines(self, boxes: list[dict[str, Any]]) -> str:
        names = [name for _, name in self._recipe["categories"]]
        lines = []
        for each in boxes:
            left, top, right, bottom = each["corners"]
            numbers = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
            lines.append(" ".join([str(names.index(each["label"])), *(f"{number:.6f}" for number in numbers)]) + "\n")
        return "".join(lines)


def _reason(error: Exception) -> str:
    reason = printable(in_one_line(error))
    return reason if isinstance(error, ValueError | OSError) and reason else f"{type(error).__name__}: {reason}"


def _encode(image: Image) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _JPEG)[1].tobytes()


def _original(source: SourceFile, image: Image, mask: Image | None) -> _Version:
    """Return the source as it is, its own file where trainers read that as it is."""
    ending, data = PurePosixPath(source.path).suffix.lower(), b""
    if source.position is None and ending in _KEPT_ENDINGS:
        data = Path(source.path).read_bytes()
    if not data or orientation(data) not in _UPRIGHT:
        ending, data = ".jpg", _encode(image)
    boxes = [(of, box[:4]) for of, box in enumerate(source.boxes or ())]
    return _Version(ending, data, image.shape, {"seed": None, **_drawn([], [])}, boxes, mask)


def _drawn(calls: list[TracedCall], left: list[str]) -> dict[str, Any]:
    """Return what the row says of DiffuseMix: what was drawn for its first step and for its last, where they ran."""
    concat = next((call for call in calls if isinstance(call.transform, CounterpartMixin)), None)
    blend = next((call for call in calls if isinstance(call.transform, FractalMixin)), None)
    drawn = concat.params if concat else {}
    row = {name: drawn.get(name) for name in ("prompt", "mask_type", "mask_params", "variant")}
    row["counterpart"] = (left[0] if left else "ok") if concat else None
    if blend is None or (left and concat and blend.transform is concat.transform):
        return {**row, "fractal": None, "alpha": None}
    library: Any = blend.transform
    fractal = shared_library(library.fractals).name(blend.params["fractal_index"])
    return {**row, "fractal": fractal, "alpha": blend.params["alpha"]}


def _boxes(source: SourceFile, boxes: list[tuple[int, Any]]) -> dict[str, Any]:
    given = source.boxes or ()
    kept = [
        {"of": of, "label": given[of].label, "corners": [round(float(corner), 6) for corner in corners[:4]]}
        for of, corners in boxes
    ]
    return {"boxes": kept, "lost_boxes": sorted(set(range(len(given))) - {of for of, _ in boxes})}
