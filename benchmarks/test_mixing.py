"""The arithmetic alone, arrays in and arrays out: against the released code, other mixing, and the floor of copying.

The floor moves as many bytes by `np.copyto` as the arithmetic has to read and write, into memory that exists already.
"""

import albumentations as A
import cv2
import numpy as np
import pytest
from PIL import Image

from albu_diffusemix import DiffuseMix
from albu_diffusemix.functional import fractal_blend, half_concat, half_concat_blend
from benchmarks import array_mixing, released_mixing
from benchmarks.fractals import fractals, warm_fractals
from benchmarks.lines import AGAINST_RELEASED
from benchmarks.photographs import COUNT, halves, negatives, photographs
from benchmarks.side_by_side import Rotating

ALPHA = released_mixing.ALPHA
SIDE = 256
COPIES = {"half_concat": 1.0, "fractal_blend": 1.5, "half_concat_blend": 1.5}
"""Images' worth of copying that moves as many bytes: half and half read, one written; two read, one written."""


def both(image, counterpart, fractal, mask_type, seam_width=0.0):
    return half_concat_blend(image, counterpart, mask_type, fractal, ALPHA, seam_width)


def pil_to_pil(image, counterpart, fractal, mask_type):
    return Image.fromarray(both(np.asarray(image), np.asarray(counterpart), fractal, mask_type))


def blended_by_opencv(image, fractal):
    return cv2.addWeighted(image, 1 - ALPHA, fractal, ALPHA, 0)


def with_seam(image, counterpart, fractal, side):
    return both(image, counterpart, fractal, side, released_mixing.SEAM / SIDE)


def saved(images, folder):
    """The images in files of 512 px, as fractals usually come."""
    paths = [folder / f"{number}.jpg" for number in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image).save(path, quality=95)
    return paths


def test_against_the_released_codes_stage(measuring, tmp_path):
    images = photographs(SIDE, SIDE)
    counterparts, large = negatives(images), fractals(512)
    pictures, others, patterns = (list(map(Image.fromarray, arrays)) for arrays in (images, counterparts, large))
    paths, sides = saved(large, tmp_path), [released_mixing.SIDES[number % 2] for number in range(COUNT)]
    pipelines = [A.Compose([DiffuseMix(mask_types=(half,), p=1)], seed=7) for half in halves()]
    warm_fractals((SIDE, SIDE))

    def in_compose(pipeline, image, counterpart):
        return pipeline(image=image, diffusemix_metadata={"counterpart": counterpart})

    given, from_file = "fractal given", "fractal read from its file"
    ours = {
        "half_concat_blend on arrays": Rotating(both, images, counterparts, fractals(SIDE), halves()),
        "the same with the released code's seam": Rotating(with_seam, images, counterparts, fractals(SIDE), sides),
        "half_concat_blend from PIL to PIL": Rotating(pil_to_pil, pictures, others, fractals(SIDE), halves()),
        "DiffuseMix in Compose": Rotating(in_compose, pipelines, images, counterparts),
        "one blend by OpenCV, nothing else": Rotating(blended_by_opencv, images, fractals(SIDE), alike=True),
    }
    times = measuring.side_by_side(
        {
            given: Rotating(released_mixing.mix, pictures, others, patterns, sides),
            from_file: Rotating(released_mixing.mix_from_file, pictures, others, paths, sides),
            **ours,
        }
    )
    for place, name in enumerate(ours):
        for theirs in (given, from_file):
            line = AGAINST_RELEASED if place == 0 and theirs == given else None
            table = "Times faster than the released code's mixing stage"
            measuring.report(table, name, theirs, times.ratio(theirs, name), line=line)


@pytest.mark.by_scale("size", smoke=[32], usual=[224, 512], full=[224, 256, 512, 1024])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_against_other_mixing_and_the_floor(measuring, size, dtype):
    images = photographs(size, size, dtype)
    counterparts, patterns = negatives(images), fractals(size, dtype)
    draw = np.random.default_rng(7)
    weights = [np.float32(weight) for weight in draw.beta(3, 1, COUNT)]
    boxes = [(size // 4, size // 8, size // 4 * 3, size // 8 * 7)] * COUNT
    target = np.empty((2 * size, size, 3), dtype)
    stacks = [np.concatenate([image, counterpart]) for image, counterpart in zip(images, counterparts, strict=True)]

    def copy(number_of_images):
        rows = round(number_of_images * size)
        return Rotating(lambda stack: np.copyto(target[:rows], stack[:rows]), stacks)

    ours = {
        "half_concat": Rotating(half_concat, images, counterparts, halves()),
        "fractal_blend": Rotating(lambda image, fractal: fractal_blend(image, fractal, ALPHA), images, patterns),
        "half_concat_blend": Rotating(both, images, counterparts, patterns, halves()),
    }
    others = {
        "PixMix, add": Rotating(array_mixing.pixmix_add, images, patterns, weights, weights[::-1]),
        "PixMix, multiply": Rotating(array_mixing.pixmix_multiply, images, patterns, weights, weights[::-1]),
        "mixup": Rotating(array_mixing.mixup, images, counterparts, weights),
        "CutMix": Rotating(array_mixing.cutmix, images, counterparts, boxes),
    }
    copies = {f"{number:g} copies": copy(number) for number in sorted(set(COPIES.values()))}
    times = measuring.side_by_side({**ours, **others, **copies})
    for name in ours:
        table = f"Mixing arrays, {dtype}, {size} px"
        for theirs in others:
            measuring.report(table, name, f"/ {theirs}", times.ratio(name, theirs))
        measuring.report(table, name, "/ the copying floor", times.ratio(name, f"{COPIES[name]:g} copies"))
