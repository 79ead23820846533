"""The job with ONNX Runtime: against torch, killed and resumed, and where torch or POSIX locks are missing."""

import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import onnx_models
import pytest
from diffusion_tools import SIDE, THIRD_PARTY_WARNINGS
from job_files import bytes_written, content, make_data, wait_for

from albu_diffusemix._host import HOST
from albu_diffusemix.cli import main

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

SOURCES, PER_IMAGE = 4, 3
START = "import sys; from albu_diffusemix.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return onnx_models.shared(tmp_path_factory)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("onnx_job") / "data", SOURCES)


def command(data, store, model, *more, **options):
    spec = {"size": 32, "num_inference_steps": 10, **model, **options}
    fixed = ["--backend", json.dumps(spec), "--size", "32", "--per-image", str(PER_IMAGE)]
    return ["generate", str(data), "-o", str(store), *fixed, *more]


def by_onnx(folder):
    return {"name": "onnx", "model": str(folder / "onnx"), "session_options": onnx_models.ONE_THREAD}


def by_torch(folder):
    return {"name": "instruct_pix2pix", "model_id": str(folder / "torch"), "device": "cpu"}


def start(code, arguments):
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment)


@pytest.fixture(scope="module")
def whole(folder, data, tmp_path_factory):
    store = tmp_path_factory.mktemp("onnx_whole") / "whole.dm"
    assert main(command(data, store, by_onnx(folder))) == 0
    return content(store)


def test_stores_of_torch_and_of_onnx_differ_by_a_grey_level_at_most(folder, data, tmp_path):
    for name, model in (("torch.dm", by_torch(folder)), ("onnx.dm", by_onnx(folder))):
        lossless = command(data, tmp_path / name, model, "--encoding", "png", batch_size=2)
        assert main(lossless) == 0
    torchs, ours = content(tmp_path / "torch.dm"), content(tmp_path / "onnx.dm")
    assert ours.keys() == torchs.keys()
    assert len(ours) == SOURCES * PER_IMAGE
    for which, (*facts, image) in ours.items():
        *expected_facts, expected = torchs[which]
        assert facts == expected_facts
        one, other = (
            cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR).astype(int) for file in (image, expected)
        )
        assert np.abs(one - other).max() <= 1


def test_a_run_that_was_killed_goes_on_to_the_bytes_of_an_uninterrupted_one(folder, data, whole, tmp_path):
    same = command(data, tmp_path / "killed.dm", by_onnx(folder))
    process = start(START, same)
    wait_for(lambda: bytes_written(tmp_path / "killed.dm") > 0, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert main(same) == 0
    assert content(tmp_path / "killed.dm") == whole


def test_another_batch_size_or_thread_goes_on_with_the_store_and_other_steps_do_not(folder, data, tmp_path, capsys):
    store = tmp_path / "one.dm"
    assert main(command(data, store, by_onnx(folder), "--limit", "1")) == 0
    made = content(store)
    assert main(command(data, store, by_onnx(folder), "--limit", "1", batch_size=2, session_options={})) == 0
    assert made.items() <= content(store).items()
    assert len(content(store)) == 2 * PER_IMAGE
    assert main(command(data, store, by_onnx(folder), num_inference_steps=3)) == 2
    assert "was made with other parameters (" in capsys.readouterr().err


BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"{{name}} is not here", name=name)
for name in {blocked}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Blocked())
"""
TORCH = ("torch",) if HOST == "albumentations" else ()  # AlbumentationsX imports it itself
WITHOUT_TORCH = (
    BLOCK.format(blocked=(*TORCH, "diffusers", "transformers", "onnx", "accelerate"))
    + """
from albu_diffusemix.cli import main
status = main(sys.argv[1:])
assert "onnxruntime" in sys.modules
sys.exit(status)
"""
)


def test_the_job_needs_no_torch(folder, data, whole, tmp_path):
    process = start(WITHOUT_TORCH, command(data, tmp_path / "without.dm", by_onnx(folder)))
    assert process.wait() == 0
    assert content(tmp_path / "without.dm") == whole


WITHOUT_POSIX = (
    BLOCK.format(blocked=("fcntl", "resource", "pwd", "grp", "termios"))
    + f"""
import json
import numpy as np
import albumentations as A
from albu_diffusemix import DiffuseMix
image = np.random.default_rng(0).integers(0, 256, ({SIDE}, {SIDE}, 3), dtype=np.uint8)
pipeline = A.Compose([DiffuseMix(backend=json.loads(sys.argv[1]), p=1)], seed=0)
assert (pipeline(image=image)["image"] != image).any()
"""
)


def test_live_in_a_pipeline_it_needs_nothing_that_only_posix_has(folder):
    spec = {**by_onnx(folder), "size": 32, "num_inference_steps": 2}
    assert start(WITHOUT_POSIX, [json.dumps(spec)]).wait() == 0
