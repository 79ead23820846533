"""The command that makes the graphs: both exporters, both widths, and what it refuses."""

import json

import numpy as np
import onnx
import pytest
import tiny_models
from diffusion_tools import SIDE, THIRD_PARTY_WARNINGS, images_of, requests
from onnx_models import drawn_by_onnx, drawn_by_torch, torch_backend

from albu_diffusemix import onnx_export
from albu_diffusemix.backends import create_backend
from albu_diffusemix.cli import main

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

PARTS = ("text_encoder", "unet", "vae_encoder", "vae_decoder")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    tiny_models.save_instruct_pix2pix(folder / "torch")
    return folder


def export(folder, output, *more):
    return main(["export-onnx", str(folder / "torch"), "-o", str(output), *more])


def backend_on(graphs, **options):
    return create_backend({"name": "onnx", "model": str(graphs), "size": SIDE, "num_inference_steps": 3, **options})


def test_the_default_exporter_makes_a_folder_with_the_known_layout_that_draws_as_torch(folder, tmp_path, capsys):
    assert export(folder, tmp_path / "onnx") == 0
    printed = capsys.readouterr().out
    assert all(f"{part:<13} differs from torch by" in printed for part in PARTS)
    files = {
        path.relative_to(tmp_path / "onnx").as_posix() for path in (tmp_path / "onnx").rglob("*") if path.is_file()
    }
    expected = {f"{part}/{name}" for part in PARTS for name in ("model.onnx", "config.json")}
    tokenizer = {"tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"}
    assert files == {"model_index.json", "scheduler/scheduler_config.json", *tokenizer, *expected}
    index = json.loads((tmp_path / "onnx" / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "OnnxRuntimeModel"]
    wanted = requests(2)
    made = drawn_by_onnx(backend_on(tmp_path / "onnx"), wanted)
    assert np.abs(made - drawn_by_torch(torch_backend(folder, num_inference_steps=3), wanted)).max() <= 1e-5


def test_half_width_weights_run_and_differ_by_rounding(folder, tmp_path):
    assert export(folder, tmp_path / "onnx", "--fp16", "--exporter", "torchscript", "--opset", "17") == 0
    graph = onnx.load(tmp_path / "onnx" / "unet" / "model.onnx")
    assert graph.opset_import[0].version == 17
    assert {one.data_type for one in graph.graph.initializer if one.dims} >= {onnx.TensorProto.FLOAT16}
    wanted = requests(2)
    backend = backend_on(tmp_path / "onnx")
    images_of(backend.generate(wanted))
    expected = drawn_by_torch(torch_backend(folder, num_inference_steps=3), wanted)
    difference = np.abs(drawn_by_onnx(backend, wanted) - expected).max()
    assert 1e-6 < difference < 0.03


def test_weights_that_one_file_cannot_hold_lie_beside_the_graph(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "_LARGEST_FILE", 20_000)
    assert export(folder, tmp_path / "onnx", "--exporter", "torchscript") == 0
    assert (tmp_path / "onnx" / "unet" / onnx_export.DATA_NAME).stat().st_size > 20_000
    images_of(backend_on(tmp_path / "onnx").generate(requests(1)))


def test_a_graph_that_differs_more_than_is_allowed_fails_and_leaves_no_folder(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(onnx_export.BOUNDS, "float32", 1e-9)
    assert export(folder, tmp_path / "onnx", "--exporter", "torchscript") == 2
    assert "graph text_encoder differs from its network by" in capsys.readouterr().err
    assert not (tmp_path / "onnx").exists()


def test_what_cannot_be_exported_is_refused_in_one_line(folder, tmp_path, capsys):
    tiny_models.save_img2img(tmp_path / "other")
    assert main(["export-onnx", str(tmp_path / "other"), "-o", str(tmp_path / "onnx")]) == 2
    assert "is a StableDiffusionImg2ImgPipeline: only StableDiffusionInstructPix2PixPipeline" in capsys.readouterr().err
    assert export(folder, tmp_path) == 2
    assert "exists: name a folder that is to be made" in capsys.readouterr().err
    assert export(folder, tmp_path / "onnx", "--exporter", "torchscript", "--opset", "99") == 2
    assert "torchscript cannot export text_encoder at opset 99" in capsys.readouterr().err
