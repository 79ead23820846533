"""The ONNX backend against the torch one and the stock pipeline, on a tiny model that the real code exports."""

import pickle
import subprocess
import sys

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
    images_of,
    request,
    requests,
    stock_pipeline,
    to_bytes,
)
from job_files import content
from onnx_models import drawn_by_onnx, drawn_by_torch, onnx_backend, torch_backend

from albu_diffusemix.backends import create_backend

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

SCHEDULERS = {
    "EulerAncestralDiscreteScheduler": {},
    "EulerDiscreteScheduler": {},
    "DPMSolverMultistepScheduler": {},
    "DDIMScheduler": {"clip_sample": False},  # clipped, a random model is chaos: torch differs from torch
}
ONE_STEP, MORE_STEPS = 1e-4, 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return onnx_models.make(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="module")
def quick(folder):
    return onnx_backend(folder, preset="fastest", num_inference_steps=3)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_each_sampler_draws_what_the_stock_pipeline_draws(folder, name):
    wanted = requests(3)
    stock = stock_pipeline(folder / "torch", getattr(diffusers, name), **SCHEDULERS[name])
    for steps in (1, 2, 10, 20, 50):
        scheduler = {"name": name, **SCHEDULERS[name]}
        backend = onnx_backend(folder, num_inference_steps=steps, scheduler=scheduler, batch_size=3)
        made = drawn_by_onnx(backend, wanted)
        expected = call_stock(stock, wanted, num_inference_steps=steps, guidance_scale=4.0, image_guidance_scale=1.5)
        assert np.abs(made - expected).max() <= (ONE_STEP if steps == 1 else MORE_STEPS)
        for one, other in zip(images_of(backend.generate(wanted)), to_bytes(expected), strict=True):
            assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.parametrize("preset", ["paper", "official", "fast", "fastest"])
def test_a_preset_means_the_same_on_both_backends(folder, preset):
    steps = {"num_inference_steps": 10} if preset in ("paper", "official") else {}
    wanted = [*requests(2), request(prompt=None, seed=11)]
    ours = onnx_backend(folder, preset=preset, negative_prompt="blurred", **steps).generate(wanted)
    torchs = torch_backend(folder, preset=preset, negative_prompt="blurred", **steps).generate(wanted)
    assert [made.prompt for made in ours] == [made.prompt for made in torchs]
    for one, other in zip(images_of(ours), images_of(torchs), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.parametrize(("size", "batch_size"), [(16, 1), (32, 4), (48, 2), (96, 3)])
def test_sizes_and_batches_agree_with_torch(folder, size, batch_size):
    options = {"size": size, "batch_size": batch_size, "num_inference_steps": 3}
    wanted = [request(PHOTOGRAPHS[1][:50, :37], seed=2**33 + 5), *requests(2)]
    made = drawn_by_onnx(onnx_backend(folder, **options), wanted)
    expected = drawn_by_torch(torch_backend(folder, **options), wanted, size)
    assert made.shape == (3, size, size, 3)
    assert np.abs(made - expected).max() <= MORE_STEPS


@pytest.mark.parametrize("batch_size", [1, 4])
def test_order_neighbours_and_chunks_change_no_byte(folder, batch_size):
    backend = onnx_backend(folder, num_inference_steps=3, batch_size=batch_size)
    wanted = requests(6)
    whole = [image.tobytes() for image in images_of(backend.generate(wanted))]
    backwards = [image.tobytes() for image in images_of(backend.generate(wanted[::-1]))][::-1]
    alone = [images_of(backend.generate([one]))[0].tobytes() for one in wanted]
    assert whole == backwards == alone
    assert len(set(whole)) == len(whole)


def test_the_network_sees_batches_of_one_size_alone(folder, monkeypatch):
    backend = onnx_backend(folder, num_inference_steps=1, batch_size=4)
    unet, rows = backend._editor()._unet, []
    run = unet.run
    monkeypatch.setattr(unet, "run", lambda inputs: rows.append(inputs["sample"].shape()[0]) or run(inputs))
    backend.generate(requests(6))
    assert rows == [12, 12]


def test_a_pickled_backend_is_light_and_draws_the_same_bytes(quick):
    before = images_of(quick.generate(requests(2)))
    pickled = pickle.dumps(quick)
    clone = pickle.loads(pickled)  # noqa: S301  our own bytes
    assert len(pickled) < 5000
    assert clone._loaded is None
    assert clone.fingerprint == quick.fingerprint
    assert [one.tobytes() for one in images_of(clone.generate(requests(2)))] == [one.tobytes() for one in before]


def test_a_counterpart_has_the_box_of_its_source(quick):
    image = cv2.resize(PHOTOGRAPHS[0], (90, 41))
    whole, part = images_of(quick.generate([request(image), request(image, box=(0, 3, 45, 41))]))
    assert whole.shape == image.shape
    assert part.flags.c_contiguous
    np.testing.assert_array_equal(part, whole[3:41, :45])


def test_a_model_that_gives_nan_or_one_colour_has_no_counterpart(quick, monkeypatch):
    loaded = quick._editor()
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
    assert quick.batch_size == 1


WITHOUT_TORCH = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "diffusers", "transformers", "onnx", "accelerate"):
            raise ModuleNotFoundError(f"{name} is not here", name=name)
sys.meta_path.insert(0, Blocked())
from albu_diffusemix.cli import main
status = main(sys.argv[1:])
assert "onnxruntime" in sys.modules
sys.exit(status)
"""


def test_the_job_runs_where_torch_is_not_installed_and_resumes_to_the_same_bytes(folder, tmp_path):
    (tmp_path / "data").mkdir()
    for number, photograph in enumerate(PHOTOGRAPHS):
        cv2.imwrite(str(tmp_path / "data" / f"{number}.png"), photograph)
    spec = f'{{"name": "onnx", "model": "{folder / "onnx"}", "size": 32, "num_inference_steps": 2}}'

    def generate(store, *more):
        command = ["generate", str(tmp_path / "data"), "-o", str(tmp_path / store), "--backend", spec, "--size", "32"]
        subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *command, *more], check=True, capture_output=True)
        return content(tmp_path / store)

    whole = generate("whole.dm")
    assert len(generate("parts.dm", "--limit", "1")) == 1
    assert generate("parts.dm") == whole
    assert len(whole) == len(PHOTOGRAPHS)
