"""What is refused, and with which words; broken checkpoints; the fingerprint. Nothing here draws an image."""

import inspect
import json
import shutil

import diffusers
import huggingface_hub
import numpy as np
import pytest
import tiny_models
import torch
from diffusion_tools import THIRD_PARTY_WARNINGS, backend_of, request
from huggingface_hub.errors import GatedRepoError

from albu_diffusemix.backends import BackendUnavailableError, create_backend, option_rules
from albu_diffusemix.backends.diffusers import Diffusers, hub

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.save_instruct_pix2pix(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copy")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A Hub without a network and with nothing in its cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.mark.usefixtures("empty_cache")
def test_a_hub_that_does_not_answer_once_is_not_asked_for_a_file_again_and_again(monkeypatch):
    asked = []

    def unreachable(name):
        asked.append(name)
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **_options: unreachable("model"))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **_options: unreachable("file"))
    create_backend({"name": "diffusers", "model_id": "someone/editor"})
    assert asked == ["model"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "best"}, r"preset must be one of 'paper', 'official', 'fast', 'fastest', 'lcm', .*; got 'best'"),
        ({"dtype": "int8"}, r"dtype must be one of 'auto', 'float32', .*got 'int8'"),
        ({"device": "tpu"}, r"device must be 'auto', 'cuda', .*got 'tpu'"),
        ({"size": 250}, r"size must be a multiple of 8 pixels.*got 250"),
        ({"size": "256"}, r"size must be a multiple of 8 pixels.*got '256'"),
        ({"batch_size": 0}, r"batch_size must be a whole number of at least 1; got 0"),
        ({"num_inference_steps": 2.5}, r"num_inference_steps must be a whole number of at least 1; got 2.5"),
        ({"guidance_scale": "4"}, r"guidance_scale must be a finite number; got '4'"),
        ({"guidance_scale": float("nan")}, r"guidance_scale must be a finite number; got nan"),
        ({"guidance_scale": 10**400}, r"guidance_scale must be a finite number; got 1000"),
        ({"guidance_scale": 1.0}, r"guidance_scale must be above 1: at 1 and below, .*guidance off.*got 1.0"),
        (
            {"image_guidance_scale": 0.99},
            r"image_guidance_scale must be at least 1: below it, .*guidance off.*got 0.99",
        ),
        ({"strength": 1.5}, r"strength must be a number in \(0, 1\].*got 1.5"),
        ({"scheduler": "DPMSolverSDEScheduler"}, r"scheduler must be one of DDIMScheduler, .*'DPMSolverSDEScheduler'"),
        ({"template": "a picture"}, r"template must be a string with \{prompt\} in it.*got 'a picture'"),
        ({"negative_prompt": ["a"]}, r"negative_prompt must be a string; got \['a'\]"),
        ({"compile": "yes"}, r"compile must be True or False; got 'yes'"),
        ({"channels_last": 1}, r"channels_last must be True or False; got 1"),
        ({"lora": "/nowhere/lora"}, r"lora must be an existing file or folder, or a Hub id .*got '/nowhere/lora'"),
        ({"lora_scale": None, "lora": "a/b"}, r"lora_scale must be a finite number; got None"),
        (
            {"model_id": "/nowhere/model"},
            r"model_id must be an existing folder that diffusers saved, or a Hub id .*got '/nowhere/model'",
        ),
        ({"model_id": 3}, r"model_id must be an existing folder .*got 3"),
        ({"pipeline_kwargs": {"prompt": "x"}}, r"pipeline_kwargs holds 'prompt', which the backend sets"),
        ({"pipeline_kwargs": {"num_images_per_prompt": 2}}, r"'num_images_per_prompt', which the backend sets"),
        ({"pipeline_kwargs": {"strength": 1}}, r"pipeline_kwargs holds 'strength': give it to the backend itself"),
        ({"guidance": 4}, r"has no option 'guidance'; allowed: model_id, .*guidance_scale"),
    ],
)
def test_a_bad_value_is_refused_at_construction_with_what_is_allowed(model, options, message):
    with pytest.raises(ValueError, match=message):
        create_backend({"name": "instruct_pix2pix", "model_id": str(model), **options})


@pytest.mark.parametrize("value", [object(), b"x", np.float32(3), {"name": "DDIMScheduler", "clip_sample": object()}])
@pytest.mark.parametrize("name", list(inspect.signature(Diffusers).parameters))
def test_a_value_that_no_spec_can_hold_is_refused_by_the_name_of_its_option(model, name, value):
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        Diffusers(**{"model_id": str(model), name: value})


