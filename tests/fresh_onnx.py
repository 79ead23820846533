"""What `albu-diffusemix[onnx]` alone can do: run by `make test-onnx`, in whose environment there is nothing else.

The model is made and exported here, where torch is; the commands run there, in the environment that ONNX_ENV names.
"""

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from diffusion_tools import THIRD_PARTY_WARNINGS, drawn_by, requests
from job_files import bytes_written, content, make_data, wait_for
from onnx_models import ONE_THREAD, onnx_backend, save_smallest, torch_backend

from albu_diffusemix.cli import main

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

BIN = Path(os.environ["ONNX_ENV"]).absolute() / "bin"
SOURCES, STEPS = 12, 20
ABSENT = ("torch", "diffusers", "transformers", "accelerate", "peft", "onnx", "onnxscript")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh")
    save_smallest(folder / "torch")
    assert main(["export-onnx", str(folder / "torch"), "-o", str(folder / "onnx")]) == 0
    make_data(folder / "data", SOURCES)
    return folder


def command(folder, store):
    spec = {"name": "onnx", "model": str(folder / "onnx"), "size": 64, "num_inference_steps": STEPS}
    spec["session_options"] = ONE_THREAD
    given = ["--backend", json.dumps(spec), "--size", "64"]
    return ["generate", str(folder / "data"), "-o", str(folder / store), *given]


def start(program, *arguments, **options):
    """Start a program of the other environment, which sees no module of this one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    environment = {**kept, "NO_ALBUMENTATIONS_UPDATE": "1"}
    return subprocess.Popen([BIN / program, *arguments], env=environment, text=True, **options)


def run(program, *arguments):
    process = start(program, *arguments, stdout=subprocess.PIPE)
    printed, _ = process.communicate()
    assert process.returncode == 0
    return printed


def made(folder, store):
    run("albu-diffusemix", *command(folder, store))
    return content(folder / store)


@pytest.fixture(scope="module")
def whole(folder):
    return made(folder, "whole.dm")


def test_nothing_of_torch_is_there():
    look = f"from importlib.util import find_spec; print([name for name in {ABSENT} if find_spec(name)])"
    assert run("python", "-c", look).strip() == "[]"


def test_the_same_command_makes_the_same_bytes_twice(folder, whole):
    assert len(whole) == SOURCES
    assert made(folder, "again.dm") == whole


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(folder, whole):
    process = start("albu-diffusemix", *command(folder, "killed.dm"))
    wait_for(lambda: bytes_written(folder / "killed.dm") > 0, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert made(folder, "killed.dm") == whole


def test_the_default_exporter_gives_graphs_that_draw_as_torch(folder):
    wanted = requests(2)
    made = drawn_by(onnx_backend(folder, num_inference_steps=3), wanted)
    expected = drawn_by(torch_backend(folder, num_inference_steps=3), wanted)
    assert np.abs(made - expected).max() <= 1e-5


def test_it_makes_the_bytes_that_it_makes_beside_torch(folder, whole):
    assert main(command(folder, "beside.dm")) == 0
    assert content(folder / "beside.dm") == whole
