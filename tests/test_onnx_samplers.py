"""The samplers' tables, the noise and the tokenizer against those of torch, diffusers and transformers."""

import json

import diffusers
import numpy as np
import pytest
import tiny_models
import torch
from diffusion_tools import THIRD_PARTY_WARNINGS
from transformers import CLIPTokenizer

from albu_diffusemix.backends.instruct import Guidance
from albu_diffusemix.backends.onnx.denoising import denoise
from albu_diffusemix.backends.onnx.noise import Noise
from albu_diffusemix.backends.onnx.samplers import make_sampler
from albu_diffusemix.backends.onnx.scheduler_options import SAMPLERS, read_options
from albu_diffusemix.backends.onnx.tokenizer import PromptTokenizer

pytestmark = [
    *[pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS],
    pytest.mark.filterwarnings("ignore:divide by zero encountered in log:RuntimeWarning"),  # diffusers, sigma 0
]

SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
OF_ALL = (
    {},
    {"prediction_type": "v_prediction"},
    {"timestep_spacing": "leading", "steps_offset": 1},
    {"timestep_spacing": "trailing"},
    {"timestep_spacing": "linspace"},
    {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"trained_betas": np.linspace(0.001, 0.02, 1000).tolist()},
)
OF_EACH = {
    "DDIMScheduler": (
        {"clip_sample": False},
        {"clip_sample_range": 2.0},
        {"set_alpha_to_one": False, "steps_offset": 1},
        {"prediction_type": "sample"},
    ),
    "DPMSolverMultistepScheduler": (
        {"solver_order": 1},
        {"solver_type": "heun"},
        {"use_karras_sigmas": True},
        {"final_sigmas_type": "sigma_min"},
        {"final_sigmas_type": "sigma_min", "euler_at_final": True},
        {"lower_order_final": False},
        {"prediction_type": "sample"},
    ),
    "EulerDiscreteScheduler": (
        {"use_karras_sigmas": True},
        {"final_sigmas_type": "sigma_min"},
        {"prediction_type": "sample"},
    ),
    "EulerAncestralDiscreteScheduler": (),
}
CASES = [(name, options) for name in SAMPLERS for options in (*OF_ALL, *OF_EACH[name])]
SHAPE = (1, 4, 8, 8)


def outputs(steps):
    return np.random.default_rng(3).standard_normal((steps, *SHAPE)).astype(np.float32)


def asked_of_diffusers(name, options, steps):
    """What the network is asked, step by step, where it answers with fixed noise; and the last latents."""
    scheduler = getattr(diffusers, name).from_config({**SCHEDULE, **options})
    scheduler.set_timesteps(steps)
    generator = torch.Generator("cpu").manual_seed(5)
    latents = torch.randn(SHAPE, generator=generator) * scheduler.init_noise_sigma
    more = {"generator": generator} if name == "EulerAncestralDiscreteScheduler" else {}
    asked = []
    for step, output in zip(scheduler.timesteps, outputs(steps), strict=True):
        asked.append((float(step), scheduler.scale_model_input(latents, step).numpy()))
        latents = scheduler.step(torch.from_numpy(output), step, latents, return_dict=False, **more)[0]
    return asked, latents.numpy()


def asked_of_ours(name, options, steps):
    sampler = make_sampler(read_options({**SCHEDULE, **options, "_class_name": name}, None), steps)
    asked = []

    def network(sample, timestep):
        asked.append((timestep, sample[:1, :4]))
        return np.concatenate([outputs(steps)[len(asked) - 1]] * 2)

    return asked, denoise(network, sampler, Guidance(4, 1), np.zeros(SHAPE, np.float32), [5])


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_sampler_asks_and_answers_as_the_scheduler_of_that_name_to_float_precision(name, options):
    for steps in (1, 2, 3, 10, 20, 50):
        theirs, last = asked_of_diffusers(name, options, steps)
        ours, ours_last = asked_of_ours(name, options, steps)
        assert [step for step, _ in ours] == pytest.approx([step for step, _ in theirs], abs=1e-3)
        expected, made = [*[sample for _, sample in theirs], last], [*[sample for _, sample in ours], ours_last]
        for one, other in zip(expected, made, strict=True):
            assert np.abs(one - other).max() <= 3e-6 * max(1, np.abs(one).max())


