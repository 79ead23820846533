"""The GPU benchmark's own code, run on a CPU with a tiny model, so that it works on the day there is a GPU."""

import re
import sys
from pathlib import Path

import pytest
import tiny_models
from diffusion_tools import THIRD_PARTY_WARNINGS

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks import diffusion_gpu
from benchmarks.lines import GENERATION

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]


@pytest.fixture(scope="module")
def rates(tmp_path_factory):
    model = tiny_models.save_instruct_pix2pix(tmp_path_factory.mktemp("models") / "tiny")
    return diffusion_gpu.measure(model, 64, "cpu", batch_size=2, compiled=(False,), steps=2, seconds=0)


def test_the_loop_and_every_preset_with_a_line_are_measured(rates):
    assert [rate.way for rate in rates] == ["the loop", *GENERATION]
    assert all(rate.images_per_second > 0 and rate.nonfinite == 0 for rate in rates)


def test_the_work_of_an_image_is_counted_by_passes(rates):
    loop, paper, fast, fastest = (rate.tflop for rate in rates)
    assert loop == paper == fast
    autoencoder = 3 * fastest - 2 * paper  # what does not shrink with the passes
    assert 0 < autoencoder < fastest < paper


def test_the_table_compares_with_the_lines(rates):
    text = diffusion_gpu.table(rates, peak=1.0, title="a CPU")
    assert len(text.splitlines()) == 4 + len(rates)
    assert re.search(
        r"\| fastest \| no \| [\d.]+ \| 0.0 \| .*% \| [\d.]+ x \| at least 90 x, (met|missed by [\d.]+) \|", text
    )


def test_the_rate_of_matrix_products_is_counted():
    assert diffusion_gpu.bf16_rate("cpu", side=64, seconds=0) > 0
