"""InstructPix2Pix on a tiny random model, saved and loaded by the real code: equal to the stock pipeline, and pure."""

import pickle
import subprocess
import sys
import threading

import cv2
import diffusers
import numpy as np
import pytest
import tiny_models
import torch
from diffusion_tools import (
    PHOTOGRAPHS,
    SIDE,
    TEMPLATE,
    THIRD_PARTY_WARNINGS,
    backend_of,
    call_stock,
    drawn_by,
    images_of,
    in_batches,
    loaded_pipeline,
    request,
    requests,
    rows_through,
    stock_pipeline,
    threads,
    to_bytes,
)
from PIL import Image

from albu_diffusemix.backends import torch_devices
from albu_diffusemix.backends.diffusers import PRESETS
from albu_diffusemix.backends.diffusers.settings import SCHEDULERS
from albu_diffusemix.functional import to_rgb
from albu_diffusemix.images import read_image
from albu_diffusemix.prompts import PAPER_PROMPTS

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

STEPS = 3
PAPER = {"num_inference_steps": 100, "guidance_scale": 4.0, "image_guidance_scale": 1.5}
DPM = diffusers.DPMSolverMultistepScheduler
EXACTLY_STOCK = {
    "paper": (None, TEMPLATE, PAPER),
    "official": (None, "{}", PAPER),
    "fast": (DPM, TEMPLATE, {**PAPER, "num_inference_steps": 20}),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.save_instruct_pix2pix(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def checked_model(tmp_path_factory):
    return tiny_models.save_instruct_pix2pix(tmp_path_factory.mktemp("models") / "checked", safety_checker=True)


@pytest.fixture(scope="module")
def lora(tmp_path_factory, model):
    return tiny_models.save_lora(tmp_path_factory.mktemp("models") / "lora", model)


@pytest.fixture(scope="module")
def backend(model):
    return backend_of(model, num_inference_steps=STEPS)


@pytest.mark.parametrize("preset", EXACTLY_STOCK)
def test_a_preset_is_bit_equal_to_the_stock_pipeline_with_its_parameters(model, preset):
    scheduler, template, arguments = EXACTLY_STOCK[preset]
    [made] = images_of(backend_of(model, preset=preset).generate([request(seed=5)]))
    [expected] = to_bytes(call_stock(stock_pipeline(model, scheduler), [request(seed=5)], template, **arguments))
    np.testing.assert_array_equal(made, expected)


def test_the_two_pass_form_of_fastest_is_the_stock_pipelines_three_passes_but_for_rounding(model):
    [drawn] = drawn_by(backend_of(model, preset="fastest"), [request(seed=5)])
    arguments = {"num_inference_steps": 10, "guidance_scale": 4.0, "image_guidance_scale": 1.0}
    [expected] = call_stock(stock_pipeline(model, DPM), [request(seed=5)], **arguments)
    np.testing.assert_allclose(drawn, expected, atol=2e-4)


def test_all_presets_are_tested():
    assert set(PRESETS) == {*EXACTLY_STOCK, "fastest"}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_is_bit_equal_to_the_stock_pipelines(model, name):
    backend = in_batches(backend_of(model, scheduler=name, num_inference_steps=4), 2)
    arguments = {**PAPER, "num_inference_steps": 4}
    expected = call_stock(stock_pipeline(model, getattr(diffusers, name)), requests(2), **arguments)
    np.testing.assert_array_equal(images_of(backend.generate(requests(2))), to_bytes(expected))


def test_options_of_a_scheduler_reach_it(model):
    spec = {"name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True}
    backend = backend_of(model, scheduler=spec, num_inference_steps=4)
    pipeline = stock_pipeline(model, DPM, use_karras_sigmas=True)
    expected = call_stock(pipeline, [request()], **{**PAPER, "num_inference_steps": 4})
    np.testing.assert_array_equal(images_of(backend.generate([request()])), to_bytes(expected))


@pytest.mark.parametrize("batch_size", [2, 5])
def test_a_batch_is_bit_equal_to_the_stock_pipeline_called_with_it(model, batch_size):
    backend = in_batches(backend_of(model, num_inference_steps=STEPS, negative_prompt="blurred"), batch_size)
    wanted = requests(batch_size)
    arguments = {**PAPER, "num_inference_steps": STEPS, "negative_prompt": ["blurred"] * batch_size}
    expected = call_stock(stock_pipeline(model), wanted, **arguments)
    np.testing.assert_array_equal(images_of(backend.generate(wanted)), to_bytes(expected))


def test_batches_move_few_pixels_by_one_grey_level(model, backend):
    batched = in_batches(backend_of(model, num_inference_steps=STEPS), 4)
    difference = np.abs(
        np.array(images_of(batched.generate(requests(6))), int) - images_of(backend.generate(requests(6)))
    )
    assert difference.max() <= 1
    assert difference.mean() < 0.005


def test_callers_in_several_threads_change_no_byte(backend):
    wanted = requests(4)
    expected = [images_of(backend.generate([one])) for one in wanted]
    made = [None] * 4

    def work(number):
        made[number] = images_of(backend.generate([wanted[number]]))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    np.testing.assert_array_equal(made, expected)


def test_a_pickled_clone_is_small_and_changes_no_byte(backend):
    expected = images_of(backend.generate(requests(3)))
    pickled = pickle.dumps(backend)
    assert len(pickled) < 2000
    clone = pickle.loads(pickled)  # noqa: S301  our own
    assert clone.fingerprint == backend.fingerprint
    np.testing.assert_array_equal(images_of(clone.generate(requests(3))), expected)


def test_image_prompt_and_seed_each_move_the_counterpart(backend):
    wanted = [request(), request(PHOTOGRAPHS[1]), request(prompt="autumn"), request(seed=1)]
    first, *others = images_of(backend.generate(wanted))
    assert all(np.abs(first.astype(int) - other).mean() > 0.05 for other in others)


def test_each_prompt_is_encoded_once_and_alone(model):
    backend = backend_of(model, num_inference_steps=1)
    rows = rows_through(loaded_pipeline(backend).text_encoder)
    backend.generate(requests(6))
    backend.generate(requests(6))
    assert rows == [1, 1, 1]  # two prompts, and no prompt


def test_an_image_is_encoded_once_for_all_its_prompts_in_a_batch(model):
    backend = in_batches(backend_of(model, num_inference_steps=1), 12)
    rows = rows_through(loaded_pipeline(backend).vae.encoder)
    wanted = [request(image, prompt) for image in PHOTOGRAPHS for prompt in PAPER_PROMPTS[:4]]
    backend.generate(wanted)
    assert rows == [4]  # three images and a copy that fills the chunk; not twelve


@pytest.mark.parametrize(("image_guidance_scale", "passes"), [(1, 2), (1.0, 2), (1.01, 3)])
def test_at_image_guidance_1_two_passes_are_made(model, image_guidance_scale, passes):
    backend = in_batches(backend_of(model, num_inference_steps=2, image_guidance_scale=image_guidance_scale), 4)
    rows = rows_through(loaded_pipeline(backend).unet)
    backend.generate(requests(3))
    assert rows == [4 * passes] * 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (32, 32), (31, 47), (63, 130), (300, 200)])
def test_images_of_every_size_go_through_the_models_square_and_back(model, shape):
    backend = backend_of(model, num_inference_steps=1)
    seen = []
    loaded_pipeline(backend).vae.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    image = cv2.resize(PHOTOGRAPHS[0], shape[::-1], interpolation=cv2.INTER_CUBIC)
    [made] = images_of(backend.generate([request(image)]))
    assert (made.shape, made.dtype) == ((*shape, 3), np.uint8)
    assert seen == [(1, 3, SIDE, SIDE)]


def test_enlarging_does_not_wrap_black_and_white_around(model):
    backend = backend_of(model, num_inference_steps=1)
    halves = torch.ones(1, 3, SIDE, SIDE)
    halves[..., : SIDE // 2] = -1
    loaded_pipeline(backend).vae.decoder.register_forward_hook(lambda *_: halves)
    [made] = images_of(backend.generate([request(cv2.resize(PHOTOGRAPHS[0], (150, 150)))]))
    assert (made.min(), made.max()) == (0, 255)
    assert (np.diff(made.astype(int), axis=1) >= 0).all()


def test_images_of_different_sizes_share_a_batch(model):
    backend = in_batches(backend_of(model, num_inference_steps=STEPS), 4)
    wanted = [request(cv2.resize(PHOTOGRAPHS[0], size)) for size in ((32, 32), (97, 41), (SIDE, SIDE))]
    rows = rows_through(loaded_pipeline(backend).unet)
    together = images_of(backend.generate(wanted))
    assert rows == [12] * STEPS
    for one, made in zip(wanted, together, strict=True):
        np.testing.assert_array_equal(images_of(backend.generate([one]))[0], made)


def test_only_the_box_is_returned(backend):
    image = cv2.resize(PHOTOGRAPHS[0], (50, 70))
    [whole], [part] = (images_of(backend.generate([request(image, box=box)])) for box in (None, (25, 10, 50, 70)))
    np.testing.assert_array_equal(part, whole[10:70, 25:50])
    assert part.flags.c_contiguous


def test_nan_of_one_image_is_its_own_status_and_leaves_its_neighbours_alone(model):
    backend = in_batches(backend_of(model, num_inference_steps=STEPS), 4)
    expected = images_of(backend.generate(requests(4)))
    unet = loaded_pipeline(backend).unet

    def poison(_module, _inputs, output):
        output[0][2] = float("nan")  # the third image in the first pass

    unet.register_forward_hook(poison)
    made = backend.generate(requests(4))
    assert [one.status for one in made] == ["ok", "ok", "nonfinite", "ok"]
    assert made[2].image is None
    np.testing.assert_array_equal([made[number].image for number in (0, 1, 3)], [expected[n] for n in (0, 1, 3)])


def test_one_colour_is_blank_unless_the_image_is(model):
    backend = backend_of(model, num_inference_steps=1)
    decoder = loaded_pipeline(backend).vae.decoder
    decoder.register_forward_hook(lambda _module, _inputs, output: torch.full_like(output, -1))
    made = backend.generate([request(), request(np.zeros((SIDE, SIDE, 3), np.uint8))])
    assert [one.status for one in made] == ["blank", "ok"]


def test_what_the_safety_checker_flags_is_nsfw(checked_model):
    [made] = backend_of(checked_model, num_inference_steps=1, safety_checker=True).generate([request()])
    assert (made.image, made.status, made.prompt) == (None, "nsfw", "snowy")


def test_the_safety_checker_is_off_by_default(checked_model):
    images_of(backend_of(checked_model, num_inference_steps=1).generate([request()]))


def test_no_prompt_means_one_of_the_papers_chosen_by_the_seed(backend):
    made = [backend.generate([request(prompt=None, seed=seed)])[0].prompt for seed in range(12)]
    assert made == [one.prompt for one in backend.generate([request(prompt=None, seed=seed) for seed in range(12)])]
    assert set(made) <= set(PAPER_PROMPTS)
    assert len(set(made)) > 3


def test_a_template_of_the_users_own_is_applied(model):
    mine = backend_of(model, num_inference_steps=STEPS, template="turn it into {prompt}")
    bare = backend_of(model, num_inference_steps=STEPS, preset="official")
    [made] = mine.generate([request(prompt="snowy")])
    assert made.prompt == "snowy"
    np.testing.assert_array_equal(made.image, bare.generate([request(prompt="turn it into snowy")])[0].image)


def test_a_lora_is_merged_in_with_its_scale(model, lora):
    pipeline = stock_pipeline(model)
    pipeline.load_lora_weights(lora)
    pipeline.fuse_lora(lora_scale=0.5)
    expected = to_bytes(call_stock(pipeline, [request()], **{**PAPER, "num_inference_steps": STEPS}))
    backend = backend_of(model, num_inference_steps=STEPS, lora=str(lora), lora_scale=0.5)
    np.testing.assert_array_equal(images_of(backend.generate([request()])), expected)


def test_a_lora_is_felt_and_may_be_a_file(model, lora):
    file = str(lora / "pytorch_lora_weights.safetensors")
    plain, half, whole = (
        images_of(backend_of(model, num_inference_steps=STEPS, **options).generate([request()]))[0].astype(int)
        for options in ({}, {"lora": file, "lora_scale": 0.5}, {"lora": file})
    )
    assert np.abs(plain - half).mean() > 0.5
    assert np.abs(half - whole).mean() > 0.5


@pytest.mark.parametrize("options", [{"channels_last": True}, {"dtype": "bfloat16"}, {"dtype": "float16"}])
def test_memory_format_and_dtype_change_no_more_than_rounding(model, options):
    [plain], [made] = (
        images_of(backend_of(model, num_inference_steps=STEPS, **more).generate([request()])) for more in ({}, options)
    )
    assert np.abs(plain.astype(int) - made).mean() < 3


def test_compile_compiles_the_network_for_one_shape(model, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **options: compiled.append((module, options)))
    pipeline = loaded_pipeline(backend_of(model, compile=True))
    assert compiled == [(pipeline.unet, {"dynamic": False})]


def test_construction_imports_nothing_heavy(model):
    program = (
        "import sys; from albu_diffusemix.backends import create_backend\n"
        f"create_backend({{'name': 'instruct_pix2pix', 'model_id': {str(model)!r}}}).fingerprint\n"
        "sys.exit(bool({'diffusers', 'transformers', 'albu_diffusemix.backends.torch_devices'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_provenance_names_device_threads_dtype_and_versions(backend):
    with threads(5):
        provenance = backend.provenance()
    assert provenance == {
        "device": "cpu",
        "dtype": "float32",
        "threads": "5",
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": provenance["transformers"],
    }


def test_the_batch_size_is_one_on_a_cpu_whatever_is_given(model):
    assert backend_of(model).batch_size == 1
    backend = backend_of(model, batch_size=24, num_inference_steps=1)
    assert backend.batch_size == 1
    rows = rows_through(loaded_pipeline(backend).unet)
    backend.generate(requests(2))
    assert rows == [3, 3]


def test_the_batch_size_is_sixteen_on_a_gpu_unless_given(model, monkeypatch):
    monkeypatch.setattr(torch_devices, "choose_device", lambda _name: torch.device("cuda"))
    assert backend_of(model).batch_size == 16
    assert backend_of(model, batch_size=24).batch_size == 24


@pytest.mark.parametrize(
    "image",
    [PHOTOGRAPHS[0][..., 0], np.dstack([PHOTOGRAPHS[0], PHOTOGRAPHS[0][..., :1]]), PHOTOGRAPHS[0] / np.float32(255)],
    ids=["grey", "RGBA", "float"],
)
def test_what_a_pipeline_would_misread_is_refused(backend, image):
    with pytest.raises(ValueError, match=r"image must be .*RGB"):
        backend.generate([request(image)])


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_files_of_every_mode_come_as_rgb(backend, tmp_path, mode):
    Image.fromarray(PHOTOGRAPHS[0]).convert(mode).save(tmp_path / "image.png")
    images_of(backend.generate([request(to_rgb(read_image(tmp_path / "image.png")))]))
