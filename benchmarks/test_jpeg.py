"""A half decoded from the bytes it needs, against one whole decode of an ordinary JPEG by OpenCV, in one run.

Rounds alternate between the two, and the best round of each counts, so a busy machine disturbs both alike.
"""

from functools import partial
from timeit import Timer

import cv2
import numpy as np
import pytest
from skimage import data as photographs

from albu_diffusemix.functional import HALVES, half_box
from albu_diffusemix.jpeg import cut, decode, decode_box, encode

LINE = 0.7
ROUNDS, CALLS = 25, 20
PHOTOGRAPHS = {
    "astronaut": photographs.astronaut(),
    "coffee": photographs.coffee(),
    "chelsea": photographs.chelsea(),
}


def best_times(*functions):
    """Seconds a call of each, side by side."""
    timers = [Timer(function) for function in functions]
    return np.min([[timer.timeit(CALLS) / CALLS for timer in timers] for _ in range(ROUNDS)], axis=0)


@pytest.fixture(params=[256, 512])
def side(request):
    return request.param


@pytest.fixture(params=PHOTOGRAPHS)
def image(request, side):
    return cv2.resize(PHOTOGRAPHS[request.param], (side, side), interpolation=cv2.INTER_AREA)


@pytest.fixture
def ordinary(image):
    """The same picture at the same quality without restart markers."""
    options = {
        cv2.IMWRITE_JPEG_QUALITY: 90,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    }
    return cv2.imencode(".jpg", image[..., ::-1], [number for option in options.items() for number in option])[1]


def test_decode_a_half(benchmark, image, ordinary, side, request):
    data = encode(image)
    whole, entire, *times = best_times(
        lambda: cv2.imdecode(ordinary, cv2.IMREAD_COLOR),
        lambda: decode(data),
        *[partial(decode_box, data, half_box(side, side, half)) for half in HALVES],
    )
    ratios = [time / whole for time in times]
    mean = float(np.mean(ratios))
    print(f"\n{request.node.callspec.id}: whole by OpenCV {whole * 1e6:.0f} us, by decode {entire / whole:.2f} x")
    for half, ratio in zip(HALVES, ratios, strict=True):
        print(f"  {half:6} {ratio:.2f} x {'' if ratio <= LINE else f'(above {LINE})'}")
    print(f"  mean   {mean:.2f} x, line {LINE}: {'met' if mean <= LINE else 'MISSED'}")
    print(f"  size   {len(data) / ordinary.size:.4f} x")
    benchmark.extra_info.update(dict(zip(HALVES, ratios, strict=True)), mean=mean, line=LINE)
    benchmark(decode_box, data, half_box(side, side, "left"))


@pytest.mark.parametrize("half", ["left", "top"])
def test_cut_a_half(benchmark, image, side, half):
    benchmark(cut, encode(image), half_box(side, side, half))


def test_encode_against_opencv(benchmark, image, request):
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    ours, plain = best_times(lambda: encode(image), lambda: cv2.imencode(".jpg", pixels, options))
    print(f"\n{request.node.callspec.id}: encode {ours / plain:.2f} x of OpenCV's")
    benchmark.extra_info["ratio"] = float(ours / plain)
    benchmark(encode, image)
