"""The benchmark of torch against ONNX Runtime, run with a tiny model."""

import re
import sys
from pathlib import Path

import onnx_models
import pytest
import torch
from diffusion_tools import THIRD_PARTY_WARNINGS

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import onnx_cpu

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return onnx_models.shared(tmp_path_factory)


def test_every_network_is_measured_and_the_unet_with_guidance_too(folder):
    assert onnx_cpu.export(folder / "torch", folder / "onnx") == {}  # they are there, and are checked
    threads = torch.get_num_threads()
    timings = onnx_cpu.measure(folder / "torch", folder / "onnx", 64, rounds=2, threads=threads)
    calls = [(one.part, one.batch) for one in timings]
    assert calls == [("text_encoder", 1), ("unet", 1), ("unet", 3), ("vae_encoder", 1), ("vae_decoder", 1)]
    assert all(one.torch > 0 and one.onnx > 0 and one.ratio > 0 for one in timings)


def test_an_image_is_a_prompt_an_encoding_the_steps_and_a_decoding():
    timings = [
        onnx_cpu.Timing("text_encoder", 1, 1, 2, 2),
        onnx_cpu.Timing("unet", 1, 1000, 1000, 1),
        onnx_cpu.Timing("unet", 3, 10, 20, 2),
        onnx_cpu.Timing("vae_encoder", 1, 3, 6, 2),
        onnx_cpu.Timing("vae_decoder", 1, 4, 8, 2),
    ]
    assert onnx_cpu.image_seconds(timings, 5) == (58, 116)
    text = onnx_cpu.table(timings, "a CPU")
    assert re.search(r"\| unet, batch of 3 \| 10 s \| 20 s \| 2.00 \|", text)
    assert re.search(r"\| an image with `fast` \| 208 s \| 416 s \| 2.00 \|", text)