@pytest.mark.parametrize("prompt", ["", "  "])
def test_an_empty_prompt_is_refused(model, prompt):
    backend = backend_of(model)
    with pytest.raises(ValueError, match="prompt must name an effect"):
        backend.check_prompt(prompt)
    with pytest.raises(ValueError, match="prompt must name an effect"):
        backend.generate([request(prompt=prompt)])


@pytest.mark.parametrize("box", [(0, 0, 0, 64), (0, 0, 65, 64), (-1, 0, 5, 5)])
def test_a_box_outside_of_the_image_is_refused(model, box):
    with pytest.raises(ValueError, match=r"box .* inside the image's 64x64 pixels"):
        backend_of(model).generate([request(box=box)])


def test_no_requests_load_nothing(model, monkeypatch):
    backend = backend_of(model)
    monkeypatch.setattr(backend, "_model", None)
    assert backend.generate([]) == []


def test_a_missing_package_is_named_with_the_command_that_installs_it(model, monkeypatch):
    found = option_rules.find_spec
    monkeypatch.setattr(option_rules, "find_spec", lambda name: None if name in ("diffusers", "peft") else found(name))
    with pytest.raises(ValueError, match=r"needs diffusers, not installed here: pip install diffusers$"):
        backend_of(model)
    with pytest.raises(ValueError, match=r"^backend 'instruct_pix2pix' needs diffusers, peft"):
        backend_of(model, lora="a/b")
    with pytest.raises(ValueError, match=r"^backend 'diffusers' needs diffusers, not installed here"):
        backend_of(model, name="diffusers")


@pytest.mark.parametrize("spec", ["diffusers", {"name": "diffusers", "model_id": None, "preset": "fast"}])
def test_without_a_model_the_error_names_what_to_give(spec):
    said = r"^backend 'diffusers' needs the option 'model_id', .*{'name': 'diffusers', 'model_id': 'owner/name'}"
    with pytest.raises(ValueError, match=said):
        create_backend(spec)


def test_a_backend_is_shown_under_the_name_that_made_it(model):
    assert repr(backend_of(model)) == f"InstructPix2Pix({str(model)!r}, preset='paper')"
    assert repr(backend_of(model, name="diffusers", preset="fast")) == f"Diffusers({str(model)!r}, preset='fast')"


@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        f"unet/{WEIGHTS}",
        f"vae/{WEIGHTS}",
        "text_encoder/model.safetensors",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_missing_file_is_named_at_construction(copy, file):
    (copy / file).unlink()
    folder, _, name = file.rpartition("/")
    with pytest.raises(ValueError, match=rf"{copy}/?{folder}.*{name}"):
        backend_of(copy)


def test_a_missing_tokenizer_and_a_missing_folder_are_named(copy):
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):  # one or the others, by the version of transformers
        (copy / "tokenizer" / name).unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"copy/tokenizer has no tokenizer: expected one of tokenizer.json"):
        backend_of(copy)
    (copy / "tokenizer" / "vocab.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer/merges.txt is missing"):
        backend_of(copy)
    shutil.rmtree(copy / "tokenizer")
    with pytest.raises(ValueError, match=r"copy has no folder tokenizer/: model_index.json asks for a CLIPTokeniz"):
        backend_of(copy)


@pytest.mark.parametrize("file", [f"unet/{WEIGHTS}", "text_encoder/model.safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_cut_off_weights_are_named_at_construction(copy, file, kept):
    path = copy / file
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"{path} is broken"):
        backend_of(copy)


@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json", "tokenizer/tokenizer_config.json"])
def test_a_broken_json_file_is_named_at_construction(copy, file):
    (copy / file).write_text('{"half": ')
    with pytest.raises(ValueError, match=rf"{copy / file} is broken: not valid JSON"):
        backend_of(copy)


def test_a_missing_shard_is_named(copy):
    unet = copy / "unet"
    (unet / WEIGHTS).rename(unet / "diffusion_pytorch_model-00001-of-00002.safetensors")
    with pytest.raises(ValueError, match=r"diffusion_pytorch_model-00002-of-00002.safetensors is missing"):
        backend_of(copy)


def test_a_variant_that_is_not_there_is_named(copy):
    with pytest.raises(ValueError, match="has no weights of variant 'fp16': leave variant out"):
        backend_of(copy, variant="fp16")


def test_a_variant_is_read_in_place_of_the_plain_weights(copy):
    for part in ("unet", "vae"):
        (copy / part / WEIGHTS).rename(copy / part / WEIGHTS.replace(".safe", ".fp16.safe"))
    (copy / "text_encoder" / "model.safetensors").rename(copy / "text_encoder" / "model.fp16.safetensors")
    assert backend_of(copy, variant="fp16", num_inference_steps=1).generate([request()])[0].status == "ok"


def test_weights_that_do_not_fit_the_configuration_are_an_error_that_names_the_folder(copy):
    path = copy / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "block_out_channels": [8, 8]}))
    with pytest.raises(ValueError, match=rf"cannot load StableDiffusionInstructPix2PixPipeline from {copy}"):
        backend_of(copy).generate([request()])


