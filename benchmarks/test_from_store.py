"""DiffuseMix from a store against one full decode of a JPEG of the image's size, and where its time goes.

The image is given decoded; ours are its look-up, the reading and decoding of the half, the hybrid and the fractal. Two
kinds of JPEG are decoded: quality 90 without subsampling, as the store's own, and OpenCV's default, 95 with 4:2:0.
"""

from functools import partial

import albumentations as A
import cv2
import pytest
import simplejpeg

from albu_diffusemix import DiffuseMix
from albu_diffusemix.backends import Request, shared_backend
from albu_diffusemix.backends.precomputed.changes import change_of
from albu_diffusemix.functional import half_box
from albu_diffusemix.jpeg import decode_box
from albu_diffusemix.store import Source, Store
from benchmarks import library_floor
from benchmarks.fractals import warm_fractals
from benchmarks.lines import FROM_STORE
from benchmarks.photographs import COUNT, as_jpeg, halves, photographs
from benchmarks.side_by_side import Rotating
from benchmarks.stores import key_of, make_store, stored_size

SHAPES = [(256, 256, 256), (512, 512, 512), (500, 375, 256), (1024, 768, 512)]
OPENCV, OPENCV_420, SIMPLEJPEG = "decode by OpenCV", "decode by OpenCV, 4:2:0", "decode by simplejpeg"
BY_KEY, BY_PIXELS = "DiffuseMix by key", "DiffuseMix by pixels"


def mixed(pipeline, image, key):
    return pipeline(image=image, diffusemix_metadata={"key": key})


def generate(backend, image, key, box):
    return backend.generate([Request(image, None, 0, key, box)])


def decoded(data):
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def rgb_by_simplejpeg(data):
    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def boxes_of(width, height):
    return [half_box(height, width, half) for half in halves()]


@pytest.mark.by_scale("shape", smoke=[(64, 48, 32)], usual=SHAPES, full=SHAPES)
def test_against_one_decode(measuring, tmp_path, shape):
    width, height, side = shape
    images = photographs(width, height)
    keys = [key_of(number) for number in range(COUNT)]
    spec = make_store(tmp_path / "store", images, side)
    pipelines = [A.Compose([DiffuseMix(spec, mask_types=(half,), p=1)], seed=7) for half in halves()]
    nothing = A.Compose([A.NoOp(p=1)])
    warm_fractals(height, width)
    store = Store.open(spec["store"])
    counterparts = [store.get(key, "0000")[0] for key in keys]
    stored = stored_size(width, height, side)
    ordinary, subsampled = [as_jpeg(image) for image in images], [cv2.imencode(".jpg", image)[1] for image in images]
    decodes = {
        OPENCV: Rotating(decoded, ordinary),
        OPENCV_420: Rotating(decoded, subsampled),
        SIMPLEJPEG: Rotating(rgb_by_simplejpeg, [data.tobytes() for data in ordinary]),
    }
    ours = {
        BY_KEY: Rotating(mixed, pipelines, images, keys),
        BY_PIXELS: Rotating(lambda pipeline, image: pipeline(image=image), pipelines, images),
        "the backend alone": Rotating(partial(generate, shared_backend(spec)), images, keys, boxes_of(width, height)),
        "half-decoding alone": Rotating(decode_box, counterparts, boxes_of(*stored)),
        "hashing the pixels": Rotating(Source.of, images),
        "an empty pipeline": Rotating(lambda image: nothing(image=image), images),
        "the libraries' calls alone": library_floor.from_store(images, counterparts, boxes_of),
    }
    times = measuring.side_by_side({**decodes, **ours})
    column = f"{width}x{height}, counterparts {stored[0]}x{stored[1]}"
    for theirs in decodes:
        line = FROM_STORE if theirs == OPENCV else None
        measuring.report("From the store", f"{BY_KEY} / {theirs}", column, times.ratio(BY_KEY, theirs), line=line)
    for name in ours:
        measuring.report("Where its time goes, in OpenCV's decodes", name, column, times.ratio(name, OPENCV))


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
            "The alignment guard, in OpenCV's decodes", name, f"{width}x{height}", times.ratio(name, OPENCV)
        )
