"""What each encoding of a store costs to train from, in bytes and in pixels; prints the tables of docs/store.md.

`python -m benchmarks.encodings [ROUNDS]`. Sources are JPEGs as OpenCV writes them (quality 92, 4:2:0), counterparts are
made by the filters of the procedural backend. A call is one of DiffuseMix in a pipeline, on a decoded image with its
key, p=1, with the four halves in turn; against it stands one `cv2.imdecode` of the source.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np

from albu_diffusemix import DiffuseMix, jpeg
from albu_diffusemix.backends import Request, create_backend
from albu_diffusemix.functional import half_box, whole_box
from albu_diffusemix.generate.encoding import ENCODINGS, at_stored_size, encode
from albu_diffusemix.store import Recipe, Source, Store
from benchmarks.fractals import warm_fractals
from benchmarks.photographs import COUNT, halves, photographs
from benchmarks.side_by_side import Rotating, SideBySide
from benchmarks.stores import key_of

SHAPES = [(260, 200), (256, 256), (500, 375), (512, 512)]
SIZE = 256
SOURCE = "a decode of the source"
COMPARED = ("jpeg", "jpeg444", "raw", "png")


class Case(NamedTuple):
    """Photographs of one size, their counterparts as arrays, and a store of these in each encoding."""

    images: list[Any]
    counterparts: dict[str, list[Any]]
    files: dict[str, list[bytes]]
    stores: dict[str, str]


def make_case(folder: Path, width: int, height: int) -> Case:
    """Make the counterparts as the job would, and store them."""
    backend = create_backend("procedural")
    images = photographs(width, height)
    made: dict[str, list[Any]] = {name: [] for name in COMPARED}
    for number, image in enumerate(images):
        for name in COMPARED:
            source = at_stored_size(image, SIZE, name)
            prompt = backend.prompts[number % len(backend.prompts)]
            made[name].append(backend.generate([Request(source, prompt, number, None, whole_box(source))])[0].image)
    files = {name: [encode(image, name) for image in made[name]] for name in COMPARED}
    stores = {name: make_store(folder / f"{width}x{height}-{name}", name, images, files[name]) for name in COMPARED}
    return Case(images, made, files, stores)


def make_store(path: Path, encoding: str, images: list[Any], files: list[bytes]) -> str:
    """Store the files under the keys of `key_of`."""
    store = Store.create(path, Recipe("procedural", "f00d", ("snowy",), SIZE, ENCODINGS[encoding]))
    with store.writer() as writer:
        for number, (image, data) in enumerate(zip(images, files, strict=True)):
            writer.put(key_of(number), "0000", data, prompt="snowy", seed=0, source=Source.of(image))
    store.merge()
    return str(path)


def measure(candidates: dict[str, Callable[[int], Any]], rounds: int) -> dict[str, float]:
    """Return the median of the rounds of each candidate's ratio to the first."""
    first = next(iter(candidates))
    measured = SideBySide(candidates, 1.0)
    for _ in range(rounds):
        measured.round()
    times = measured.times()
    return {name: times.ratio(name, first).value for name in candidates}


def call_costs(case: Case, rounds: int) -> dict[str, float]:
    """Return what a call costs from each store, in decodes of the source."""
    keys = [key_of(number) for number in range(COUNT)]
    warm_fractals(case.images[0].shape[:2])
    sources = [cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1] for image in case.images]
    candidates: dict[str, Callable[[int], Any]] = {
        SOURCE: Rotating(lambda data: cv2.imdecode(data, cv2.IMREAD_COLOR), sources)
    }
    for name, path in case.stores.items():
        spec = {"name": "precomputed", "store": path}
        pipelines = [A.Compose([DiffuseMix(spec, mask_types=(half,), p=1)], seed=7) for half in halves()]
        candidates[name] = Rotating(_mixed, pipelines, case.images, keys)
    return measure(candidates, rounds)


def cut_costs(case: Case, name: str, rounds: int) -> dict[str, float]:
    """Return what cutting each half out of the bytes costs, in whole decodes of the counterpart."""
    height, width = case.counterparts[name][0].shape[:2]
    candidates: dict[str, Callable[[int], Any]] = {"whole": Rotating(jpeg.decode, case.files[name])}
    for half in ("left", "right", "top", "bottom"):
        boxes = [half_box(height, width, half)] * COUNT
        candidates[f"cutting the {half}"] = Rotating(jpeg.cut_around, case.files[name], boxes)
        candidates[f"decoding the {half}"] = Rotating(jpeg.decode_box, case.files[name], boxes)
    return measure(candidates, rounds)


def pixel_error(case: Case, name: str) -> tuple[float, float]:
    """Return the mean difference to the counterpart in gray levels, and the PSNR of all."""
    decoded = [jpeg.decode(data) for data in case.files[name]]
    errors = [cv2.absdiff(*pair) for pair in zip(decoded, case.counterparts[name], strict=True)]
    square = np.mean([np.mean(np.square(error.astype(np.float64))) for error in errors])
    return float(np.mean([error.mean() for error in errors])), float(10 * np.log10(255**2 / square))


def _mixed(pipeline: Any, image: Any, key: str) -> Any:
    return pipeline(image=image, diffusemix_metadata={"key": key})


def main(rounds: int) -> None:
    """Print the tables."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        cases = {f"{width}x{height}": make_case(Path(folder), width, height) for width, height in SHAPES}
        print("A call of DiffuseMix from a store, in decodes of its source\n")
        print(f"| source | {' | '.join(COMPARED)} |\n|---|{'---|' * len(COMPARED)}")
        for name, case in cases.items():
            costs = call_costs(case, rounds)
            print(f"| {name} | {' | '.join(f'{costs[each]:.2f}' for each in COMPARED)} |", flush=True)
        print("\nBytes of a counterpart in kB; mean difference to PNG in gray levels, and PSNR\n")
        for name, case in cases.items():
            sizes = ", ".join(f"{each} {np.mean([*map(len, case.files[each])]) / 1000:.1f}" for each in COMPARED)
            errors = [(each, *pixel_error(case, each)) for each in COMPARED[:2]]
            print(f"{name}: {sizes}; {', '.join(f'{each} {mean:.2f} ({psnr:.1f} dB)' for each, mean, psnr in errors)}")
        print("\nHalves of a JPEG, in decodes of the whole\n")
        for name, case in cases.items():
            for each in COMPARED[:2]:
                costs = cut_costs(case, each, rounds)
                print(f"{name}, {each}: {', '.join(f'{half} {cost:.3f}' for half, cost in costs.items())}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 3)
