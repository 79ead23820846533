"""The job drives a diffusion model: tiny and random, saved and loaded by the real code."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tiny_models
from diffusion_tools import THIRD_PARTY_WARNINGS
from job_files import bytes_written, content, failures, make_data, wait_for
from safetensors.torch import load_file, save_file

from albu_diffusemix.cli import main
from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.shapes import sort_by_shape
from albu_diffusemix.store import Store

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

SOURCES, PER_IMAGE = 4, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusion")
    tiny_models.save_instruct_pix2pix(folder / "model")
    tiny_models.save_clip(folder / "clip")
    make_data(folder / "data", SOURCES)
    return folder


def command(folder, store, *more, **options):
    spec = {"name": "instruct_pix2pix", "model_id": str(folder / "model"), "size": 32, "batch_size": 2, **options}
    spec = {"preset": "fastest", "num_inference_steps": 2, **spec}
    fixed = ["--backend", json.dumps(spec), "--size", "32", "--per-image", str(PER_IMAGE)]
    return ["generate", str(folder / "data"), "-o", str(folder / store), *fixed, *more]


@pytest.fixture(scope="module")
def whole(folder):
    assert main(command(folder, "whole.dm")) == 0
    return content(folder / "whole.dm")


def test_one_command_makes_a_store_and_records_what_made_it(folder, whole):
    assert len(whole) == SOURCES * PER_IMAGE
    provenance = Store.open(folder / "whole.dm").provenance
    assert provenance["device"] == "cpu"
    assert {"torch", "diffusers", "transformers"} <= set(provenance)


def test_a_killed_run_goes_on_to_the_same_images(folder, whole):
    start = [sys.executable, "-c", "import sys; from albu_diffusemix.cli import main; sys.exit(main())"]
    same = command(folder, "killed.dm")
    process = subprocess.Popen([*start, *same], env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"})
    wait_for(lambda: bytes_written(folder / "killed.dm") > 0, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert main(same) == 0
    assert content(folder / "killed.dm") == whole


def test_another_batch_size_or_device_goes_on_with_the_store_and_other_steps_do_not(folder, whole, capsys):
    assert main(command(folder, "whole.dm", batch_size=3)) == 0
    assert main(command(folder, "whole.dm", device="cpu")) == 0
    assert content(folder / "whole.dm") == whole
    assert main(command(folder, "whole.dm", num_inference_steps=3)) == 2
    assert "was made with other parameters (" in capsys.readouterr().err


def test_a_store_made_as_instruct_pix2pix_goes_on_as_diffusers(folder, whole, capsys):
    assert main(command(folder, "whole.dm", name="diffusers")) == 0
    assert "0 to be made" in capsys.readouterr().out
    assert content(folder / "whole.dm") == whole
    assert Store.open(folder / "whole.dm").recipe.backend["name"] == "instruct_pix2pix"


def test_diffusers_makes_the_same_bytes_and_its_name_stands_in_the_recipe(folder, whole):
    assert main(command(folder, "other.dm", name="diffusers")) == 0
    assert content(folder / "other.dm") == whole
    assert Store.open(folder / "other.dm").recipe.backend["name"] == "diffusers"


def test_diffusers_without_a_model_ends_before_any_work_with_what_to_give(folder, capsys):
    assert main(["generate", str(folder / "data"), "-o", str(folder / "never.dm"), "--backend", "diffusers"]) == 2
    assert "backend 'diffusers' needs the option 'model_id'" in capsys.readouterr().err
    assert not (folder / "never.dm").exists()


def test_what_fails_when_the_model_is_loaded_ends_the_run_before_the_first_image_in_one_line(folder, capsys):
    assert main(command(folder, "never.dm", memory="offload")) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "memory 'offload' needs a GPU" in line] == said[-1:]
    assert not (folder / "never.dm").exists()


def test_the_images_own_shape_changes_what_is_made_and_not_its_size(folder, whole):
    assert main(command(folder, "aspect.dm", shape="aspect")) == 0
    made = content(folder / "aspect.dm")
    assert made.keys() == whole.keys()
    assert made != whole


def test_sources_are_sorted_by_shape_where_batches_need_it(tmp_path):
    sizes = {"a": (40, 80), "b": (80, 40), "c": (40, 80), "d": (80, 40), "e": (60, 60)}
    for name, size in sizes.items():
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((*size, 3), np.uint8))
    sources = [SourceFile(str(tmp_path / f"{name}.png"), name) for name in sizes]
    backend = SimpleNamespace(bucket=lambda height, width: (height // 32, width // 32), batch_size=4)
    assert [source.key for source in sort_by_shape(sources, backend)] == ["e", "a", "c", "b", "d"]
    for other in (SimpleNamespace(), SimpleNamespace(bucket=backend.bucket, batch_size=1)):
        assert sort_by_shape(sources, other) == sources


def test_the_similarity_filter_rejects_and_says_why(folder, whole):
    clip = ["--similarity-model", str(folder / "clip")]
    assert main(command(folder, "like.dm", "--similarity", "-1", "1", *clip)) == 0
    assert content(folder / "like.dm").keys() == whole.keys()
    assert main(command(folder, "unlike.dm", "--similarity", "-1", "-0.99", *clip)) == 1
    reasons = set(failures(folder / "unlike.dm").values())
    assert len(reasons) > 0
    assert all(reason.startswith("too similar to its source (similarity ") for reason in reasons)
    assert all(reason.endswith("3 attempts") for reason in reasons)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--similarity", "0.9", "0.5"], "low and high must satisfy -1 <= low < high <= 1; got 0.9 and 0.5"),
        (["--similarity-model", "clip"], "--similarity-model needs --similarity LOW HIGH beside it"),
    ],
)
def test_a_wrong_filter_is_refused_before_any_work(folder, capsys, options, message):
    assert main(command(folder, "never.dm", *options)) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "never.dm").exists()


@pytest.mark.parametrize("name", ["instruct_pix2pix", "diffusers"])
def test_the_estimate_is_measured_on_a_few_batches_and_writes_nothing(folder, capsys, name):
    assert main(command(folder, "never.dm", "--dry-run", name=name)) == 0
    assert f"{SOURCES * PER_IMAGE} to be made" in (out := capsys.readouterr().out)
    assert "Time: " in out
    assert "nothing was written" in out
    assert not (folder / "never.dm").exists()


def test_a_model_that_gives_nan_leaves_failures_and_the_run_goes_on(folder, tmp_path):
    model = tmp_path / "model"
    tiny_models.save_instruct_pix2pix(model)
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_out.bias"][:] = float("nan")
    save_file(tensors, weights)
    assert main(command(folder, "nan.dm", model_id=str(model))) == 1
    reasons = failures(folder / "nan.dm")
    assert len(reasons) == SOURCES * PER_IMAGE
    assert set(reasons.values()) == {"nonfinite, 3 attempts"}
