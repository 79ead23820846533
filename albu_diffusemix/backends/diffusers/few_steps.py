"""Presets of few steps: a LoRA with the sampler and the numbers that its card gives, for each pipeline that takes it.

None was tried here with real weights: that a preset is named says how it is called, and not that it is good.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from albu_diffusemix.backends.diffusers.families import INSTRUCT

__all__ = ["FEW_STEPS", "FewSteps"]


class FewSteps(NamedTuple):
    """Settings that go together.

    Attributes:
        values: For the call, by our names.
        scheduler: The sampler, and its options.
        lora: What is merged in.
        source: Where these numbers stand.
        lora_scale: How much of the LoRA.

    """

    values: Mapping[str, Any]
    scheduler: Mapping[str, Any] | None
    lora: str
    source: str
    lora_scale: float = 1.0


_LCM = {"name": "LCMScheduler"}
_SHIFT = math.log(3)
_LIGHTNING = {
    "name": "FlowMatchEulerDiscreteScheduler",
    "base_image_seq_len": 256,
    "max_image_seq_len": 8192,
    "base_shift": _SHIFT,
    "max_shift": _SHIFT,
    "shift": 1.0,
    "shift_terminal": None,
    "time_shift_type": "exponential",
    "use_dynamic_shifting": True,
}
_TRAILING_DDIM = {"name": "DDIMScheduler", "timestep_spacing": "trailing"}
_TRAILING_EULER = {"name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}
_CARD_OF_LCM = "https://huggingface.co/latent-consistency/lcm-lora-sdv1-5"
_CARD_OF_HYPER = "https://huggingface.co/ByteDance/Hyper-SD"
_CARD_OF_QWEN = "https://huggingface.co/lightx2v/Qwen-Image-Lightning"


def _values(steps: int, guidance: float, **more: float) -> dict[str, Any]:
    return {"num_inference_steps": steps, "guidance_scale": guidance, **more}


FEW_STEPS = {
    (INSTRUCT, "lcm"): FewSteps(
        _values(8, 2.0, image_guidance_scale=1.0), _LCM, "latent-consistency/lcm-lora-sdv1-5", _CARD_OF_LCM
    ),
    ("StableDiffusionImg2ImgPipeline", "lcm"): FewSteps(
        _values(8, 1.0, strength=0.6), _LCM, "latent-consistency/lcm-lora-sdv1-5", _CARD_OF_LCM
    ),
    ("StableDiffusionImg2ImgPipeline", "hyper"): FewSteps(
        _values(8, 5.0, strength=0.6),
        _TRAILING_DDIM,
        "ByteDance/Hyper-SD/Hyper-SD15-8steps-CFG-lora.safetensors",
        _CARD_OF_HYPER,
    ),
    ("StableDiffusionXLImg2ImgPipeline", "lcm"): FewSteps(
        _values(8, 1.0, strength=0.6),
        _LCM,
        "latent-consistency/lcm-lora-sdxl",
        "https://huggingface.co/latent-consistency/lcm-lora-sdxl",
    ),
    ("StableDiffusionXLImg2ImgPipeline", "hyper"): FewSteps(
        _values(8, 5.0, strength=0.6),
        _TRAILING_DDIM,
        "ByteDance/Hyper-SD/Hyper-SDXL-8steps-CFG-lora.safetensors",
        _CARD_OF_HYPER,
    ),
    ("StableDiffusionXLImg2ImgPipeline", "lightning"): FewSteps(
        _values(4, 0.0, strength=0.6),
        _TRAILING_EULER,
        "ByteDance/SDXL-Lightning/sdxl_lightning_4step_lora.safetensors",
        "https://huggingface.co/ByteDance/SDXL-Lightning",
    ),
    ("FluxImg2ImgPipeline", "hyper"): FewSteps(
        _values(8, 3.5, strength=0.6),
        None,
        "ByteDance/Hyper-SD/Hyper-FLUX.1-dev-8steps-lora.safetensors",
        _CARD_OF_HYPER,
        0.125,
    ),
    ("QwenImageImg2ImgPipeline", "lightning"): FewSteps(
        _values(8, 1.0, strength=0.6),
        _LIGHTNING,
        "lightx2v/Qwen-Image-Lightning/Qwen-Image-Lightning-8steps-V1.1.safetensors",
        _CARD_OF_QWEN,
    ),
    ("QwenImageEditPipeline", "lightning"): FewSteps(
        _values(8, 1.0),
        _LIGHTNING,
        "lightx2v/Qwen-Image-Lightning/Qwen-Image-Edit-Lightning-8steps-V1.0-bf16.safetensors",
        _CARD_OF_QWEN,
    ),
    ("QwenImageEditPlusPipeline", "lightning"): FewSteps(
        _values(8, 1.0),
        _LIGHTNING,
        "lightx2v/Qwen-Image-Lightning/Qwen-Image-Edit-2509/Qwen-Image-Edit-2509-Lightning-8steps-V1.0-bf16.safetensors",
        _CARD_OF_QWEN,
    ),
}
"""By pipeline and name of the preset. Strengths, and the scales of InstructPix2Pix, are ours: no card gives them."""
