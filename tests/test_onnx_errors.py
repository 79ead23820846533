"""What is wrong with a folder of graphs, an option or a request is said, with its name and what is allowed."""

import inspect
import json
import re
import subprocess
import sys

import numpy as np
import onnx
import onnx_models
import pytest
from diffusion_tools import SIDE, THIRD_PARTY_WARNINGS, images_of, request
from onnx_models import graphs_backend, loaded_unet, onnx_backend

from albu_diffusemix.backends.onnx import Onnx
from albu_diffusemix.backends.onnx.export import DATA_NAME

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return onnx_models.shared(tmp_path_factory)


@pytest.fixture
def broken(folder, tmp_path):
    return onnx_models.copy_of(folder, tmp_path)


def backend_on(graphs, **options):
    return graphs_backend(graphs, **{"num_inference_steps": 2, **options})


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
    path = broken / "unet" / "model.onnx"
    model = onnx.load(path)
    model.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("sample", onnx.TensorProto.FLOAT, (1, 4, 8, 8)))
    onnx.save(model, path)
    with pytest.raises(ValueError, match=r"unet/model\.onnx (cannot be loaded|takes 4 channels, not 8)"):
        backend_on(broken).generate([request()])


def test_a_scheduler_or_tokenizer_that_is_missing_or_broken_is_named(broken):
    (broken / "scheduler" / "scheduler_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"scheduler_config\.json is broken: not valid JSON"):
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
        ({"providers": [["CPUExecutionProvider", 1]]}, "providers must hold names, or pairs of a name and its options"),
        ({"providers": []}, "providers must name at least one"),
        ({"providers": 5}, "providers must be 'auto', a name, or a list of names or of pairs"),
        ({"providers": {"CPUExecutionProvider": {}}}, "providers must be 'auto', a name, or a list"),
        ({"session_options": [1]}, "session_options must be a mapping of plain data"),
        ({"session_options": {"threads": 1}}, "session_options has no 'threads'; it has .*intra_op_num_threads"),
        ({"session_options": {"intra_op_num_threads": "x"}}, "'intra_op_num_threads' cannot be 'x'"),
        ({"session_options": {"graph_optimization_level": "most"}}, "must be one of .*ORT_ENABLE_ALL.*; got 'most'"),
        (
            {"session_options": {"execution_mode": ["x"]}},
            "'execution_mode' must be one of ORT_SEQUENTIAL, ORT_PARALLEL; got",
        ),
        ({"session_options": {"session.x": [1]}}, r"'session.x' must be a string or a number; got \[1\]"),
        ({"size": None}, "size must be a whole number of at least 1; got None"),
        ({"num_inference_steps": 1.5}, "num_inference_steps must be a whole number"),
        ({"num_inference_steps": 1001}, "num_inference_steps must be at most 1000, the steps of training"),
        ({"revision": 3}, "revision must be a string; got 3"),
        (
            {"scheduler": 5},
            "scheduler must be one of DDIMScheduler, .*, or a mapping with its 'name' .*; got 5",
        ),
        ({"scheduler": {"name": ["x"]}}, "scheduler must be one of DDIMScheduler"),
        ({"scheduler": {}}, "scheduler must be one of DDIMScheduler"),
        ({"preset": "slow"}, "preset must be one of 'paper'"),
        ({"guidance_scale": 1}, "guidance_scale must be above 1"),
        ({"image_guidance_scale": 0.5}, "image_guidance_scale must be at least 1"),
        ({"guidance_scale": "4"}, "guidance_scale must be a finite number"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"template": "nothing"}, "template must be a string with {prompt} in it"),
        ({"scheduler": "PNDMScheduler"}, "scheduler must be one of DDIMScheduler"),
        ({"negative_prompt": 3}, "negative_prompt must be a string"),
        ({"local_files_only": "no"}, "local_files_only must be True or False"),
        (
            {"model": "nowhere"},
            "model must be an existing folder that .*export-onnx' made, .*got 'nowhere'",
        ),
        ({"model": __file__}, "model must be an existing folder .*test_onnx_errors"),
        ({"steps": 3}, "has no option 'steps'; allowed: model,"),
    ],
)
def test_an_option_that_cannot_work_is_refused_at_construction(folder, options, said):
    with pytest.raises(ValueError, match=said):
        onnx_backend(folder, **options)


