"""What a user may set, checked as far as it can be without loading anything."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albu_diffusemix.backends import option_rules
from albu_diffusemix.backends.diffusers.families import CALL_OPTIONS, INSTRUCT
from albu_diffusemix.backends.diffusers.few_steps import FEW_STEPS
from albu_diffusemix.backends.editing import EditingSettings
from albu_diffusemix.backends.presets import PRESETS

__all__ = ["FLOW_SCHEDULERS", "PACKAGES", "QUANTIZED", "RULES", "SCHEDULERS", "Settings", "check_pipeline_kwargs"]

SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)
"""Samplers for models of diffusion, whose noise comes from the generator of each sample alone."""

FLOW_SCHEDULERS = ("FlowMatchEulerDiscreteScheduler",)
"""Samplers for models of flow, which say the steps' noise levels themselves."""

_LATENT_STRIDE = 8  # pixels that a latent stands for, along a side
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_SET_BY_US = (
    "prompt", "image", "images", "input_images", "generator", "output_type", "return_dict", "height", "width",
    "max_area", "output_resolution", "num_images_per_prompt",
)  # fmt: skip
PACKAGES = ("torch", "diffusers", "transformers", "accelerate")
QUANTIZED = ("8bit", "4bit")
"""Ways to use less memory that change what is drawn."""


@dataclass(frozen=True)
class Settings(EditingSettings):
    """All options of the backend."""

    model_id: str
    variant: str | None
    size: int | None
    shape: str
    memory: str
    dtype: str
    device: str
    strength: float | None
    lora: str | None
    lora_scale: float
    compile: bool
    channels_last: bool | None
    safety_checker: bool
    pipeline_kwargs: dict[str, Any] | None

    @property
    def is_local(self) -> bool:
        """Whether the model is a folder here."""
        return Path(self.model_id).is_dir()

    @property
    def call_options(self) -> dict[str, Any]:
        """The arguments for the pipeline's call that the user gave."""
        return {name: value for name in CALL_OPTIONS if (value := getattr(self, name)) is not None}

    @property
    def chosen_scheduler(self) -> str | dict[str, Any] | None:
        """The sampler that the user gave; a `shift` holds in place of one that follows from the size."""
        if isinstance(self.scheduler, dict) and "shift" in self.scheduler:
            return {"use_dynamic_shifting": False, **self.scheduler}
        return self.scheduler

    def or_preset(self, name: str) -> Any:
        """Return an option of InstructPix2Pix, or the preset's value where the user gave none."""
        value = getattr(self, name)
        few = FEW_STEPS.get((INSTRUCT, self.preset))
        if value is None and few is not None:
            value = few.scheduler if name == "scheduler" else few.values.get(name)
        return getattr(PRESETS.get(self.preset, PRESETS["paper"]), name) if value is None else value


RULES = {
    "model_id": option_rules.model_folder("diffusers saved"),
    "variant": option_rules.TEXT.or_none(),
    "dtype": option_rules.one_of("auto", "float32", "float16", "bfloat16"),
    "device": option_rules.Rule(
        "'auto', 'cuda', 'cuda:<number>', 'mps' or 'cpu'",
        lambda value: isinstance(value, str) and _DEVICE.fullmatch(value) is not None,
    ),
    "size": option_rules.Rule(
        f"a multiple of {_LATENT_STRIDE} pixels, such as 256",
        lambda value: option_rules.COUNT.holds(value) and value % _LATENT_STRIDE == 0,
    ).or_none(),
    "shape": option_rules.one_of("square", "aspect"),
    "memory": option_rules.one_of("full", "offload", "sequential", *QUANTIZED),
    "preset": option_rules.one_of(*PRESETS, *dict.fromkeys(preset for _, preset in FEW_STEPS)),
    "strength": option_rules.Rule(
        "a number in (0, 1], the share of the steps that are taken",
        lambda value: option_rules.is_number(value) and 0 < value <= 1,
    ).or_none(),
    "scheduler": option_rules.scheduler_of((*SCHEDULERS, *FLOW_SCHEDULERS)).or_none(),
    "lora": option_rules.LORA.or_none(),
    "lora_scale": option_rules.NUMBER,
    "compile": option_rules.FLAG,
    "channels_last": option_rules.FLAG.or_none(),
    "safety_checker": option_rules.FLAG,
    "pipeline_kwargs": option_rules.MAPPING.or_none(),
}
"""What the options may be that not all editing backends have."""


def check_pipeline_kwargs(settings: Settings) -> None:
    """Raise ValueError where arguments are given for the pipeline's call that have their place elsewhere."""
    for name in settings.pipeline_kwargs or {}:
        if name in CALL_OPTIONS:
            raise ValueError(f"pipeline_kwargs holds {name!r}: give it to the backend itself, as {name}=")
        if name in _SET_BY_US or "embeds" in name:
            raise ValueError(f"pipeline_kwargs holds {name!r}, which the backend sets for each request: leave it out")