def test_noise_levels_without_any_signal_left_agree_too():
    options = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    for name in SAMPLERS:
        _, last = asked_of_diffusers(name, options, 20)
        assert np.abs(asked_of_ours(name, options, 20)[1] - last).max() <= 3e-5  # diffusers takes 4096 from 4096


@pytest.mark.parametrize("shape", [(1,), (3,), (15,), (16,), (17,), (31,), (4, 8, 8), (4, 5, 7), (4, 32, 32), (1, 1)])
@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1, 2**40 + 7, 2**63 - 1])
def test_noise_is_that_of_torch_draw_after_draw(shape, seed):
    generator, noise = torch.Generator("cpu").manual_seed(seed), Noise(seed)
    for size in (shape, (5,), shape, (40,)):
        np.testing.assert_allclose(noise.draw(size), torch.randn(size, generator=generator), rtol=0, atol=2e-6)


AWKWARD = (
    "",
    " ",
    "snowy",
    "A transformed version of image into ukiyo-e",
    "it's we'll I'd 12345 ... !!!",
    "café CAFÉ e\u0301",
    "雪景色 を描く",
    "🌅👩‍👩‍👧 sunset",
    "tab\tnew\nline\x00\x07\x1b",
    "\u00a0nbsp\u2003wide",
    "word " * 200,
    "<|endoftext|> in the middle <|startoftext|>",
    "İstanbul ﬁ ß",
)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """CLIP's tokenizer with a few merges, saved; and the same as vocabulary and merges alone."""
    folder = tmp_path_factory.mktemp("tokenizer")
    merges = [("s", "n"), ("sn", "o"), ("sno", "w"), ("snow", "y</w>"), ("o", "f</w>"), ("i", "n"), ("in", "t")]
    vocabulary = dict(tiny_models.clip_tokenizer().get_vocab())
    vocabulary |= {left + right: 600 + number for number, (left, right) in enumerate(merges)}
    tokenizer = CLIPTokenizer(vocabulary, merges, model_max_length=77)
    tokenizer.save_pretrained(folder / "whole")
    (folder / "parts").mkdir()
    (folder / "parts" / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2", *[" ".join(pair) for pair in merges]]
    (folder / "parts" / "merges.txt").write_text("\n".join(lines))
    return folder, tokenizer


@pytest.mark.parametrize("form", ["whole", "parts"])
@pytest.mark.parametrize("text", AWKWARD)
def test_tokens_are_those_of_clip(tokenizers, form, text):
    folder, theirs = tokenizers
    expected = theirs(text, padding="max_length", max_length=77, truncation=True).input_ids
    assert PromptTokenizer(folder / form).encode(text).tolist() == [expected]


def test_a_broken_tokenizer_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer\.json cannot be read"):
        PromptTokenizer(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("PNDMScheduler", "must be one of DDIMScheduler"),
        ({"name": "EulerDiscreteScheduler", "eta": 1}, "has no option 'eta'; it has"),
        (
            {"name": "EulerDiscreteScheduler", "use_beta_sigmas": True},
            "use_beta_sigmas of .* can be False with ONNX; got True",
        ),
        ({"name": "DPMSolverMultistepScheduler", "solver_order": 3}, "solver_order of .* can be 1, 2 with ONNX; got 3"),
    ],
)
def test_a_sampler_that_is_not_known_here_is_refused_with_those_that_are(wanted, said):
    with pytest.raises(ValueError, match=said):
        read_options(SCHEDULE, wanted)


def test_more_steps_than_training_had_are_refused():
    with pytest.raises(ValueError, match="at most 1000"):
        make_sampler(read_options(SCHEDULE, "DDIMScheduler"), 1001)
