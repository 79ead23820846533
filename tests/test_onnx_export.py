"""The command that makes the graphs: both exporters, both widths, and what it refuses."""

import json

import numpy as np
import onnx
import onnx_models
import pytest
import tiny_models
from diffusion_tools import THIRD_PARTY_WARNINGS, drawn_by, images_of, requests
from onnx_models import graphs_backend, torch_backend

from albu_diffusemix.backends.onnx import export as onnx_export
from albu_diffusemix.cli import main

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

PARTS = ("text_encoder", "unet", "vae_encoder", "vae_decoder")
FILES = {
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    *(f"{part}/{name}" for part in PARTS for name in ("model.onnx", "config.json")),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    tiny_models.save_instruct_pix2pix(folder / "torch")
    onnx_models.save_smallest(folder / "smallest" / "torch")
    return folder


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def share_of_halves(model):
    """How much of the weights is in 16 bits; what the timestep is multiplied by stays in 32."""
    sizes = [(np.prod(one.dims), one.data_type) for one in model.graph.initializer]
    return sum(size for size, kind in sizes if kind == onnx.TensorProto.FLOAT16) / sum(size for size, _ in sizes)


def export(folder, output, *more):
    return main(["export-onnx", str(folder / "torch"), "-o", str(output), *more])


def test_an_export_has_the_known_layout_and_draws_as_torch(folder, tmp_path, capsys):
    assert export(folder, tmp_path / "onnx", "--exporter", "torchscript") == 0
    printed = capsys.readouterr().out
    assert all(f"{part:<13} differs from torch by" in printed for part in PARTS)
    assert files_of(tmp_path / "onnx") == FILES
    index = json.loads((tmp_path / "onnx" / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "OnnxRuntimeModel"]
    wanted = requests(2)
    made = drawn_by(graphs_backend(tmp_path / "onnx", num_inference_steps=3), wanted)
    assert np.abs(made - drawn_by(torch_backend(folder, num_inference_steps=3), wanted)).max() <= 1e-5


# In 32 bits the default exporter is run by `make test-onnx`.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "more", "opset"),
    [("smallest", (), 18), (".", ("--exporter", "torchscript", "--opset", "17"), 17)],
)
def test_half_width_weights_run_and_differ_by_rounding(folder, tmp_path, model, more, opset):
    assert export(folder / model, tmp_path / "onnx", "--fp16", *more) == 0
    assert files_of(tmp_path / "onnx") == FILES
    graph = onnx.load(tmp_path / "onnx" / "unet" / "model.onnx")
    assert graph.opset_import[0].version == opset
    assert share_of_halves(graph) > 0.99
    wanted = requests(2)
    backend = graphs_backend(tmp_path / "onnx", num_inference_steps=3)
    images_of(backend.generate(wanted))
    expected = drawn_by(torch_backend(folder / model, num_inference_steps=3), wanted)
    difference = np.abs(drawn_by(backend, wanted) - expected).max()
    assert 1e-6 < difference < 0.03


def test_weights_that_one_file_cannot_hold_lie_beside_the_graph(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "_LARGEST_FILE", 20_000)
    assert export(folder, tmp_path / "onnx", "--exporter", "torchscript") == 0
    graph, weights = (tmp_path / "onnx" / "unet" / name for name in (onnx_export.GRAPH_NAME, onnx_export.DATA_NAME))
    assert weights.stat().st_size > 20_000
    assert weights.stat().st_mode == graph.stat().st_mode
    images_of(graphs_backend(tmp_path / "onnx", num_inference_steps=3).generate(requests(1)))


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
