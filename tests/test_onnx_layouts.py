"""Graphs that others exported: inputs of other types and shapes, an encoder that gives the mode, a plain tokenizer."""

import json

import numpy as np
import onnx
import onnx_models
import pytest
from diffusion_tools import THIRD_PARTY_WARNINGS, images_of, in_batches, request
from onnx import TensorProto, helper, numpy_helper
from onnx_models import graphs_backend

from albu_diffusemix.backends.onnx.sessions import Graph, device_of

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

CPU = ["CPUExecutionProvider"]
BATCH = "batch"  # what our exporters call it
INPUTS = {
    "text_encoder": ("input_ids",),
    "unet": ("sample", "timestep", "encoder_hidden_states"),
    "vae_encoder": ("sample",),
    "vae_decoder": ("latent_sample",),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return onnx_models.shared(tmp_path_factory)


@pytest.fixture
def graphs(folder, tmp_path):
    return onnx_models.copy_of(folder, tmp_path)


def drawn(graphs):
    """Two requests in one batch; DDIM asks at whole timesteps alone."""
    scheduler = {"name": "DDIMScheduler", "clip_sample": False}
    backend = in_batches(graphs_backend(graphs, num_inference_steps=3, scheduler=scheduler), 2)
    return np.stack(images_of(backend.generate([request(), request(prompt="autumn", seed=1)])))


@pytest.fixture(scope="module")
def expected(folder):
    return drawn(folder / "onnx")


def ask_for(path, name, dtype=TensorProto.FLOAT, shape=(1,)):
    """Let a graph ask for an input as another exporter would have it, and bring it into its own form inside."""
    model = onnx.load(path)
    graph = model.graph
    [value] = [one for one in graph.input if one.name == name]
    was = value.type.tensor_type.elem_type
    for node in graph.node:
        node.input[:] = [f"{name}_own" if one == name else one for one in node.input]
    inside = [helper.make_node("Cast", [name], [f"{name}_cast"], to=was)]
    if name == "timestep":
        graph.initializer.extend(
            numpy_helper.from_array(np.array([number]), f"number_{number}") for number in (-1, 0, 1)
        )
        inside.append(helper.make_node("Reshape", [f"{name}_cast", "number_-1"], [f"{name}_flat"]))
        inside.append(helper.make_node("Slice", [f"{name}_flat", "number_0", "number_1"], [f"{name}_own"]))
    else:
        inside.append(helper.make_node("Identity", [f"{name}_cast"], [f"{name}_own"]))
    for place, node in enumerate(inside):
        graph.node.insert(place, node)
    value.CopyFrom(helper.make_tensor_value_info(name, dtype, shape))
    onnx.save(model, path)


@pytest.mark.parametrize("dtype", [TensorProto.INT32, TensorProto.INT64])
def test_tokens_of_32_and_of_64_bits_give_the_same_bytes(graphs, expected, dtype):
    ask_for(graphs / "text_encoder" / "model.onnx", "input_ids", dtype, (BATCH, 77))
    np.testing.assert_array_equal(drawn(graphs), expected)


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        (TensorProto.FLOAT, ()),
        (TensorProto.FLOAT, (1,)),
        (TensorProto.FLOAT, (BATCH,)),
        (TensorProto.DOUBLE, ("steps",)),
        (TensorProto.INT64, ()),
        (TensorProto.INT64, (1,)),
        (TensorProto.INT64, ("steps",)),
        (TensorProto.INT32, (BATCH,)),
    ],
)
def test_timesteps_of_any_type_and_shape_give_the_same_bytes(graphs, expected, dtype, shape):
    ask_for(graphs / "unet" / "model.onnx", "timestep", dtype, shape)
    np.testing.assert_array_equal(drawn(graphs), expected)


def test_a_timestep_between_whole_ones_is_rounded_for_a_graph_that_takes_whole_ones(graphs):
    path = graphs / "unet" / "model.onnx"
    ask_for(path, "timestep", TensorProto.INT64, (BATCH,))
    placed = Graph(path, CPU, {}, INPUTS["unet"]).place_time(946.6, 3).numpy()
    assert placed.dtype == np.int64
    assert placed.tolist() == [947, 947, 947]


def test_an_encoder_that_gives_the_mode_alone_gives_the_same_bytes(graphs, expected):
    path = graphs / "vae_encoder" / "model.onnx"
    model = onnx.load(path)
    [output] = model.graph.output
    ends = {"from": 0, "to": 4, "axis": 1}
    model.graph.initializer.extend(numpy_helper.from_array(np.array([value]), name) for name, value in ends.items())
    model.graph.node.append(helper.make_node("Slice", [output.name, *ends], ["mode"]))
    output.name = "mode"
    output.type.tensor_type.shape.dim[1].dim_value = 4
    onnx.save(model, path)
    np.testing.assert_array_equal(drawn(graphs), expected)


def test_vocabulary_and_merges_in_the_place_of_tokenizer_json_give_the_same_bytes(graphs, expected):
    whole = graphs / "tokenizer" / "tokenizer.json"
    words = json.loads(whole.read_text())["model"]
    whole.unlink()
    (graphs / "tokenizer" / "vocab.json").write_text(json.dumps(words["vocab"]))
    (graphs / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    np.testing.assert_array_equal(drawn(graphs), expected)


def test_a_text_encoder_without_a_config_gives_the_same_bytes(graphs, expected):
    (graphs / "text_encoder" / "config.json").unlink()
    np.testing.assert_array_equal(drawn(graphs), expected)


def test_an_input_of_a_type_that_is_not_known_here_is_named(graphs):
    path = graphs / "unet" / "model.onnx"
    ask_for(path, "timestep", TensorProto.BFLOAT16)
    with pytest.raises(ValueError, match=r"unet/model\.onnx: input timestep is tensor\(bfloat16\); known here: "):
        drawn(graphs)


@pytest.mark.parametrize("part", INPUTS)
def test_a_run_on_bound_inputs_gives_the_bytes_of_a_plain_run(folder, part):
    graph = Graph(folder / "onnx" / part / "model.onnx", CPU, {}, INPUTS[part])
    rng = np.random.default_rng(0)
    values = {
        "input_ids": rng.integers(0, 500, (2, 77)),
        "timestep": np.array([17.5], np.float32),
        "encoder_hidden_states": rng.standard_normal((2, 77, 16), np.float32),
        "latent_sample": rng.standard_normal((2, 4, 8, 8), np.float32),
        "sample": rng.standard_normal((2, 8 if part == "unet" else 3, 16, 16), np.float32),
    }
    inputs = {name: values[name] for name in INPUTS[part]}
    bound = graph.run({name: graph.place(name, value) for name, value in inputs.items()})
    plain = graph._session.run(None, inputs)[0]
    assert bound.dtype == np.float32
    np.testing.assert_array_equal(bound, plain)


def test_inputs_go_to_the_card_of_their_provider():
    assert device_of("CPUExecutionProvider", {}) == ("cpu", 0)
    assert device_of("CUDAExecutionProvider", {"device_id": "1"}) == ("cuda", 1)
    assert device_of("CUDAExecutionProvider", {}) == ("cuda", 0)
    assert device_of("DmlExecutionProvider", {"device_id": "1"}) == ("cpu", 0)