@pytest.mark.parametrize("value", [object(), b"x", np.float32(3), {"name": "DDIMScheduler", "clip_sample": object()}])
@pytest.mark.parametrize("name", list(inspect.signature(Onnx).parameters))
def test_a_value_that_no_spec_can_hold_is_refused_by_the_name_of_its_option(folder, name, value):
    options = {"model": str(folder / "onnx"), "size": SIDE, name: value}
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        Onnx(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beta_start": "x"}, "beta_start of EulerDiscreteScheduler must be a number between 0 and 1; got 'x'"),
        ({"beta_end": float("nan")}, "beta_end .* must be a number between 0 and 1; got nan"),
        ({"num_train_timesteps": 0}, "num_train_timesteps .* must be a whole number of at least 1; got 0"),
        ({"steps_offset": -1}, "steps_offset .* must be a whole number of at least 0; got -1"),
        ({"steps_offset": 1000}, "steps_offset must be under num_train_timesteps, 1000; got 1000"),
        ({"trained_betas": "x"}, "trained_betas .* must be None or a list of numbers between 0 and 1; got 'x'"),
        ({"trained_betas": [0.1]}, "trained_betas must hold num_train_timesteps, 1000, numbers; got 1"),
        ({"use_karras_sigmas": "yes"}, "use_karras_sigmas .* must be True or False; got 'yes'"),
        (
            {"name": "DDIMScheduler", "clip_sample_range": None},
            "clip_sample_range .* must be a number above 0; got None",
        ),
    ],
)
def test_an_option_of_a_sampler_that_cannot_work_is_refused(folder, options, said):
    with pytest.raises(ValueError, match=said):
        onnx_backend(folder, scheduler={"name": "EulerDiscreteScheduler", **options})


@pytest.mark.parametrize(
    ("file", "fields", "said"),
    [
        ("scheduler/scheduler_config.json", {"beta_start": "x"}, "scheduler_config.json: beta_start of EulerAnc.*'x'"),
        ("scheduler/scheduler_config.json", {"_class_name": "Mine"}, "scheduler must be one of DDIM.*; got 'Mine'"),
        (
            "unet/config.json",
            {"block_out_channels": 4},
            r"unet/config.json: block_out_channels must be a list .* got 4",
        ),
        ("vae_decoder/config.json", {"scaling_factor": "x"}, r"scaling_factor must be a number above 0; got 'x'"),
        ("vae_decoder/config.json", {"scaling_factor": 0}, r"scaling_factor must be a number above 0; got 0"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": "x"}, "model_max_length must be a number above 0"),
        (
            "tokenizer/tokenizer_config.json",
            {"pad_token": "nowhere"},
            "has no token 'nowhere', with which short",
        ),
    ],
)
def test_a_setting_in_a_file_of_the_folder_that_cannot_work_is_refused(broken, file, fields, said):
    path = broken / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    with pytest.raises(ValueError, match=said):
        backend_on(broken).generate([request()])


OTHER_OPTIONS = {
    "revision": "v1",
    "size": 512,
    "preset": "official",
    "num_inference_steps": 30,
    "guidance_scale": 5,
    "image_guidance_scale": 1.25,
    "negative_prompt": "blurred",
    "scheduler": {"name": "DDIMScheduler", "clip_sample": False},
    "template": "{prompt}!",
}


@pytest.mark.parametrize(
    ("options", "fingerprint"), [({}, "onnx-1-bd79dd5afba94635"), (OTHER_OPTIONS, "onnx-1-530f58562872f7dd")]
)
def test_the_fingerprint_is_that_of_stores_made_before(options, fingerprint):
    assert Onnx("someone/exported", **options).fingerprint == fingerprint


def test_neither_the_backend_nor_a_check_of_its_folder_imports_diffusers(folder):
    program = (
        "import sys; from albu_diffusemix.backends import create_backend\n"
        f"create_backend({{'name': 'onnx', 'model': {str(folder / 'onnx')!r}, 'size': {SIDE}}}).batch_size\n"
        "sys.exit(bool({'diffusers', 'transformers', 'onnx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_session_options_reach_the_session(folder):
    wanted = {"intra_op_num_threads": 1, "graph_optimization_level": "ORT_DISABLE_ALL", "session.use_env_allocators": 0}
    backend = onnx_backend(folder, num_inference_steps=2, session_options=wanted)
    images_of(backend.generate([request()]))
    options = loaded_unet(backend)._session.get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.get_session_config_entry("session.use_env_allocators") == "0"


def test_bad_requests_are_refused_and_an_empty_list_is_fine(folder):
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
