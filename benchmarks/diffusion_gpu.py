"""Images a second of InstructPix2Pix, and of a loop like the released code's: one image and one prompt at a time.

The architecture is the true one with random weights, so nothing is downloaded, and what is drawn is noise.
"""

import gc
import itertools
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from skimage import data
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from albu_diffusemix.backends import Request, create_backend
from albu_diffusemix.backends.diffusers import PRESETS
from albu_diffusemix.prompts import PAPER_PROMPTS, PAPER_TEMPLATE
from benchmarks.lines import GENERATION

LOOP_STEPS = 100
MATRIX = 8192
SECONDS = 5.0


class Rate(NamedTuple):
    """What one way of generating reaches; TFLOP an image, and how many images were not finite."""

    way: str
    compiled: bool
    images_per_second: float
    tflop: float
    nonfinite: int


def save_true_size(folder: Path, device: str) -> Path:
    """Save InstructPix2Pix on Stable Diffusion 1.5 with random weights in float16, 2 GB."""
    torch.manual_seed(0)
    with torch.device(device):
        unet = UNet2DConditionModel(
            in_channels=8, sample_size=64, cross_attention_dim=768, block_out_channels=(320, 640, 1280, 1280)
        )
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
            sample_size=512,
        )
        text = CLIPTextConfig(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            bos_token_id=512,
            eos_token_id=513,
            pad_token_id=513,
        )
        encoder = CLIPTextModel(text)
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=vae.half(),
        text_encoder=encoder.half(),
        tokenizer=_tokenizer(),
        unet=unet.half(),
        scheduler=EulerAncestralDiscreteScheduler(**schedule),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def bf16_rate(device: str, side: int = MATRIX, seconds: float = 1.0) -> float:
    """TFLOP/s of the device at bfloat16 matrix products."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    products = _repeat(lambda: left @ right, device, seconds)
    return products * 2 * side**3 / 1e12


def measure(
    model: Path,
    size: int,
    device: str,
    *,
    batch_size: int,
    compiled: tuple[bool, ...] = (False, True),
    steps: int | None = None,
    seconds: float = SECONDS,
) -> list[Rate]:
    """Measure the loop first, then each preset, in this process and one after the other.

    Args:
        model: A saved InstructPix2Pix.
        size: Side of the images in pixels.
        device: Where.
        batch_size: Of ours; the loop has 1.
        compiled: Whether to measure without and with `torch.compile`.
        steps: Denoising steps in place of everybody's own.
        seconds: For how long at least.

    """
    dtype = torch.float16 if device.startswith("cuda") else torch.float32
    pass_cost, autoencoder_cost = _costs(model, size, device, dtype)
    loop_steps = steps or LOOP_STEPS
    rates = [
        Rate(
            "the loop",
            compiled=False,
            images_per_second=_loop_rate(model, size, device, dtype, loop_steps, seconds),
            tflop=loop_steps * 3 * pass_cost + autoencoder_cost,
            nonfinite=0,
        )
    ]
    ways = [(preset, with_compile) for with_compile in compiled for preset in GENERATION]
    for preset, with_compile in ways:
        options = {"preset": preset, "compile": with_compile, "batch_size": batch_size}
        if steps is not None:
            options["num_inference_steps"] = steps
        per_second, nonfinite = _preset_rate(model, size, device, options, seconds)
        passes = 2 if PRESETS[preset].image_guidance_scale == 1 else 3
        work = (steps or PRESETS[preset].num_inference_steps) * passes * pass_cost + autoencoder_cost
        rates.append(Rate(preset, with_compile, per_second, work, nonfinite))
    return rates


def table(rates: list[Rate], peak: float, title: str) -> str:
    """Write the rates as a table in Markdown, with their ratios to the loop and to the lines."""
    loop = rates[0].images_per_second
    rows = [
        title,
        "",
        "| | compiled | images/s | TFLOP an image | share of the bf16 rate | against the loop | line |",
        "|---|---|---|---|---|---|---|",
    ]
    for rate in rates:
        ratio, line = rate.images_per_second / loop, GENERATION.get(rate.way)
        verdict = "" if line is None else f"{line} x, {line.verdict(ratio)}"
        rows.append(
            f"| {rate.way} | {'yes' if rate.compiled else 'no'} | {rate.images_per_second:.2f} | {rate.tflop:.1f} "
            f"| {rate.images_per_second * rate.tflop / peak:.1%} | {ratio:.1f} x | {verdict} |"
        )
    return "\n".join(rows)


def _tokenizer():
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer({word: number for number, word in enumerate(words)}, [], model_max_length=77)


def _photograph(size):
    return cv2.resize(data.astronaut(), (size, size), interpolation=cv2.INTER_AREA)


def _batch(size, count):
    prompts = PAPER_PROMPTS
    box = (0, 0, size, size)
    return [Request(_photograph(size), prompts[seed % len(prompts)], seed, None, box) for seed in range(count)]


def _stock(model, device, dtype):
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(model, dtype=dtype, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _preset_rate(model, size, device, options, seconds):
    """Images a second of our backend, and how many of the first batch are not finite."""
    _empty(device)
    backend = create_backend(
        {"name": "instruct_pix2pix", "model_id": str(model), "size": size, "device": device, **options}
    )
    batch = _batch(size, options["batch_size"])
    first = backend.generate(batch)  # loads, compiles, warms up
    rate = len(batch) * _repeat(lambda: backend.generate(batch), device, seconds)
    return rate, sum(made.status == "nonfinite" for made in first)


def _loop_rate(model, size, device, dtype, steps, seconds):
    """Images a second of one call of the pipeline for each image and prompt."""
    _empty(device)
    pipeline = _stock(model, device, dtype)
    picture = Image.fromarray(_photograph(size))
    prompts = itertools.cycle(PAPER_PROMPTS)

    def one():
        prompt = PAPER_TEMPLATE.replace("{prompt}", next(prompts))
        pipeline(prompt, picture, num_inference_steps=steps, guidance_scale=4.0, image_guidance_scale=1.5)

    one()
    return _repeat(one, device, seconds)


def _costs(model, size, device, dtype):
    """TFLOP of one pass of the network for one sample, and of encoding and decoding one image."""
    pipeline = _stock(model, device, dtype)
    latent = torch.zeros(1, 8, size // 8, size // 8, device=device, dtype=dtype)
    text = torch.zeros(1, 77, pipeline.unet.config.cross_attention_dim, device=device, dtype=dtype)
    image = torch.zeros(1, 3, size, size, device=device, dtype=dtype)
    with torch.no_grad():
        with FlopCounterMode(display=False) as network:
            pipeline.unet(latent, 1, encoder_hidden_states=text)
        with FlopCounterMode(display=False) as autoencoder:
            pipeline.vae.decode(pipeline.vae.encode(image).latent_dist.mode())
    return network.get_total_flops() / 1e12, autoencoder.get_total_flops() / 1e12


def _repeat(function, device, seconds):
    """Calls a second, over at least so many seconds."""
    _wait(device)
    start, calls = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds or not calls:
        function()
        calls += 1
        _wait(device)
    return calls / max(elapsed, time.perf_counter() - start)


def _wait(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _empty(device):
    """Give back the memory of models that nobody holds any more."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
