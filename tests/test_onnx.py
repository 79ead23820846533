"""The ONNX backend against the torch one and the stock pipeline, on a tiny model that the real code exports."""

import pickle

import cv2
import diffusers
import numpy as np
import onnx_models
import pytest
from diffusion_tools import (
    PHOTOGRAPHS,
    SIDE,
    THIRD_PARTY_WARNINGS,
    call_stock,
    drawn_by,
    images_of,
    in_batches,
    request,
    requests,
    stock_pipeline,
    to_bytes,
)
from onnx_models import loaded_unet, onnx_backend, torch_backend

from albu_diffusemix.backends import create_backend
from albu_diffusemix.backends.onnx import sessions
from albu_diffusemix.backends.pixels import to_counterpart

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

# DDIM is compared without the clipping that it has by default: what random weights draw exceeds the bounds, and a pixel
# that a rounding takes over one is another picture 50 steps later, between torch and torch too.
SCHEDULERS = {
    "EulerAncestralDiscreteScheduler": {},
    "EulerDiscreteScheduler": {},
    "DPMSolverMultistepScheduler": {},
    "DDIMScheduler": {"clip_sample": False},
}
BOUND = 1e-5
# Euler's one step asks at timestep 0 and leaves latents near 0, whose roundings the decoder's norms magnify: the stock
# pipeline itself is then as far from its own result in double precision as from ours.
ONE_STEP = 5e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return onnx_models.shared(tmp_path_factory)


@pytest.fixture(scope="module")
def quick(folder):
    return onnx_backend(folder, preset="fastest", num_inference_steps=3)


@pytest.fixture(scope="module")
def stocks(folder):
    """The stock pipeline with each sampler."""
    return {
        name: stock_pipeline(folder / "torch", getattr(diffusers, name), **options)
        for name, options in SCHEDULERS.items()
    }


def assert_draws_as_stock(folder, stocks, name, wanted, steps, size=SIDE, batch_size=None):
    scheduler = {"name": name, **SCHEDULERS[name]}
    backend = onnx_backend(folder, num_inference_steps=steps, scheduler=scheduler, size=size)
    in_batches(backend, batch_size or len(wanted))
    made = drawn_by(backend, wanted)
    expected = call_stock(stocks[name], wanted, num_inference_steps=steps, guidance_scale=4.0, image_guidance_scale=1.5)
    assert made.shape == (len(wanted), size, size, 3)
    assert np.abs(made - expected).max() <= (ONE_STEP if steps == 1 else BOUND)
    for one, drawn, other in zip(wanted, made, to_bytes(expected), strict=True):
        assert np.abs(to_counterpart(one, one.prompt, drawn).image.astype(int) - other).max() <= 1


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 10, 20, 50])
def test_each_sampler_draws_what_the_stock_pipeline_draws(folder, stocks, name, steps):
    assert_draws_as_stock(folder, stocks, name, requests(3), steps)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize(("size", "count", "batch_size"), [(16, 1, 1), (32, 5, 4), (96, 2, 2)])
def test_each_sampler_draws_so_at_other_sizes_and_in_other_batches(folder, stocks, name, size, count, batch_size):
    wanted = [request(cv2.resize(one.image, (size, size)), one.prompt, one.seed + 2**33) for one in requests(count)]
    for steps in (1, 2, 10):
        assert_draws_as_stock(folder, stocks, name, wanted, steps, size, batch_size)


