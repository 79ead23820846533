"""A half decoded from the bytes it needs, against one whole decode of an ordinary JPEG by OpenCV."""

from functools import partial

import cv2
import numpy as np
import pytest

from albu_diffusemix.functional import HALVES, half_box
from albu_diffusemix.jpeg import cut_around, decode, decode_box, encode
from benchmarks.lines import HALF_CUT, HALF_DECODED
from benchmarks.photographs import photographs
from benchmarks.side_by_side import Rotating, Spread

QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]
"""As the store's own, but without restart markers."""
WHOLE, HALF_TABLE = "a whole decode by OpenCV", "A half decoded, in whole decodes by OpenCV"

pytestmark = pytest.mark.by_scale("side", smoke=[64], usual=[256, 512], full=[256, 512, 1024])


def test_decode_a_half(measuring, side):
    images = photographs(side, side)
    files = [encode(image, sampling="4:2:0") for image in images]
    ordinary = [cv2.imencode(".jpg", image[..., ::-1], QUALITY)[1] for image in images]
    boxes = {half: [half_box(side, side, half)] * len(images) for half in HALVES}
    ours = {half: Rotating(decode_box, files, boxes[half]) for half in HALVES}
    cuts = {f"cutting the {half}, without decoding": Rotating(cut_around, files, boxes[half]) for half in HALVES}
    whole = {WHOLE: Rotating(lambda data: cv2.imdecode(data, cv2.IMREAD_COLOR), ordinary)}
    times = measuring.side_by_side({**whole, "the whole, with markers": Rotating(decode, files), **ours, **cuts})
    column = f"{side} px"
    mean = Spread.of(np.mean([times.rounds[half] for half in HALVES], axis=0) / times.rounds[WHOLE])
    measuring.report(HALF_TABLE, "mean of the four halves", column, mean, line=HALF_DECODED)
    cutting = Spread.of(np.mean([times.rounds[name] for name in cuts], axis=0) / times.rounds[WHOLE])
    measuring.report(HALF_TABLE, "cutting a half, without decoding", column, cutting, line=HALF_CUT)
    for name in (*HALVES, "the whole, with markers"):
        measuring.report(HALF_TABLE, name, column, times.ratio(name, WHOLE))
    sizes = [len(file) / plain.size for file, plain in zip(files, ordinary, strict=True)]
    measuring.report("What restart markers cost", "size of the file", column, Spread.of(sizes))


def test_encode_against_opencv(measuring, side):
    images = photographs(side, side)
    by_opencv = Rotating(
        lambda pixels: cv2.imencode(".jpg", pixels, QUALITY),
        [cv2.cvtColor(image, cv2.COLOR_RGB2BGR) for image in images],
    )
    times = measuring.side_by_side({"ours": Rotating(partial(encode, sampling="4:2:0"), images), "OpenCV's": by_opencv})
    measuring.report("What restart markers cost", "time to encode", f"{side} px", times.ratio("ours", "OpenCV's"))
