"""Milliseconds for one counterpart of 256x256 on one core, for each prompt; the design's line is 30."""

import cv2
import numpy as np
import pytest
from skimage import data

from albu_diffusemix.backends import Request
from albu_diffusemix.backends.procedural import EFFECTS, Procedural


@pytest.fixture(autouse=True)
def one_core():
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(scope="module")
def table():
    rows = {}
    yield rows
    print("\n\nprocedural, 256x256, one core (ms)\n  prompt                  median     max")
    for prompt, (median, slowest) in sorted(rows.items(), key=lambda row: -row[1][0]):
        print(f"  {prompt:22s}  {median:6.1f}  {slowest:6.1f}")


@pytest.mark.parametrize("prompt", EFFECTS)
def test_one_counterpart(benchmark, prompt, table):
    image = cv2.resize(data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    seeds = iter(np.random.default_rng(0).integers(0, 1 << 31, 1000).tolist())

    def fresh_request():
        return ([Request(image, prompt, next(seeds), None, (0, 0, 256, 256))],), {}

    benchmark.pedantic(Procedural().generate, setup=fresh_request, rounds=40, warmup_rounds=3)
    if benchmark.stats is not None:  # pytest-benchmark measures nothing when it is disabled
        table[prompt] = (1000 * benchmark.stats.stats.median, 1000 * benchmark.stats.stats.max)
