"""DiffuseMix from a store against one decode of its source, by encoding, and where its time goes.

The image is given decoded; ours are its look-up, the reading and decoding of the half, the hybrid and the fractal. The
source is a JPEG as OpenCV writes it, quality 92 and 4:2:0. Counterparts are made by the procedural backend's filters,
and once so that they look like diffusion's.
"""

from functools import partial

import albumentations as A
import cv2
import numpy as np
import pytest

from albu_diffusemix import DiffuseMix
from albu_diffusemix.backends import Request, shared_backend
from albu_diffusemix.backends.precomputed.changes import change_of
from albu_diffusemix.functional import half_box
from albu_diffusemix.jpeg import decode_box
from albu_diffusemix.store import Source, Store
from benchmarks import library_floor
from benchmarks.fractals import warm_fractals
from benchmarks.lines import FROM_STORE
from benchmarks.photographs import COUNT, as_diffusion_draws, as_jpeg, halves, photographs
from benchmarks.side_by_side import Rotating
from benchmarks.stores import key_of, make_store

SHAPES = [(260, 200, 256), (256, 256, 256), (500, 375, 256), (512, 512, 512)]
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
    warm_fractals(height, width)
    specs = {name: make_store(tmp_path / name, images, side, encoding) for name, encoding in ENCODINGS.items()}
    smooth = make_store(tmp_path / "smooth", images, side, make=as_diffusion_draws)
    by_key = {f"{name}, filters": by_each_half(spec, images, keys) for name, spec in specs.items()}
    by_key["4:2:0, as diffusion draws"] = by_each_half(smooth, images, keys)
    backend, spec = shared_backend(specs["4:2:0"]), specs["4:2:0"]
    store = Store.open(spec["store"])
    counterparts = [store.get(key, "0000")[0] for key in keys]
    stored = decoded(np.frombuffer(counterparts[0], np.uint8)).shape[1::-1]
    nothing = A.Compose([A.NoOp(p=1)])
    parts = {
        "by pixels, without a key": by_each_half(spec, images),
        "the backend alone": Rotating(partial(generate, backend), images, keys, boxes_of(width, height)),
        "half-decoding alone": Rotating(decode_box, counterparts, boxes_of(*stored)),
        "hashing the pixels": Rotating(Source.of, images),
        "an empty pipeline": Rotating(lambda image: nothing(image=image), images),
        "the libraries' calls alone": library_floor.from_store(images, counterparts, boxes_of),
    }
    sources = Rotating(decoded, [as_jpeg(image) for image in images])
    times = measuring.side_by_side({OPENCV: sources, **by_key, **parts})
    for name in by_key:
        line = FROM_STORE.get(name.removesuffix(", filters"), {}).get((width, height))
        measuring.report(
            "From the store, in decodes of its source", name, f"{width}x{height}", times.ratio(name, OPENCV), line=line
        )
    for name in ("4:2:0, filters", *parts):
        measuring.report("Where its time goes", name, f"{width}x{height}", times.ratio(name, OPENCV))


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
