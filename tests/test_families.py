"""Every family of editing models: on a tiny checkpoint saved and loaded by the real code, and as rows of the table."""

import functools
import inspect
import json
import re
from types import SimpleNamespace

import cv2
import diffusers
import numpy as np
import pytest
import tiny_editors
import tiny_models
import torch
from diffusion_tools import (
    PHOTOGRAPHS,
    THIRD_PARTY_WARNINGS,
    backend_of,
    drawn_by,
    images_of,
    in_batches,
    loaded_pipeline,
    request,
)
from family_checks import MORE, check_purity, check_shapes, quick_backend

from albu_diffusemix.backends import BackendUnavailableError, create_backend
from albu_diffusemix.backends.diffusers import call_plan, checkpoint, loading, memory, pipeline_editor, stock, versions
from albu_diffusemix.backends.diffusers.call_plan import CallPlan
from albu_diffusemix.backends.diffusers.families import FAMILIES, find_family
from albu_diffusemix.backends.diffusers.few_steps import FEW_STEPS
from albu_diffusemix.backends.diffusers.probe import check_by_probe
from albu_diffusemix.backends.diffusers.strength import taken_strength
from albu_diffusemix.backends.diffusers.versions import is_diffusers
from albu_diffusemix.backends.editing import Model, ModelInput, ModelOutput
from albu_diffusemix.backends.pixels import resize

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

HERE = [family for family in FAMILIES if is_diffusers(family.since)]
ROWS = pytest.mark.parametrize("family", HERE, ids=lambda family: family.name)
EVERYDAY = pytest.mark.parametrize("name", tiny_editors.EVERYDAY)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("editors")

    @functools.cache
    def saved(name):
        if name not in tiny_editors.EVERYDAY:
            pytest.skip(f"this version of diffusers has no {name}")
        return tiny_editors.EVERYDAY[name](folder / name)

    return saved


@pytest.fixture(scope="module")
def backends(models):
    return functools.cache(lambda name: quick_backend(models(name), **MORE.get(name, {})))


def plan_of(family, size, shape):
    return CallPlan(
        family,
        is_known=True,
        arguments={},
        template="{prompt}",
        size=size,
        shape=shape,
        scheduler=None,
        lora=None,
    )


def index(folder, class_name, **facts):
    folder.mkdir(parents=True, exist_ok=True)
    for name in facts.keys() & {"scheduler"}:
        (folder / name).mkdir()
        (folder / name / "scheduler_config.json").write_text("{}")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": class_name, **facts}))
    return folder


@EVERYDAY
def test_a_family_draws_the_same_whatever_came_before_beside_or_after(backends, name):
    check_purity(backends(name))


@EVERYDAY
def test_size_governs_what_a_family_draws(backends, name):
    check_shapes(backends(name), (64, 64))


@pytest.mark.parametrize(
    ("name", "size", "sides"),
    [("klein", 128, (96, 176)), ("kontext", 64, (48, 96)), ("sd3", 64, (48, 96)), ("turbo", 64, (48, 88))],
)
def test_with_shape_aspect_a_family_draws_the_images_own_ratio(models, name, size, sides):
    check_shapes(quick_backend(models(name), shape="aspect", size=size, **MORE.get(name, {})), sides)


def test_cosxl_is_loaded_as_what_it_is(backends):
    assert loaded_pipeline(backends("cosxl")).is_cosxl_edit


@ROWS
def test_every_argument_of_a_row_is_one_of_the_pipelines_call(family):
    taken = inspect.signature(getattr(diffusers, family.pipeline).__call__).parameters
    beside = {"sides": set(), "area": {"max_area"}, "resolution": {"output_resolution"}}
    sides = {"height", "width", *beside[family.sized]} if family.sized in beside else set()
    assert {family.image_name, *family.options.values(), *family.fixed, *sides} <= set(taken)
    assert set(family.defaults) <= set(family.options)
    assert all(hasattr(diffusers, name) for name in family.from_text)


