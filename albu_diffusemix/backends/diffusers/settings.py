"""What a user may set, checked as far as it can be without loading anything."""

import json
import math
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.backends.presets import PRESETS, check_template, fill

__all__ = ["SCHEDULERS", "Settings", "check_settings", "fill_template"]

MODEL_STRIDE = 8
"""Sizes are multiples of it in pixels: a latent stands for a block of 8x8."""

DTYPES = ("auto", "float32", "float16", "bfloat16")
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
    "UniPCMultistepScheduler",
)
"""Samplers whose noise comes from the generator of each sample alone."""

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SCALES = ("guidance_scale", "image_guidance_scale", "strength")
_OURS = ("prompt", "image", "input_images", "generator", "output_type", "return_dict", "height", "width")
_PACKAGES = ("torch", "diffusers", "transformers", "accelerate")


class Settings(NamedTuple):
    """All arguments of the backend; `knobs` are those for the pipeline's call that the user gave."""

    model_id: str
    revision: str | None
    variant: str | None
    dtype: str
    device: str
    size: int
    batch_size: int | None
    preset: str
    knobs: dict[str, Any]
    scheduler: str | Mapping[str, Any] | None
    template: str | None
    lora: str | None
    lora_scale: float
    compile: bool
    channels_last: bool | None
    safety_checker: bool
    local_files_only: bool
    pipeline_kwargs: dict[str, Any]

    @property
    def is_local(self) -> bool:
        """Whether the model is a folder here."""
        return Path(self.model_id).is_dir()


def fill_template(settings: Settings, prompt: str) -> str:
    """Wrap the template around a prompt."""
    return fill(PRESETS[settings.preset].template if settings.template is None else settings.template, prompt)


def check_settings(settings: Settings, backend: str) -> None:
    """Refuse what can never work.

    Raises:
        ValueError: A package is missing, or a value is not allowed; the message says which and what is.

    """
    _check_packages(settings, backend)
    _check_model(settings)
    _check_choices(settings)
    _check_numbers(settings)
    _check_scheduler(settings.scheduler)
    _check_pipeline_kwargs(settings.pipeline_kwargs)
    check_template(settings.template)
    negative_prompt = settings.knobs.get("negative_prompt", "")
    if not isinstance(negative_prompt, str):
        raise ValueError(f"negative_prompt must be a string; got {negative_prompt!r}")  # noqa: TRY004  one type of error


def _check_packages(settings: Settings, backend: str) -> None:
    needed = (*_PACKAGES, "peft") if settings.lora is not None else _PACKAGES
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        raise ValueError(
            f"backend {backend!r} needs {', '.join(missing)}, not installed here: "
            "pip install 'albu-diffusemix[diffusers]'"
        )


def _check_model(settings: Settings) -> None:
    for name, value in (("model_id", settings.model_id), ("lora", settings.lora)):
        if value is None and name == "lora":
            continue
        if not isinstance(value, str) or not (Path(value).exists() or _HUB_ID.fullmatch(value)):
            raise ValueError(f"{name} {value!r} is neither a folder here nor a Hub id such as 'owner/name'")
    if Path(settings.model_id).is_file():
        raise ValueError(f"model_id {settings.model_id!r} is a file: give a folder that diffusers saved, or a Hub id")


def _check_choices(settings: Settings) -> None:
    allowed = {"preset": tuple(PRESETS), "dtype": DTYPES, "channels_last": (None, True, False)}
    flags = dict.fromkeys(("compile", "safety_checker", "local_files_only"), (True, False))
    for name, choices in {**allowed, **flags}.items():
        value = getattr(settings, name)
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
            raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")
    if not isinstance(settings.device, str) or not _DEVICE.fullmatch(settings.device):
        raise ValueError(f"device must be 'auto', 'cuda', 'cuda:<number>', 'mps' or 'cpu'; got {settings.device!r}")


def _check_numbers(settings: Settings) -> None:
    if not _is_whole(settings.size) or settings.size < MODEL_STRIDE or settings.size % MODEL_STRIDE:
        raise ValueError(f"size must be a multiple of {MODEL_STRIDE} pixels, such as 256; got {settings.size!r}")
    counts = {"batch_size": settings.batch_size, "num_inference_steps": settings.knobs.get("num_inference_steps")}
    for name, count in counts.items():
        if count is not None and (not _is_whole(count) or count < 1):
            raise ValueError(f"{name} must be a whole number of at least 1; got {count!r}")
    scales: dict[str, Any] = {"lora_scale": settings.lora_scale}
    scales |= {name: value for name, value in settings.knobs.items() if name in _SCALES}
    for name, scale in scales.items():
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale):
            raise ValueError(f"{name} must be a finite number; got {scale!r}")
    strength = settings.knobs.get("strength")
    if strength is not None and not 0 < strength <= 1:
        raise ValueError(f"strength must lie in (0, 1], as the share of the steps that are taken; got {strength!r}")


def _check_scheduler(scheduler: str | Mapping[str, Any] | None) -> None:
    if scheduler is None:
        return
    name = scheduler.get("name") if isinstance(scheduler, Mapping) else scheduler
    if name not in SCHEDULERS:
        raise ValueError(
            f"scheduler must be one of {', '.join(SCHEDULERS)}, or a mapping with its 'name' and options; "
            f"got {scheduler!r}"
        )


def _check_pipeline_kwargs(pipeline_kwargs: dict[str, Any]) -> None:
    named = ("num_inference_steps", "guidance_scale", "image_guidance_scale", "strength", "negative_prompt")
    for name in pipeline_kwargs:
        if name in named:
            raise ValueError(f"pipeline_kwargs holds {name!r}: give it to the backend itself, as {name}=")
        if name in _OURS or "embeds" in name:
            raise ValueError(f"pipeline_kwargs holds {name!r}, which the backend sets for each request: leave it out")
    try:
        json.dumps(pipeline_kwargs)
    except (TypeError, ValueError) as error:
        raise ValueError(f"pipeline_kwargs takes plain data that YAML can hold; got {pipeline_kwargs!r}") from error


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