@pytest.mark.parametrize("preset", ["paper", "official", "fast", "fastest"])
def test_a_preset_means_the_same_on_both_backends(folder, preset):
    steps = {"num_inference_steps": 10} if preset in ("paper", "official") else {}
    wanted = [*requests(2), request(prompt=None, seed=11)]
    ours = onnx_backend(folder, preset=preset, negative_prompt="blurred", **steps).generate(wanted)
    torchs = torch_backend(folder, preset=preset, negative_prompt="blurred", **steps).generate(wanted)
    assert [made.prompt for made in ours] == [made.prompt for made in torchs]
    for one, other in zip(images_of(ours), images_of(torchs), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_an_image_of_any_size_is_sized_as_for_torch(folder):
    options = {"size": 48, "num_inference_steps": 2}
    wanted = [request(PHOTOGRAPHS[1][:50, :37]), request(PHOTOGRAPHS[0][:1, :1]), request(PHOTOGRAPHS[2][:20])]
    ours = images_of(onnx_backend(folder, **options).generate(wanted))
    torchs = images_of(torch_backend(folder, **options).generate(wanted))
    for one, other in zip(ours, torchs, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_the_network_sees_batches_of_one_size_alone(folder, monkeypatch):
    backend = in_batches(onnx_backend(folder, num_inference_steps=1), 4)
    unet, rows = loaded_unet(backend), []
    run = unet.run
    monkeypatch.setattr(unet, "run", lambda inputs: rows.append(inputs["sample"].shape()[0]) or run(inputs))
    backend.generate(requests(6))
    assert rows == [12, 12]


def test_a_pickled_backend_is_light_and_draws_the_same_bytes(quick):
    before = images_of(quick.generate(requests(2)))
    pickled = pickle.dumps(quick)
    clone = pickle.loads(pickled)  # noqa: S301  our own bytes
    assert len(pickled) < 5000
    assert clone.fingerprint == quick.fingerprint
    assert [one.tobytes() for one in images_of(clone.generate(requests(2)))] == [one.tobytes() for one in before]


def test_a_counterpart_has_the_box_of_its_source(quick):
    image = cv2.resize(PHOTOGRAPHS[0], (90, 41))
    whole, part = images_of(quick.generate([request(image), request(image, box=(0, 3, 45, 41))]))
    assert whole.shape == image.shape
    assert part.flags.c_contiguous
    np.testing.assert_array_equal(part, whole[3:41, :45])


def test_a_model_that_gives_nan_or_one_colour_has_no_counterpart(quick, monkeypatch):
    loaded = quick._model()._editor
    for value, status in ((np.nan, "nonfinite"), (0.0, "blank")):
        monkeypatch.setattr(
            loaded, "_decode", lambda latents, v=value: [np.full((64, 64, 3), v, np.float32)] * len(latents)
        )
        [made] = quick.generate([request()])
        assert (made.image, made.status) == (None, status)


def test_what_changes_pixels_changes_the_fingerprint_and_nothing_else_does(folder, tmp_path):
    base = onnx_backend(folder).fingerprint
    moved = onnx_models.copy_of(folder, tmp_path)
    same = {"batch_size": 7, "providers": ["CPUExecutionProvider"], "session_options": {"intra_op_num_threads": 1}}
    assert create_backend({"name": "onnx", "model": str(moved), "size": SIDE, **same}).fingerprint == base
    for option in ({"size": 32}, {"preset": "fast"}, {"negative_prompt": "x"}, {"guidance_scale": 5.0}):
        assert onnx_backend(folder, **option).fingerprint != base
    with (moved / "unet" / "model.onnx").open("r+b") as file:
        file.seek(-9, 2)
        file.write(b"x")
    assert create_backend({"name": "onnx", "model": str(moved), "size": SIDE}).fingerprint != base


def test_it_says_what_its_bits_depend_on(quick):
    facts = quick.provenance()
    assert facts["device"] == "CPUExecutionProvider"
    assert {"onnxruntime", "tokenizers", "numpy"} <= set(facts)


def test_the_batch_size_is_one_on_a_cpu_whatever_is_given(folder, monkeypatch):
    backend = onnx_backend(folder, num_inference_steps=1, batch_size=4)
    assert backend.batch_size == 1
    unet, rows = loaded_unet(backend), []
    run = unet.run
    monkeypatch.setattr(unet, "run", lambda inputs: rows.append(inputs["sample"].shape()[0]) or run(inputs))
    backend.generate(requests(2))
    assert rows == [3, 3]


def test_the_batch_size_is_sixteen_on_a_gpu_unless_given(folder, monkeypatch):
    monkeypatch.setattr(sessions, "choose_providers", lambda _wanted: ["CUDAExecutionProvider"])
    assert onnx_backend(folder).batch_size == 16
    assert onnx_backend(folder, batch_size=24).batch_size == 24
