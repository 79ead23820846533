"""Milliseconds for one procedural counterpart on one core, for each prompt, each with a new seed every time."""

import itertools

import numpy as np
import pytest

from albu_diffusemix.backends import Request
from albu_diffusemix.backends.procedural import EFFECTS, Procedural
from benchmarks.lines import PROCEDURAL
from benchmarks.photographs import photographs

LINE_AT = 256


@pytest.mark.by_scale("size", smoke=[32], usual=[256], full=[256, 512, 1024])
def test_each_prompt(measuring, size):
    images, backend = photographs(size, size), Procedural()
    seeds = itertools.cycle(np.random.default_rng(0).integers(0, 1 << 31, 1000).tolist())

    def drawing(prompt):
        def draw(turn):
            return backend.generate(
                [Request(images[turn % len(images)], prompt, next(seeds), None, (0, 0, size, size))]
            )

        return draw

    times = measuring.side_by_side({prompt: drawing(prompt) for prompt in EFFECTS}, calls=8)
    slowest_first = sorted(EFFECTS, key=lambda prompt: -times.seconds(prompt).value)
    for prompt in slowest_first:
        line = PROCEDURAL if size == LINE_AT and prompt == slowest_first[0] else None
        spread = times.seconds(prompt, 1e3)
        measuring.report("A procedural counterpart", prompt, f"{size} px", spread, unit="ms", line=line)