class Identity:
    """Stands for a pipeline that gives back the image that it is given, in the form in which that came."""

    _execution_device = torch.device("cpu")
    scheduler = SimpleNamespace(config=SimpleNamespace())

    def __init__(self, family):
        self.family, self.resolutions = family, []

    def encode_prompt(self, **_):
        return (torch.zeros(1, 1), torch.zeros(1, 1))

    def __call__(self, **given):
        image = given[self.family.image_name]
        if isinstance(image, list):
            [image] = image
        if not torch.is_tensor(image):
            image = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        asked = (given.get("height"), given.get("width"))
        assert asked in ((None, None), tuple(image.shape[-2:]))
        assert not self.resolutions or self.resolutions == [asked[::-1]]
        return SimpleNamespace(**{self.family.result: image})


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (64, 64), (30, 120), (33, 57)])
@ROWS
def test_halves_stay_aligned_through_every_family_and_shape(family, shape):
    """Nothing is cropped or moved: an identity gives the image back, but for what resizing takes."""
    height, width = shape
    image = cv2.GaussianBlur(cv2.resize(PHOTOGRAPHS[0], (width, height)), (0, 0), 3)
    for kind in ("square", "aspect"):
        plan = plan_of(family, 256, kind)
        tall, wide = plan.sides(height, width)
        assert tall % family.grid == wide % family.grid == 0
        assert kind == "square" or 0.75 < (wide / tall) / (width / height) < 1.34
        given = ModelInput(np.ascontiguousarray(resize(image, wide, tall)), "snowy", 1)
        [drawn] = Model(stock.StockEditor(Identity(family), plan), 1).edit([given])
        assert np.abs(resize(drawn.image, width, height) * 255 - image).mean() < 2


def test_a_square_keeps_the_area_within_a_step_of_its_own():
    plan = plan_of(FAMILIES[0], 256, "aspect")
    assert [plan.sides(*shape) for shape in ((480, 640), (640, 480), (500, 500), (1080, 1920), (10, 10000))] == [
        (224, 288),
        (288, 224),
        (256, 256),
        (192, 352),
        (96, 736),
    ]


TURBO_21 = {"sample_sigmas": [1.0, 0.98, 0.95, 0.93, 0.9, 0.85, 0.7, 0.41]}
COSXL = {"scheduler": ["diffusers", "EDMEulerScheduler"]}
ROW_OF = [
    ("Flux2KleinPipeline", {"is_distilled": True}, {}, "a", "FLUX.2 klein", 4),
    ("Flux2KleinPipeline", {"is_distilled": False}, {}, "a", "FLUX.2 klein base", 50),
    ("QwenImage21Pipeline", TURBO_21, {}, "a", "Qwen-Image 2.1 Turbo", 8),
    ("QwenImage21Pipeline", {"sample_sigmas": None}, {}, "a", "Qwen-Image 2.1", 40),
    ("FluxPipeline", {}, {"guidance_embeds": False}, "a", "FLUX.1 schnell", 4),
    ("FluxPipeline", {}, {"guidance_embeds": True}, "a", "FLUX.1 dev", 28),
    ("ZImagePipeline", {}, {}, "Z-Image-Turbo", "Z-Image-Turbo", 9),
    ("ZImagePipeline", {"_name_or_path": "Tongyi-MAI/Z-Image-Turbo"}, {}, "mine", "Z-Image-Turbo", 9),
    ("ZImagePipeline", {}, {}, "mine", "Z-Image", 50),
    ("StableDiffusionXLPipeline", {}, {}, "sdxl-turbo", "SDXL-Turbo", 2),
    ("StableDiffusionXLPipeline", {}, {}, "xl", "SDXL", 50),
    ("StableDiffusionXLInstructPix2PixPipeline", COSXL, {}, "a", "CosXL Edit", 20),
    ("StableDiffusionXLInstructPix2PixPipeline", {}, {}, "a", "SDXL InstructPix2Pix", 100),
]


@pytest.mark.parametrize(
    ("class_name", "facts", "config", "name", "row", "steps"), [row for row in ROW_OF if hasattr(diffusers, row[0])]
)
def test_a_row_is_found_by_the_checkpoints_configuration_or_its_name(
    tmp_path, monkeypatch, class_name, facts, config, name, row, steps
):
    monkeypatch.setattr(call_plan, "find_spec", lambda _: True)
    folder = index(tmp_path / name, class_name, **facts)
    (folder / "transformer").mkdir()
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    backend = create_backend({"name": "diffusers", "model_id": str(folder)})
    assert backend._plan.family.name == row
    assert backend._plan.arguments["num_inference_steps"] == steps


