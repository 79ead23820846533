"""The other pipelines of diffusers behind the same backend, each as a tiny random model."""

import diffusers
import numpy as np
import pytest
import tiny_models
from diffusion_tools import (
    TEMPLATE,
    THIRD_PARTY_WARNINGS,
    backend_of,
    call_stock,
    images_of,
    in_batches,
    loaded_pipeline,
    quiet,
    request,
    requests,
    rows_through,
    to_bytes,
)

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

IMG2IMG = {"strength": 0.6, "num_inference_steps": 5, "guidance_scale": 6.0}
INSTRUCT = {"num_inference_steps": 3, "guidance_scale": 4.0, "image_guidance_scale": 1.5}
BATCHED = {
    "img2img": IMG2IMG,
    "xl_img2img": IMG2IMG,
    "xl_instruct_pix2pix": INSTRUCT,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    names = (*BATCHED, "text_to_image", "consistency_img2img", "instruct_pix2pix")
    return {name: getattr(tiny_models, f"save_{name}")(folder / name) for name in names}


def expected_of(model, wanted, arguments):
    options = {"add_watermarker": False} if "xl" in model.name else {}
    pipeline = quiet(diffusers.DiffusionPipeline.from_pretrained(model, local_files_only=True, **options))
    size = {"height": 64, "width": 64} if model.name == "xl_instruct_pix2pix" else {}
    template = TEMPLATE if "instruct" in model.name else "{}"
    return to_bytes(call_stock(pipeline, wanted, template, **size, **arguments))


@pytest.mark.parametrize("name", BATCHED)
def test_an_image_alone_is_bit_equal_to_the_stock_pipelines(models, name):
    backend = backend_of(models[name], **BATCHED[name])
    expected = expected_of(models[name], [request(seed=4)], BATCHED[name])
    np.testing.assert_array_equal(images_of(backend.generate([request(seed=4)])), expected)


@pytest.mark.parametrize("name", BATCHED)
def test_a_batch_is_the_stock_pipelines_but_for_rounding(models, name):
    """Its text encoders see the prompts together, ours see each alone."""
    backend = in_batches(backend_of(models[name], **BATCHED[name]), 3)
    made = images_of(backend.generate(requests(3)))
    difference = np.abs(np.array(made, int) - expected_of(models[name], requests(3), BATCHED[name]))
    assert difference.max() <= 1
    assert difference.mean() < 0.005


@pytest.mark.parametrize("name", BATCHED)
def test_a_negative_prompt_is_the_stock_pipelines(models, name):
    backend = backend_of(models[name], negative_prompt="blurred", **BATCHED[name])
    expected = expected_of(models[name], requests(1), {**BATCHED[name], "negative_prompt": ["blurred"]})
    np.testing.assert_array_equal(images_of(backend.generate(requests(1))), expected)


@pytest.mark.parametrize(("name", "encoded"), [("img2img", 4), ("xl_img2img", 2), ("xl_instruct_pix2pix", 2)])
def test_each_prompt_is_encoded_once_and_alone(models, name, encoded):
    backend = backend_of(models[name], **BATCHED[name])
    rows = rows_through(loaded_pipeline(backend).text_encoder)
    backend.generate(requests(6))
    assert rows == [1] * encoded  # two prompts, and beside each no prompt, which is zero for SDXL


def test_a_text_to_image_checkpoint_becomes_image_to_image(models):
    made, expected = (
        images_of(backend_of(models[name], **IMG2IMG).generate([request()])) for name in ("text_to_image", "img2img")
    )
    np.testing.assert_array_equal(made, expected)


def test_strength_says_how_much_of_the_image_is_replaced(models):
    weak, strong = (
        images_of(backend_of(models["img2img"], **{**IMG2IMG, "strength": strength}).generate([request()]))[0]
        for strength in (0.2, 0.8)
    )
    assert np.abs(weak.astype(int) - strong).mean() > 1


def test_without_options_the_defaults_of_the_models_card_hold(models):
    backend = backend_of(models["xl_img2img"])
    expected = expected_of(models["xl_img2img"], [request()], {})
    np.testing.assert_array_equal(images_of(backend.generate([request()])), expected)


def test_an_unknown_pipeline_is_called_image_by_image(models):
    backend = in_batches(backend_of(models["consistency_img2img"], num_inference_steps=2, strength=0.8), 4)
    rows = rows_through(loaded_pipeline(backend).unet)
    made = images_of(backend.generate(requests(3)))
    assert set(rows) == {1}
    arguments = {"num_inference_steps": 2, "strength": 0.8}
    for one, image in zip(requests(3), made, strict=True):
        np.testing.assert_array_equal([image], expected_of(models["consistency_img2img"], [one], arguments))


def test_pipeline_kwargs_reach_the_call(models):
    backend = backend_of(models["xl_instruct_pix2pix"], pipeline_kwargs={"guidance_rescale": 0.7}, **INSTRUCT)
    expected = expected_of(models["xl_instruct_pix2pix"], [request()], {**INSTRUCT, "guidance_rescale": 0.7})
    np.testing.assert_array_equal(images_of(backend.generate([request()])), expected)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("instruct_pix2pix", {"strength": 0.5}, r"takes no strength; it takes .*image_guidance_scale"),
        ("img2img", {"image_guidance_scale": 1.5}, r"takes no image_guidance_scale; it takes .*strength"),
        ("text_to_image", {"image_guidance_scale": 1.5}, r"Img2ImgPipeline .*takes no image_guidance_scale"),
        (
            "img2img",
            {"preset": "fast"},
            r"preset 'fast' is not made for .*: give one of .* 'lcm', 'hyper', or",
        ),
        ("consistency_img2img", {"negative_prompt": "blurred"}, r"takes no negative_prompt; it takes .*strength"),
        ("img2img", {"strength": 0.1, "num_inference_steps": 5}, r"leaves no step"),
        ("img2img", {"strength": 1.0}, r"takes every step.* the source would be lost"),
        ("xl_instruct_pix2pix", {"image_guidance_scale": 0.9}, r"at least 1: below it"),
        ("xl_instruct_pix2pix", {"guidance_scale": 1}, r"above 1: at 1 and below"),
        ("instruct_pix2pix", {"pipeline_kwargs": {"eta": 0.5}}, r"takes nothing by pipeline_kwargs; got eta"),
    ],
)
def test_what_a_pipeline_does_not_accept_is_refused_at_construction(models, name, options, message):
    with pytest.raises(ValueError, match=message):
        backend_of(models[name], **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("img2img", {"pipeline_kwargs": {"true_cfg_scale": 4}}, r"takes no true_cfg_scale"),
        ("img2img", {"scheduler": {"name": "DDIMScheduler", "karras": True}}, r"no option 'karras'; it has .*beta_end"),
    ],
)
def test_what_only_the_loaded_pipeline_knows_is_refused_at_the_first_call(models, name, options, message):
    backend = backend_of(models[name], **options)
    with pytest.raises(ValueError, match=message):
        backend.generate([request()])