@pytest.mark.parametrize(
    ("scheduler", "steps", "message"),
    [
        ("PNDMScheduler", 2, r"PNDMScheduler takes no 2 steps so: .*; give other num_inference_steps, or another sch"),
        ({"name": "DDIMScheduler", "prediction_type": "foo"}, 2, r"DDIMScheduler takes no 2 steps so: .*given as foo"),
        ({"name": "DDIMScheduler", "beta_start": "x"}, 2, r"DDIMScheduler cannot be made with \{'beta_start': 'x'\}: "),
    ],
)
def test_a_sampler_that_cannot_work_so_ends_the_run_when_it_is_loaded(model, scheduler, steps, message):
    with pytest.raises(BackendUnavailableError, match=message):
        backend_of(model, scheduler=scheduler, num_inference_steps=steps).load()


def test_a_pipeline_with_code_of_its_own_is_refused(copy):
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, "_class_name": ["pipeline", "Mine"]}))
    with pytest.raises(ValueError, match="only the pipelines of diffusers itself are run"):
        backend_of(copy)


def test_a_lora_without_weights_is_named(model, tmp_path):
    with pytest.raises(ValueError, match="holds no weights"):
        backend_of(model, lora=str(tmp_path))


def test_a_lora_for_another_model_is_named(model, tmp_path):
    lora = tiny_models.save_lora(tmp_path, model)
    other = tiny_models.save_xl_instruct_pix2pix(tmp_path / "xl")
    with pytest.raises(ValueError, match=rf"cannot load lora '{lora}'"):
        backend_of(other, lora=str(lora)).generate([request()])


@pytest.mark.usefixtures("empty_cache")
def test_offline_and_missing_says_what_to_download_and_how():
    backend = create_backend({"name": "instruct_pix2pix", "revision": "fp16", "device": "cpu"})
    with pytest.raises(ValueError, match=r"'timbrooks/instruct-pix2pix' is not in the Hub's cache") as caught:
        backend.generate([request()])
    assert "P.download('timbrooks/instruct-pix2pix', revision='fp16')" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_gated_model_is_one_sentence_that_says_how_to_enter(monkeypatch, wrapped):
    def refuse(*_, **__):
        error = GatedRepoError.__new__(GatedRepoError, "403 Client Error.\n\nCannot access gated repo")
        if wrapped:
            raise OSError("Cannot load model: the Hub could not be asked") from error
        raise error

    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", refuse)
    backend = create_backend({"name": "instruct_pix2pix", "device": "cpu"})
    with pytest.raises(BackendUnavailableError) as caught:
        backend.load()
    assert str(caught.value) == (
        "model 'timbrooks/instruct-pix2pix' is gated: accept its terms at "
        "https://huggingface.co/timbrooks/instruct-pix2pix, then run once: hf auth login"
    )


@pytest.mark.usefixtures("empty_cache")
def test_with_local_files_only_a_missing_model_is_an_error_at_construction():
    with pytest.raises(
        ValueError, match=r"not in the Hub's cache and local_files_only forbids.*P.download\('me/mine'\)"
    ):
        create_backend({"name": "instruct_pix2pix", "model_id": "me/mine", "local_files_only": True})