@pytest.mark.parametrize(
    ("class_name", "reason"),
    [
        ("ChronoEditPipeline", "makes video"),
        ("WanImageToVideoPipeline", "makes video"),
        ("StableDiffusionControlNetPipeline", "takes the image for a control map"),
        ("FluxControlPipeline", "takes the image for a control map"),
        ("StableDiffusionInpaintPipeline", "wants a mask"),
        ("QwenImageEditInpaintPipeline", "wants a mask"),
        ("StableDiffusionUpscalePipeline", "enlarges"),
        ("PixArtAlphaPipeline", "takes no image to edit"),
        ("NoSuchPipeline", "has no NoSuchPipeline"),
    ],
)
@pytest.mark.parametrize("name", ["diffusers", "instruct_pix2pix"])
def test_what_edits_no_image_is_refused_by_name_at_construction(tmp_path, name, class_name, reason):
    with pytest.raises(ValueError, match=reason):
        create_backend({"name": name, "model_id": str(index(tmp_path / "model", class_name))})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("klein", {"size": 72}, r"size must be a multiple of 16 pixels for .*: give 64 or 80; got 72"),
        ("klein", {"size": 48}, r"size must be at least 64 pixels"),
        ("klein", {"guidance_scale": 4}, r"takes no guidance_scale"),
        ("klein", {"scheduler": "DDIMScheduler"}, r"does not go with .*: give one of FlowMatchEuler"),
        ("turbo", {"scheduler": "FlowMatchEulerDiscreteScheduler"}, r"FlowMatchEuler.* does not go with"),
        ("cosxl", {"scheduler": "DDIMScheduler"}, r"DDIMScheduler does not go with .*: leave it out"),
        (
            "kontext",
            {"pipeline_kwargs": {"_auto_resize": True}},
            r"'_auto_resize', which FLUX.1 Kontext needs",
        ),
        ("klein", {"preset": "fast"}, r"preset 'fast' is not made for .*: give one of 'paper', 'official', or"),
        ("sd3", {"strength": 1.0}, r"the source would be lost: the nearest that work are strength 0.99"),
        ("schnell", {"num_inference_steps": 1}, r"leaves no step.*: the nearest that work are num_inference_steps 2"),
    ],
)
def test_what_would_go_wrong_later_is_refused_at_construction(models, name, options, message):
    with pytest.raises(ValueError, match=message):
        backend_of(models(name), **{"num_inference_steps": 100, **options})


@pytest.mark.parametrize(
    ("steps", "strength", "noise", "taken"),
    [(4, 0.8, "flow", 3), (4, 0.75, "flow", 3), (2, 0.6, "flow", 1), (50, 0.6, "flow", 30), (28, 0.99, "flow", 27)],
)
def test_flow_takes_as_many_steps_as_diffusion_would(steps, strength, noise, taken):
    given = taken_strength(steps, strength, noise)
    assert steps - int(max(steps - min(steps * given, steps), 0)) == taken == int(steps * strength)
    assert taken_strength(steps, strength, "diffusion") == strength


@pytest.mark.parametrize("noise", ["flow", "diffusion"])
@pytest.mark.parametrize(
    ("steps", "strength", "nearest"),
    [
        (2, 0.3, [(4, 0.3), (2, 0.5)]),
        (1, 0.6, [(2, 0.6)]),
        (1, 1.0, [(2, 0.5)]),
        (4, 1.0, [(4, 0.99)]),
        (2, 0.0001, [(2, 0.5)]),
        (1000, 0.0001, [(1000, 0.01)]),
    ],
)
def test_the_nearest_values_that_are_named_work(steps, strength, nearest, noise):
    with pytest.raises(ValueError, match="the nearest that work are ") as caught:
        taken_strength(steps, strength, noise)
    named = str(caught.value).partition("the nearest that work are ")[2].split(" or ")
    found = [dict(re.findall(r"(num_inference_steps|strength) ([\d.]+)", text)) for text in named]
    found = [(int(one.get("num_inference_steps", steps)), float(one.get("strength", strength))) for one in found]
    assert found == nearest
    for pair in found:
        taken_strength(*pair, noise)


class Scripted:
    """An editor that gives what a test says."""

    def __init__(self, *images):
        self.images = list(images)

    def edit(self, _):
        image = self.images.pop(0)
        if isinstance(image, Exception):
            raise image
        return [ModelOutput(image)]


