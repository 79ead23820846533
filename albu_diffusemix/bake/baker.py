"""What becomes of one source: a pipeline's images of it, with label, mask and boxes, as the files of a format."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.bake.mask_files import encode_mask, read_mask
from albu_diffusemix.bake.names import stem_of
from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.fractals import shared_library
from albu_diffusemix.image_headers import orientation
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.mixing import CounterpartMixin, FractalMixin, unmixed_images
from albu_diffusemix.pipelines import as_picture, leaves
from albu_diffusemix.text import in_one_line
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
            image, mask = self.read(source)
        except Exception as error:  # noqa: BLE001  a data set is anybody's code, and one image must not end the run
            return [self._failure(source, number, error) for number in versions]
        return [self._sample(source, image, mask, number) for number in versions]

    def read(self, source: SourceFile) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        """Return the image of a source and its mask; raises what `SourceFile.read` does, or ValueError."""
        image, mask = source.read(), None if source.mask is None else read_mask(Path(source.mask))
        if mask is not None and mask.shape[:2] != image.shape[:2]:
            sizes = f"{mask.shape[1]} x {mask.shape[0]}, the image {image.shape[1]} x {image.shape[0]}"
            raise ValueError(f"the mask {source.mask!r} has {sizes} pixels: give one of the same size")
        return image, mask

    def mix(self, source: SourceFile, image: NDArray[np.uint8], mask: NDArray[Any] | None, number: int) -> Sample:
        """Run the pipeline on an image.

        Raises:
            ValueError: What it gives is not a picture.
            Exception: Whatever a transform raises.

        """
        seed = derive_seed(self._recipe["base_seed"], source.key, "", str(number))
        self._pipeline.set_random_seed(seed)
        unmixed = unmixed_images()
        with trace() as calls:
            result = self._pipeline(image=image, **self._targets(source, mask))
        picture = as_picture(result["image"])
        if picture is None:
            raise ValueError("the pipeline does not give a picture: leave Normalize and ToTensorV2 to the trainer")
        left = [status for status, count in unmixed_images().items() if count != unmixed.get(status, 0)]
        boxes = [
            (int(of), corners)
            for of, corners in zip(result.get(NUMBER_OF_BOX, ()), result.get("bboxes", ()), strict=True)
        ]
        encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _JPEG)[1].tobytes()
        drawn = {"seed": seed, **_drawn(calls, left)}
        return self._finished(source, number, (".jpg", encoded), picture.shape, drawn, boxes, result.get("mask"))

    def _sample(
        self, source: SourceFile, image: NDArray[np.uint8], mask: NDArray[Any] | None, number: int | None
    ) -> Sample:
        try:
            if number is not None:
                return self.mix(source, image, mask, number)
            boxes = [(of, box[:4]) for of, box in enumerate(source.boxes or ())]
            return self._finished(
                source, None, _original(source, image), image.shape, {"seed": None, **_drawn([], [])}, boxes, mask
            )
        except Exception as error:  # noqa: BLE001  a transform is anybody's code, and one image must not end the run
            return self._failure(source, number, error)

    def _targets(self, source: SourceFile, mask: NDArray[Any] | None) -> dict[str, Any]:
        targets: dict[str, Any] = {name: {"key": source.key} for name in self._metadata_keys}
        if mask is not None:
            targets["mask"] = mask
        if self._recipe["boxes"]:
            corners = [box[:4] for box in source.boxes or ()]
            targets["bboxes"] = np.array(corners, np.float64).reshape(-1, 4)
            targets[NUMBER_OF_BOX] = list(range(len(corners)))
        return targets

    def _finished(
        self,
        source: SourceFile,
        number: int | None,
        encoded: tuple[str, bytes],
        shape: tuple[int, ...],
        drawn: dict[str, Any],
        boxes: list[tuple[int, Any]],
        mask: NDArray[Any] | None,
    ) -> Sample:
        stem, (ending, data) = self._stem(source, number), encoded
        row: dict[str, Any] = {
            **self._beginning(source, number, ending),
            **drawn,
            "height": shape[0],
            "width": shape[1],
        }
        files = {row["file"]: data}
        if source.boxes is not None:
            row |= _boxes(source, boxes)
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
        return Sample({**self._beginning(source, number, ".jpg"), "failed": reason_of(error)}, {})

    def _yolo_lines(self, boxes: list[dict[str, Any]]) -> str:
        names = [name for _, name in self._recipe["categories"]]
        lines = []
        for each in boxes:
            left, top, right, bottom = each["corners"]
            numbers = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
            lines.append(" ".join([str(names.index(each["label"])), *(f"{number:.6f}" for number in numbers)]) + "\n")
        return "".join(lines)


def reason_of(error: Exception) -> str:
    """Say in one line why there is no image."""
    reason = in_one_line(error)
    return reason if isinstance(error, ValueError | OSError) and reason else f"{type(error).__name__}: {reason}"


def _original(source: SourceFile, image: NDArray[np.uint8]) -> tuple[str, bytes]:
    """Return the ending and bytes of the source's own file, or of a new one where trainers might read it otherwise."""
    ending = PurePosixPath(source.path).suffix.lower()
    if source.position is None and ending in _KEPT_ENDINGS:
        data = Path(source.path).read_bytes()
        if orientation(data) in _UPRIGHT:
            return ending, data
    return ".jpg", cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _JPEG)[1].tobytes()


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