def test_a_model_in_the_hubs_cache_is_checked_at_construction_and_loaded(model, empty_cache):
    repository = empty_cache / "models--me--mine"
    shutil.copytree(model, repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    with pytest.raises(ValueError, match="takes no strength"):
        backend_of("me/mine", strength=0.5)
    backend = backend_of("me/mine", num_inference_steps=1, local_files_only=True)
    assert backend.generate([request()])[0].status == "ok"
    assert backend.provenance()["commit"] == "a" * 40


@pytest.mark.usefixtures("empty_cache")
def test_the_papers_model_is_known_before_it_is_downloaded():
    with pytest.raises(ValueError, match="takes no strength"):
        create_backend({"name": "instruct_pix2pix", "model_id": hub.PAPER_MODEL, "strength": 0.5})


def test_a_forked_process_is_told_what_to_do_instead_of_cuda(model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    for device in ("auto", "cuda"):
        with pytest.raises(ValueError, match=r"albu-diffusemix generate.*multiprocessing_context='spawn'"):
            backend_of(model, device=device).generate([request()])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_here_is_named(model):
    with pytest.raises(ValueError, match=r"device 'cuda:3' is not here \(CUDA devices: 0\)"):
        backend_of(model, device="cuda:3").generate([request()])


MANY_OPTIONS = {
    "size": 512,
    "dtype": "bfloat16",
    "guidance_scale": 5,
    "strength": 0.5,
    "template": "{prompt}!",
    "lora": "a/b",
    "lora_scale": 0.5,
    "safety_checker": True,
    "pipeline_kwargs": {"eta": 0.5},
}
OTHER_SAMPLER = {
    "revision": "fp16",
    "variant": "fp16",
    "preset": "fast",
    "num_inference_steps": 30,
    "negative_prompt": "blurred",
    "scheduler": {"name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True},
}


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize(
    ("model_id", "options", "fingerprint"),
    [
        (hub.PAPER_MODEL, {}, "instruct_pix2pix-1-2106a3bce005af7f"),
        (hub.PAPER_MODEL, OTHER_SAMPLER, "instruct_pix2pix-1-9a2cc241d75f8404"),
        ("someone/mine", MANY_OPTIONS, "instruct_pix2pix-1-9aa020bcb0b24f30"),
    ],
)
@pytest.mark.parametrize("name", ["instruct_pix2pix", "diffusers"])
def test_the_fingerprint_is_that_of_stores_made_before_under_both_names(name, model_id, options, fingerprint):
    assert create_backend({"name": name, "model_id": model_id, **options}).fingerprint == fingerprint


def test_the_papers_model_is_the_default_of_instruct_pix2pix():
    assert repr(create_backend("instruct_pix2pix")) == "InstructPix2Pix('timbrooks/instruct-pix2pix', preset='paper')"


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "fast"},
        {"num_inference_steps": 50},
        {"guidance_scale": 5},
        {"image_guidance_scale": 2},
        {"negative_prompt": "blurred"},
        {"size": 128},
        {"dtype": "float16"},
        {"scheduler": "DDIMScheduler"},
        {"scheduler": {"name": "DDIMScheduler", "clip_sample": False}},
        {"template": "{prompt}"},
        {"safety_checker": True},
    ],
)
def test_the_fingerprint_tells_what_changes_pixels(model, options):
    assert backend_of(model, **options).fingerprint != backend_of(model).fingerprint


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "paper"},
        {"batch_size": 8},
        {"device": "auto"},
        {"compile": True},
        {"channels_last": True},
        {"local_files_only": True},
        {"template": "A transformed version of image into {prompt}"},
    ],
)
def test_the_fingerprint_leaves_out_what_changes_nothing_or_only_rounding(model, options):
    assert backend_of(model, **options).fingerprint == backend_of(model).fingerprint


def test_the_fingerprint_follows_a_folders_contents_not_its_place(model, copy):
    assert backend_of(copy).fingerprint == backend_of(model).fingerprint
    weights = copy / "unet" / WEIGHTS
    data = bytearray(weights.read_bytes())
    header = 8 + int.from_bytes(data[:8], "little")
    for place in range(header, len(data), 64):  # a fine-tune moves every tensor
        data[place] ^= 1
    weights.write_bytes(data)
    assert backend_of(copy).fingerprint != backend_of(model).fingerprint


def test_the_fingerprint_tells_loras_and_their_scales(model, tmp_path):
    lora = str(tiny_models.save_lora(tmp_path / "lora", model))
    file = f"{lora}/pytorch_lora_weights.safetensors"
    known = [
        backend_of(model, **options).fingerprint for options in ({}, {"lora": lora}, {"lora": lora, "lora_scale": 2})
    ]
    assert len(set(known)) == 3
    assert backend_of(model, lora=file).fingerprint == known[1]