BLACK, WHITE = np.zeros((8, 8, 3), np.float32), np.ones((8, 8, 3), np.float32)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([BLACK, BLACK, BLACK], "came out like its negative: the source is ignored"),
        ([BLACK, WHITE, WHITE], "came out otherwise the second time"),
        ([BLACK * np.nan, WHITE * np.nan, BLACK], "came out as NaN, which is no color: give another dtype"),
        (
            [np.zeros((16, 16, 3)), WHITE, BLACK],
            r"shape \(8, 8, 3\) and came back with \(16, 16, 3\): give a size",
        ),
        ([np.zeros((8, 8, 4)), WHITE, BLACK], r"has the shape \(8, 8, 3\) and came back with \(8, 8, 4\)"),
        ([KeyError("x")], r"failed \(KeyError: there is no 'x'\)"),
    ],
)
def test_a_probe_tells_why_a_pipeline_cannot_be_used(images, message):
    plan = plan_of(FAMILIES[0], 8, "square")._replace(is_known=False)
    with pytest.raises(ValueError, match=message):
        check_by_probe(Scripted(*images), plan)
    check_by_probe(Scripted(BLACK, WHITE, BLACK), plan)


def test_a_probe_is_longer_than_high_where_images_keep_their_ratio():
    drawn = [np.full((56, 80, 3), value, np.float32) for value in (0, 1)]
    check_by_probe(Scripted(*drawn), plan_of(FAMILIES[0], 64, "aspect"))


def test_a_network_that_ignores_the_source_is_refused_when_it_is_loaded(tmp_path):
    unet = diffusers.UNet2DConditionModel.from_pretrained(
        tiny_models.save_instruct_pix2pix(tmp_path / "model") / "unet"
    )
    with torch.no_grad():
        unet.conv_in.weight[:, 4:] = 0
    unet.save_pretrained(tmp_path / "model" / "unet")
    with pytest.raises(ValueError, match="ignores the source"):
        backend_of(tmp_path / "model").load()


@pytest.mark.skipif(not is_diffusers("0.37"), reason="it has no Z-Image-Omni")
def test_a_pipeline_in_no_row_is_used_once_its_probe_went_well_and_refused_with_the_reason_otherwise(tmp_path):
    model = tiny_editors.save_z_image_omni(tmp_path / "model")
    backend = quick_backend(model, dtype="bfloat16")
    assert (backend._plan.is_known, backend._plan.family.dtype) == (False, "bfloat16")
    check_purity(backend)
    check_shapes(backend, (64, 64))
    with pytest.raises(BackendUnavailableError, match=r"ZImageOmniPipeline cannot be used so: .* \(RuntimeError"):
        quick_backend(model, dtype="float32").load()


def test_several_prompts_of_one_image_are_one_call(models):
    backend = quick_backend(models("klein"), batch_size=3)
    model = Model(backend._load_editor(), 3)
    calls = []
    loaded = model._editor._pipeline.transformer
    loaded.register_forward_pre_hook(
        lambda _, _given, named: calls.append(len(named["hidden_states"])), with_kwargs=True
    )
    wanted = [
        request(PHOTOGRAPHS[number % 2], prompt) for number, prompt in enumerate(("snowy", "autumn", "rain", "sun"))
    ]
    inputs = [backend._model_input(one, one.prompt) for one in wanted]
    together = model.edit(inputs)
    assert calls == [3] * 4  # two images, two steps each
    for one, drawn in zip(inputs, together, strict=True):
        np.testing.assert_allclose(drawn.image, backend._model().edit([one])[0].image, atol=1e-4)


@pytest.mark.parametrize("name", ["sd3", "flux", "z_image"])
def test_a_list_of_images_edits_each(models, name):
    backend = quick_backend(models(name), **MORE.get(name, {}))
    inputs = [
        backend._model_input(request(PHOTOGRAPHS[n], prompt, n), prompt)
        for n, prompt in enumerate(("snowy", "an autumn"))
    ]
    together = Model(backend._load_editor(), 2).edit(inputs)
    for one, drawn in zip(inputs, together, strict=True):
        np.testing.assert_allclose(drawn.image, backend._model().edit([one])[0].image, atol=1e-4)


def test_the_options_of_a_flow_sampler_reach_it(models):
    scheduler = {"name": "FlowMatchEulerDiscreteScheduler", "shift": 5.0, "use_dynamic_shifting": False}
    backend = quick_backend(models("klein"), scheduler=scheduler)
    assert loaded_pipeline(backend).scheduler.config.shift == 5.0


