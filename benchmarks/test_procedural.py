"""Milliseconds for one procedural counterpart on one core, for each prompt, each with a new seed every time."""

import itertools
from functools import partial

import numpy as np
import pytest

from albu_diffusemix.backends import Request
from albu_diffusemix.backends.procedural import EFFECTS, Procedural
from benchmarks.lines import PROCEDURAL
from benchmarks.photographs import photographs
from benchmarks.side_by_side import Spread

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
    report = partial(measuring.report, "A procedural counterpart", column=f"{size} px", unit="ms")
    slowest = Spread.of(1e3 * np.max([*times.rounds.values()], axis=0))
    report("the slowest prompt", spread=slowest, line=PROCEDURAL if size == LINE_AT else None)
    for prompt in EFFECTS:
        report(prompt, spread=times.seconds(prompt, 1e3))
