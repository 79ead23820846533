"""What is wrong with a folder of graphs, an option or a request is said, with its name and what is allowed."""

import json
import re

import numpy as np
import onnx
import onnx_models
import pytest
from diffusion_tools import SIDE, THIRD_PARTY_WARNINGS, images_of, request
from onnx_models import onnx_backend

from albu_diffusemix.backends import create_backend
from albu_diffusemix.onnx_export import DATA_NAME

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return onnx_models.make(tmp_path_factory.mktemp("onnx"))


@pytest.fixture
def broken(folder, tmp_path):
    return onnx_models.copy_of(folder, tmp_path)


def backend_on(graphs, **options):
    return create_backend({"name": "onnx", "model": str(graphs), "size": SIDE, "num_inference_steps": 2, **options})


def reshape_input(path, name, dtype=None, shape=None):
    """Let a graph ask for an input as another exporter would have it, with a cast inside."""
    model = onnx.load(path)
    [value] = [one for one in model.graph.input if one.name == name]
    kind = value.type.tensor_type
    if dtype is not None:
        wanted, kind.elem_type = kind.elem_type, dtype
        for node in model.graph.node:
            node.input[:] = [f"{name}_cast" if one == name else one for one in node.input]
        model.graph.node.insert(0, onnx.helper.make_node("Cast", [name], [f"{name}_cast"], to=wanted))
    if shape is not None:
        del kind.shape.dim[:]
        kind.shape.dim.extend(onnx.TensorShapeProto.Dimension(dim_value=length) for length in shape)
    onnx.save(model, path)


@pytest.mark.parametrize("part", ["text_encoder", "unet", "vae_encoder", "vae_decoder"])
def test_a_graph_that_is_missing_empty_or_corrupt_is_named(broken, part):
    path = broken / part / "model.onnx"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"graph {re.escape(str(path))} cannot be loaded"):
        backend_on(broken).generate([request()])
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"graph {re.escape(str(path))} is empty"):
        backend_on(broken)
    path.unlink()
    with pytest.raises(ValueError, match=f"graph {re.escape(str(path))} is missing: .*export-onnx"):
        backend_on(broken)


def test_graphs_that_do_not_go_together_are_named(broken):
    (broken / "unet" / "model.onnx").write_bytes((broken / "vae_decoder" / "model.onnx").read_bytes())
    with pytest.raises(ValueError, match=r"unet/model\.onnx must have the inputs sample, .*; it has latent_sample"):
        backend_on(broken).generate([request()])


def test_a_network_of_another_model_is_named(broken):
    reshape_input(broken / "unet" / "model.onnx", "sample", shape=(1, 4, 8, 8))
    with pytest.raises(ValueError, match=r"unet/model\.onnx (cannot be loaded|takes 4 channels, not 8)"):
        backend_on(broken).generate([request()])


def test_a_scheduler_or_tokenizer_that_is_missing_or_broken_is_named(broken):
    (broken / "scheduler" / "scheduler_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"scheduler_config\.json is broken: not JSON"):
        backend_on(broken)
    (broken / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(ValueError, match=r"scheduler_config\.json is missing"):
        backend_on(broken)


def test_a_folder_without_tokenizer_is_refused(broken):
    (broken / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt"):
        backend_on(broken)


@pytest.mark.parametrize(("size", "said"), [(8, "such as 16; got 8"), (40, "such as 32 or 48; got 40")])
def test_a_size_between_strides_is_refused_with_those_next_to_it(folder, size, said):
    with pytest.raises(ValueError, match=f"multiple of 16 pixels for this model, {said}"):
        onnx_backend(folder, size=size)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"providers": "TpuProvider"}, "'TpuProvider' is not in this onnxruntime; it has .*CPUExecutionProvider"),
        ({"providers": [["CUDAExecutionProvider", {}]]}, "'CUDAExecutionProvider' is not in this onnxruntime"),
        ({"providers": [1]}, "providers must hold names"),
        ({"providers": []}, "providers must name at least one"),
        ({"preset": "slow"}, "preset must be one of 'paper'"),
        ({"guidance_scale": 1}, "guidance_scale must be above 1"),
        ({"image_guidance_scale": 0.5}, "image_guidance_scale must be at least 1"),
        ({"guidance_scale": "4"}, "guidance_scale must be a finite number"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"template": "nothing"}, "template must hold"),
        ({"scheduler": "PNDMScheduler"}, "scheduler must be one of DDIMScheduler"),
        ({"negative_prompt": 3}, "negative_prompt must be a string"),
        ({"local_files_only": "no"}, "local_files_only must be True or False"),
        ({"model": "nowhere"}, "neither a folder here nor a Hub id"),
        ({"model": __file__}, "is a file"),
        ({"steps": 3}, "has no option 'steps'; allowed: model,"),
    ],
)
def test_an_option_that_cannot_work_is_refused_at_construction(folder, options, said):
    with pytest.raises(ValueError, match=said):
        onnx_backend(folder, **options)