def test_a_shift_holds_in_place_of_one_that_follows_from_the_size(models):
    name = "FlowMatchEulerDiscreteScheduler"
    given, whole, dynamic = (
        quick_backend(models("klein"), scheduler={"name": name, "shift": 3.0, **more})
        for more in ({}, {"use_dynamic_shifting": False}, {"use_dynamic_shifting": True})
    )
    np.testing.assert_array_equal(drawn_by(given, [request()]), drawn_by(whole, [request()]))
    assert np.abs(drawn_by(given, [request()]) - drawn_by(dynamic, [request()])).mean() > 1e-3
    assert given.fingerprint == whole.fingerprint != dynamic.fingerprint


def test_a_sampler_that_draws_for_a_whole_batch_is_given_one_image_at_a_time(models):
    backend = quick_backend(
        models("sd3"), scheduler={"name": "FlowMatchEulerDiscreteScheduler", "stochastic_sampling": True}
    )
    wanted = [request(PHOTOGRAPHS[number], seed=number) for number in range(2)]
    alone = [drawn_by(backend, [one])[0] for one in wanted]
    np.testing.assert_array_equal(drawn_by(in_batches(backend, 2), wanted), alone)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sd3", {"shift": "abc"}, r"FlowMatchEulerDiscreteScheduler cannot be made with {.*'shift': 'abc'}: "),
        ("klein", {"shft": 3.0}, r"FlowMatchEulerDiscreteScheduler has no option 'shft'; it has .*shift"),
    ],
)
def test_options_that_a_sampler_does_not_take_are_one_line(models, name, options, message):
    backend = quick_backend(models(name), scheduler={"name": "FlowMatchEulerDiscreteScheduler", **options})
    with pytest.raises(BackendUnavailableError, match=message) as caught:
        backend.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [{"preset": "official"}, {"template": "{prompt}"}])
def test_a_template_without_the_mark_for_the_image_gets_it(tmp_path, monkeypatch, given):
    monkeypatch.setattr(call_plan, "find_spec", lambda _: True)
    model = str(index(tmp_path / "omnigen", "OmniGenPipeline"))
    backend = create_backend({"name": "diffusers", "model_id": model, **given})
    assert backend._fill_template("snowy") == "<img><|image_1|></img> snowy"
    own = create_backend({"name": "diffusers", "model_id": model, "template": "{prompt} to <img><|image_1|></img>"})
    assert own._fill_template("snowy") == "snowy to <img><|image_1|></img>"


@pytest.mark.parametrize(("pipeline", "preset"), FEW_STEPS)
def test_a_preset_of_few_steps_names_its_source_and_a_sampler_with_these_options(pipeline, preset):
    few = FEW_STEPS[pipeline, preset]
    assert few.source.startswith("https://huggingface.co/")
    family = find_family(pipeline, lambda _: None)
    assert set(few.values) <= set(family.options)
    if few.scheduler is not None:
        options = dict(few.scheduler)
        taken = inspect.signature(getattr(diffusers, options.pop("name")).__init__).parameters
        assert set(options) <= set(taken)


def test_eight_steps_by_lcm_are_sixteen_passes(tmp_path):
    model = tiny_models.save_instruct_pix2pix(tmp_path / "model")
    lora = tiny_models.save_lora(tmp_path / "lora", model)
    backend = backend_of(model, preset="lcm", lora=str(lora))
    pipeline = loaded_pipeline(backend)
    passes = []
    pipeline.unet.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
    images_of(backend.generate([request()]))
    assert sum(passes) == 16
    assert type(pipeline.scheduler).__name__ == "LCMScheduler"


def test_a_lora_may_be_a_file_in_a_repository_of_the_hub():
    assert loading._place_of_lora("me/mine/some/where.safetensors") == (
        "me/mine",
        {"weight_name": "some/where.safetensors"},
    )
    assert loading._place_of_lora("me/mine") == ("me/mine", {})


