"""DiffuseMix from a store against one decode of its source, by encoding, and where its time goes.

The image is given decoded; ours are its look-up, the reading and decoding of the half, the hybrid and the fractal. The
source is a JPEG as OpenCV writes it, quality 92 and 4:2:0. Counterparts are made by the procedural backend's filters,
and once so that they look like diffusion's.
"""

import random
from functools import partial

import albumentations as A
import cv2
import numpy as np
import pytest

from albu_diffusemix import DiffuseMix
from albu_diffusemix.backends import Request, shared_backend
from albu_diffusemix.backends.precomputed.changes import change_of
from albu_diffusemix.backends.precomputed.matching import find
from albu_diffusemix.fractals import shared_library
from albu_diffusemix.functional import fractal_blend, half_box, half_concat_blend
from albu_diffusemix.jpeg import cut_around
from albu_diffusemix.store import Source, Store
from benchmarks import library_floor
from benchmarks.fractals import varied_fractals, warm_fractals
from benchmarks.lines import FROM_STORE
from benchmarks.photographs import COUNT, as_diffusion_draws, as_jpeg, halves, photographs
from benchmarks.side_by_side import Rotating
from benchmarks.stores import key_of, make_store

SHAPES = [(260, 200, 256), (256, 256, 256), (500, 375, 256), (512, 512, 256)]
OPENCV = "one decode of the source"
ENCODINGS = {"raw": "raw", "4:2:0": "jpeg", "4:4:4": "jpeg444"}


def mixed(pipeline, image, key):
    return pipeline(image=image, diffusemix_metadata={"key": key})


def generate(backend, image, key, box):
    return backend.generate([Request(image, None, 0, key, box)])


def decoded(data):
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def boxes_of(width, height):
    return [half_box(height, width, half) for half in halves()]


@pytest.mark.by_scale("shape", smoke=[(64, 48, 32)], usual=SHAPES, full=SHAPES)
def test_against_one_decode(measuring, tmp_path, shape):
    width, height, side = shape
    images = photographs(width, height)
    keys = [key_of(number) for number in range(COUNT)]
    warm_fractals((height, width))
    specs = {name: make_store(tmp_path / name, images, side, encoding) for name, encoding in ENCODINGS.items()}
    smooth = make_store(tmp_path / "smooth", images, side, make=as_diffusion_draws)
    by_key = {f"{name}, filters": by_each_half(spec, images, keys) for name, spec in specs.items()}
    by_key["4:2:0, as diffusion draws"] = by_each_half(smooth, images, keys)
    by_key["4:2:0, filters, without a key"] = by_each_half(specs["4:2:0"], images)
    stages = stages_of(images, keys, specs)
    sources = Rotating(decoded, [as_jpeg(image) for image in images])
    times = measuring.side_by_side({OPENCV: sources, **by_key, **stages})
    for name in by_key:
        line = FROM_STORE.get(name.removesuffix(", filters"), {}).get((width, height))
        measuring.report(
            "From the store, in decodes of its source", name, f"{width}x{height}", times.ratio(name, OPENCV), line=line
        )
    for name in (OPENCV, "raw, filters", "4:2:0, filters", *stages):
        measuring.report("Where its time goes", name, f"{width}x{height}", times.seconds(name, 1e6), unit="us")


def stages_of(images, keys, specs):
    """What a call is made of, each by itself, and so met with warmer caches than within a call."""
    height, width = images[0].shape[:2]
    boxes, store, library = boxes_of(width, height), Store.open(specs["4:2:0"]["store"]), shared_library("builtin")
    counterparts = [store.get(key, "0000")[0] for key in keys]
    stored = boxes_of(*decoded(np.frombuffer(counterparts[0], np.uint8)).shape[1::-1])
    varied = varied_fractals(height, width)
    transform, nothing, draw = DiffuseMix(specs["raw"], p=1), A.Compose([A.NoOp(p=1)]), random.Random(7)
    halves_of = [image[box[1] : box[3], box[0] : box[2]].copy() for image, box in zip(images, boxes, strict=True)]

    def fractal():
        return library.get(draw.randrange(len(library)), height, width)

    found = {
        "an empty pipeline": Rotating(lambda image: nothing(image=image), images),
        "drawing": Rotating(lambda key: transform.sample(draw, {"diffusemix_metadata": {"key": key}}), keys),
    }
    for name in ("raw", "4:2:0"):
        reading = partial(generate, shared_backend(specs[name]))
        found[f"{name}: finding, checking and reading a half"] = Rotating(reading, images, keys, boxes)
    return {
        **found,
        "of it finding the record": Rotating(lambda image, key: find(store, image, key, None), images, keys),
        "of that hashing the image": Rotating(Source.of, images),
        "4:2:0: cutting the half, without decoding": Rotating(cut_around, counterparts, stored),
        "joining and blending": Rotating(
            lambda image, part, half: half_concat_blend(image, part, half, fractal(), 0.2), images, halves_of, halves()
        ),
        "of it one blend by OpenCV": Rotating(lambda image: fractal_blend(image, fractal(), 0.2), images),
        "a fractal resized, as where sizes vary": Rotating(
            lambda _: varied.get(draw.randrange(len(varied)), height, width), images
        ),
        "the libraries' calls alone, 4:2:0": library_floor.from_store(images, counterparts, boxes_of),
    }


def by_each_half(spec, images, keys=None):
    """DiffuseMix in Compose, a pipeline for each half in turns."""
    pipelines = [A.Compose([DiffuseMix(spec, mask_types=(half,), p=1)], seed=7) for half in halves()]
    if keys is None:
        return Rotating(lambda pipeline, image: pipeline(image=image), pipelines, images)
    return Rotating(mixed, pipelines, images, keys)


@pytest.mark.by_scale("shape", smoke=[(64, 48)], usual=[(256, 256), (500, 375)], full=[shape[:2] for shape in SHAPES])
def test_the_alignment_guard(measuring, shape):
    """The hash of each hit by key; with "stretch" and pixels of another decoder, the proof that nothing is flipped."""
    width, height = shape
    images = photographs(width, height)
    unknown = Source(height, width, bytes(16))
    guards = {
        "hash of each image": Rotating(Source.of, images),
        "all changes tried": Rotating(lambda image: change_of(image, unknown), images),
    }
    times = measuring.side_by_side({OPENCV: Rotating(decoded, [as_jpeg(image) for image in images]), **guards})
    for name in guards:
        measuring.report(
            "The alignment guard, in decodes of its source", name, f"{width}x{height}", times.ratio(name, OPENCV)
        )