@pytest.mark.parametrize(
    ("session_options", "said"),
    [
        ({"threads": 2}, "session_options has no 'threads'; it has .*intra_op_num_threads"),
        ({"intra_op_num_threads": "two"}, "'intra_op_num_threads' cannot be 'two'"),
        ({"graph_optimization_level": "most"}, "must be one of .*ORT_ENABLE_ALL"),
    ],
)
def test_a_session_option_that_is_not_known_is_refused_with_those_that_are(folder, session_options, said):
    with pytest.raises(ValueError, match=said):
        onnx_backend(folder, session_options=session_options).generate([request()])


def test_session_options_reach_the_session(folder):
    wanted = {"intra_op_num_threads": 1, "graph_optimization_level": "ORT_DISABLE_ALL", "session.use_env_allocators": 0}
    backend = onnx_backend(folder, num_inference_steps=2, session_options=wanted)
    images_of(backend.generate([request()]))
    options = backend._editor()._unet._session.get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.get_session_config_entry("session.use_env_allocators") == "0"


def test_bad_requests_are_refused_and_none_at_all_is_fine(folder):
    backend = onnx_backend(folder)
    assert backend.generate([]) == []
    for wrong, said in (
        (request(np.zeros((4, 4), np.uint8), box=(0, 0, 4, 4)), "shape"),
        (request(box=(0, 0, 65, 64)), "box"),
        (request(prompt=" "), "prompt must name an effect"),
    ):
        with pytest.raises(ValueError, match=said):
            backend.generate([wrong])


def test_a_model_of_the_hub_that_is_not_here_says_how_to_make_one():
    backend = backend_on("nobody/nothing", local_files_only=True)
    with pytest.raises(ValueError, match=r"'nobody/nothing' is not in the Hub's cache .*export-onnx"):
        backend.generate([request()])


def test_graphs_of_other_exporters_give_the_same_picture(folder, broken):
    """Int32 tokens, int64 timesteps as a scalar, four channels from the encoder, no config.json beside the text."""
    options = {"scheduler": {"name": "DDIMScheduler", "clip_sample": False}}
    [expected] = images_of(onnx_backend(folder, num_inference_steps=2, **options).generate([request()]))
    reshape_input(broken / "text_encoder" / "model.onnx", "input_ids", dtype=onnx.TensorProto.INT32)
    reshape_input(broken / "unet" / "model.onnx", "timestep", dtype=onnx.TensorProto.INT64)
    halve_output(broken / "vae_encoder" / "model.onnx")
    (broken / "text_encoder" / "config.json").unlink()
    [made] = images_of(backend_on(broken, **options).generate([request()]))
    assert np.abs(made.astype(int) - expected).max() <= 1


def halve_output(path):
    """Let an encoder give the mode alone, as older exporters did."""
    model = onnx.load(path)
    [output] = model.graph.output
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.array([value]), name) for name, value in (("from", 0), ("to", 4), ("axis", 1))
    )
    model.graph.node.append(onnx.helper.make_node("Slice", [output.name, "from", "to", "axis"], ["mode"]))
    output.name = "mode"
    output.type.tensor_type.shape.dim[1].dim_value = 4
    onnx.save(model, path)


def test_weights_beside_a_graph_that_are_missing_are_named(broken):
    path = broken / "unet" / "model.onnx"
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, location=DATA_NAME, size_threshold=0)
    images_of(backend_on(broken).generate([request()]))
    (path.parent / DATA_NAME).unlink()
    with pytest.raises(ValueError, match=r"unet/model\.onnx cannot be loaded: .*model\.onnx\.data"):
        backend_on(broken).generate([request()])


def test_a_config_left_out_means_stable_diffusion(broken):
    (broken / "unet" / "config.json").unlink()
    with pytest.raises(ValueError, match="multiple of 64 pixels"):
        backend_on(broken, size=32)
    assert json.loads((broken / "vae_decoder" / "config.json").read_text())["scaling_factor"] == 0.18215