def test_torchs_own_generator_is_left_as_it_was(backends):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    images_of(backends("klein").generate([request()]))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_autoencoder_in_float32_works_between_parts_in_bfloat16(models):
    vae = diffusers.AutoencoderKL.from_pretrained(models("sd3") / "vae", torch_dtype=torch.bfloat16)
    memory.keep_in_float32(vae)
    images = torch.zeros(1, 3, 64, 64, dtype=torch.bfloat16)
    latents = vae.encode(images).latent_dist.mode()
    assert (latents.dtype, vae.dtype) == (torch.bfloat16, torch.float32)
    assert vae.decode(latents).sample.dtype == torch.float32


def test_transparency_shows_white():
    drawn = torch.tensor([0.2, 0.4, 0.6, 0.5]).reshape(1, 4, 1, 1)
    [made] = pipeline_editor.to_outputs(drawn, None)
    np.testing.assert_allclose(made.image, [[[0.6, 0.7, 0.8]]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["offload", "sequential"])
def test_memory_is_saved_on_a_gpu_alone(models, kind):
    with pytest.raises(ValueError, match=f"memory '{kind}' needs a GPU"):
        quick_backend(models("klein"), memory=kind).load()


def test_fewer_bits_need_their_package_and_change_the_fingerprint(models, monkeypatch):
    backend = quick_backend(models("klein"), memory="4bit")
    assert backend.fingerprint != quick_backend(models("klein")).fingerprint
    monkeypatch.setattr(memory, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="memory '4bit' needs bitsandbytes, not installed here: pip install bitsandb"):
        backend.load()


def test_a_family_that_an_older_diffusers_lacks_names_the_version_that_has_it(models, monkeypatch):
    model = models("klein")
    monkeypatch.setattr(versions, "version", lambda _: "0.36.2.dev0")
    with pytest.raises(ValueError, match=r"needs diffusers 0.37 or newer, here is 0.36.2.dev0: pip install -U diffus"):
        quick_backend(model)


def test_a_family_that_needs_torchvision_says_so_at_construction(tmp_path, monkeypatch):
    monkeypatch.setattr(call_plan, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"needs torchvision, not installed here: pip install torchvision$"):
        create_backend({"name": "diffusers", "model_id": str(index(tmp_path / "qwen", "QwenImageEditPipeline"))})


def test_a_preset_with_a_lora_names_the_package_that_reads_it_at_construction(tmp_path, monkeypatch):
    monkeypatch.setattr(call_plan, "find_spec", lambda name: None if name == "peft" else name)
    model = str(index(tmp_path / "ip2p", "StableDiffusionInstructPix2PixPipeline"))
    with pytest.raises(ValueError, match=r"needs peft, not installed here: pip install peft$"):
        create_backend({"name": "diffusers", "model_id": model, "preset": "lcm"})


def test_weights_in_fewer_bits_name_the_package_that_reads_them(tmp_path, monkeypatch):
    model = tiny_models.save_instruct_pix2pix(tmp_path / "model")
    path = model / "unet" / "config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "quantization_config": {"quant_method": "bitsandbytes"}})
    )
    monkeypatch.setattr(checkpoint, "_is_installed", lambda _: False)
    with pytest.raises(
        ValueError, match=r"unet holds weights of bitsandbytes, not installed here: pip install bitsandbytes$"
    ):
        backend_of(model)


def test_a_tokenizer_of_sentencepiece_names_the_packages_that_read_it(tmp_path, monkeypatch):
    model = tmp_path / "copy"
    tiny_editors.save_sd3(model)
    (model / "tokenizer_3" / "tokenizer.json").rename(model / "tokenizer_3" / "spiece.model")
    monkeypatch.setattr(checkpoint, "_is_installed", lambda _: False)
    with pytest.raises(ValueError, match="tokenizer_3 is one of SentencePiece and needs sentencepiece, protobuf"):
        backend_of(model)


def test_where_only_half_precision_is_there_its_variant_is_suggested(tmp_path):
    model = tiny_models.save_instruct_pix2pix(tmp_path / "model")
    for path in model.rglob("*.safetensors"):
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    with pytest.raises(ValueError, match=r"has no weights: .*there is variant='fp16': give it"):
        backend_of(model)


def test_a_failing_package_is_one_sentence_with_what_to_install(models, monkeypatch):
    def fail(*_, **__):
        raise NameError("name 'OmniGenMultiModalProcessor' is not defined")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", fail)
    with pytest.raises(
        ValueError, match=r"cannot load Flux2KleinPipeline .*a package is missing .*pip install"
    ) as caught:
        quick_backend(models("klein")).load()
    assert "\n" not in str(caught.value)
