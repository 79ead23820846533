"""Ours in Compose against the host's own transforms: what one more line in a pipeline costs.

Everyone gets the same arrays, p=1, in a pipeline of its own, and gives back an array that the caller owns.
"""

import albumentations as A
import numpy as np
import pytest

from albu_diffusemix import DiffuseMix, FractalBlend, HalfConcat
from albu_diffusemix.prompts import PAPER_PROMPTS
from benchmarks.fractals import warm_fractals
from benchmarks.library_floor import LibraryFloor
from benchmarks.lines import AGAINST_BRIGHTNESS
from benchmarks.photographs import halves, negatives, photographs
from benchmarks.side_by_side import Rotating

COPY = "a plain copy"
LIBRARIES = "the libraries' calls alone"
BRIGHTNESS = "RandomBrightnessContrast"
LINE_AT = ("DiffuseMix", BRIGHTNESS, "uint8", 224)
NATIVE = {
    "NoOp": A.NoOp,
    "HorizontalFlip": A.HorizontalFlip,
    BRIGHTNESS: A.RandomBrightnessContrast,
    "CoarseDropout": A.CoarseDropout,
    "OverlayElements": A.OverlayElements,
    "ColorJitter": A.ColorJitter,
}
LEFT_HALF = (0.0, 0.0, 0.5, 1.0)

pytestmark = [
    pytest.mark.by_scale("size", smoke=[32], usual=[224, 512], full=[224, 256, 512, 1024]),
    pytest.mark.parametrize("dtype", ["uint8", "float32"]),
]


def each_half(make, images, metadata):
    """Ours in Compose, a pipeline for each half in turns, so that every round holds each of them equally often."""
    pipelines = [A.Compose([make(mask_types=(half,), p=1)], seed=7) for half in halves()]
    return Rotating(lambda pipeline, image, more: pipeline(image=image, **more), pipelines, images, metadata)


def each_prompt(make, images):
    """Ours in Compose with the default backend, a pipeline for each prompt in turns."""
    pipelines = [A.Compose([make(prompts=(prompt,), p=1)], seed=7) for prompt in PAPER_PROMPTS]
    return Rotating(lambda pipeline, image: pipeline(image=image), pipelines, (2 * images)[: len(pipelines)])


def in_compose(transform, images, metadata=None):
    """A transform that costs the same for every image, in Compose."""
    pipeline, metadata = A.Compose([transform], seed=7), metadata or [{}] * len(images)
    return Rotating(lambda image, more: pipeline(image=image, **more), images, metadata, alike=True)


def natives(images):
    """The host's transforms; the one that pastes gets as much to paste as we do: a half of the counterpart."""
    half = images[0].shape[1] // 2
    overlays = [
        {"overlay_metadata": {"image": np.ascontiguousarray(image[:, :half]), "bbox": LEFT_HALF}}
        for image in negatives(images)
    ]
    return {
        name: in_compose(make(p=1), images, overlays if make is A.OverlayElements else None)
        for name, make in NATIVE.items()
    }


def report_all(measuring, times, ours, dtype, size):
    for name in ours:
        for native in NATIVE:
            line = AGAINST_BRIGHTNESS if (name, native, dtype, size) == LINE_AT else None
            table = f"In Compose, {dtype}, {size} px"
            measuring.report(table, name, f"/ {native}", times.ratio(name, native), line=line)


def report_times(measuring, times, names, dtype, size):
    for name in names:
        measuring.report(f"A call in Compose, {dtype}", name, f"{size} px", times.seconds(name, 1e6), unit="us")


def test_counterpart_in_memory(measuring, size, dtype):
    images = photographs(size, size, dtype)
    at_hand = [{"diffusemix_metadata": {"counterpart": counterpart}} for counterpart in negatives(images)]
    warm_fractals((size, size))
    ours = {
        "HalfConcat": each_half(HalfConcat, images, at_hand),
        "FractalBlend": in_compose(FractalBlend(p=1), images),
        "DiffuseMix": each_half(DiffuseMix, images, at_hand),
    }
    if dtype == "uint8":
        ours[LIBRARIES] = Rotating(LibraryFloor(size, size).blended, images, alike=True)
    target = np.empty_like(images[0])
    floor = {COPY: Rotating(lambda image: np.copyto(target, image), images, alike=True)}
    times = measuring.side_by_side({**ours, **natives(images), **floor})
    report_all(measuring, times, ours, dtype, size)
    report_times(measuring, times, [*floor, *NATIVE, *ours], dtype, size)


def test_procedural_counterpart(measuring, size, dtype):
    images = photographs(size, size, dtype)
    warm_fractals((size, size))
    ours = {
        "HalfConcat, procedural": each_prompt(HalfConcat, images),
        "DiffuseMix, procedural": each_prompt(DiffuseMix, images),
    }
    times = measuring.side_by_side({**ours, **natives(images)})
    report_all(measuring, times, ours, dtype, size)
    report_times(measuring, times, ours, dtype, size)
