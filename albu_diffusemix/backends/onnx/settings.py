"""What a user may set, checked as far as it can be without loading a graph."""

import json
import math
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.backends.onnx.denoising import Guidance
from albu_diffusemix.backends.onnx.layout import Layout, check_size, read_layout
from albu_diffusemix.backends.onnx.samplers import Plan, plan_steps
from albu_diffusemix.backends.onnx.scheduler_options import SAMPLERS, read_options
from albu_diffusemix.backends.presets import PRESETS, check_guidance, check_template

__all__ = ["Settings", "guidance_of", "plan_of", "read_settings"]

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_PACKAGES = ("onnxruntime", "tokenizers")
_DATA: dict[str, tuple[Any, str]] = {
    "providers": (str | list | tuple, "'auto', a name, or a list of names or of pairs of a name and its options"),
    "session_options": (Mapping | None, "a mapping of onnxruntime's options, or None"),
    "scheduler": (str | Mapping | None, "a name, a mapping with its 'name' and options, or None"),
}


class Settings(NamedTuple):
    """All arguments of the backend."""

    model: str
    revision: str | None
    providers: str | tuple[Any, ...]
    session_options: dict[str, Any]
    size: int
    batch_size: int | None
    preset: str
    num_inference_steps: int | None
    guidance_scale: float | None
    image_guidance_scale: float | None
    negative_prompt: str | None
    scheduler: str | dict[str, Any] | None
    template: str | None
    local_files_only: bool


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Check all arguments, and keep them as plain data that nobody else holds.

    Raises:
        ValueError: A package or a file is missing, or a value is not allowed; the message says which and what is.

    """
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        raise ValueError(
            f"backend 'onnx' needs {', '.join(missing)}, not installed here: pip install 'albu-diffusemix[onnx]'"
        )
    for name in _DATA:
        _check_data(name, given[name])
    settings = Settings(
        **{
            **given,
            "providers": given["providers"] if isinstance(given["providers"], str) else tuple(given["providers"]),
            "session_options": dict(given["session_options"] or {}),
            "scheduler": dict(given["scheduler"]) if isinstance(given["scheduler"], Mapping) else given["scheduler"],
        }
    )
    _check_choices(settings)
    _check_numbers(settings)
    guidance_of(settings)
    check_template(settings.template)
    _check_runtime(settings)
    _check_model(settings)
    return settings


def guidance_of(settings: Settings) -> Guidance:
    """Give the scales, the preset's where the user gave none."""
    preset = PRESETS[settings.preset]
    by_prompt = preset.guidance_scale if settings.guidance_scale is None else settings.guidance_scale
    by_image = preset.image_guidance_scale if settings.image_guidance_scale is None else settings.image_guidance_scale
    check_guidance(by_prompt, by_image)
    return Guidance(by_prompt, by_image)


def plan_of(settings: Settings, layout: Layout) -> Plan:
    """Work out the sampler's steps for a model.

    Raises:
        ValueError: The sampler is not known here, or the size or the number of steps does not suit the model.

    """
    check_size(settings.size, layout)
    preset = PRESETS[settings.preset]
    wanted = preset.scheduler if settings.scheduler is None else settings.scheduler
    steps = preset.num_inference_steps if settings.num_inference_steps is None else settings.num_inference_steps
    return plan_steps(read_options(layout.scheduler, wanted), steps)


def _check_data(name: str, value: Any) -> None:
    kinds, words = _DATA[name]
    if not isinstance(value, kinds):
        raise ValueError(f"{name} must be {words}; got {value!r}")  # noqa: TRY004  one type of error
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold plain data, which JSON can hold ({error}); got {value!r}") from error


def _check_runtime(settings: Settings) -> None:
    """Refuse what onnxruntime here does not have; it is imported only where something is asked of it."""
    if settings.providers == "auto" and not settings.session_options:
        return
    from albu_diffusemix.backends.onnx.sessions import choose_providers, make_options  # noqa: PLC0415  see above

    choose_providers(settings.providers)
    make_options(settings.session_options)


def _check_model(settings: Settings) -> None:
    model = settings.model
    if not isinstance(model, str) or not (Path(model).exists() or _HUB_ID.fullmatch(model)):
        raise ValueError(f"model {model!r} is neither a folder here nor a Hub id such as 'owner/name'")
    if Path(model).is_file():
        raise ValueError(f"model {model!r} is a file: give the folder that 'albu-diffusemix export-onnx' made")
    if Path(model).is_dir():
        plan_of(settings, read_layout(Path(model)))


def _check_choices(settings: Settings) -> None:
    if not isinstance(settings.preset, str) or settings.preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(map(repr, PRESETS))}; got {settings.preset!r}")
    if not isinstance(settings.local_files_only, bool):
        raise ValueError(f"local_files_only must be True or False; got {settings.local_files_only!r}")  # noqa: TRY004  one type of error
    for option in ("revision", "negative_prompt"):
        value = getattr(settings, option)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{option} must be a string; got {value!r}")
    name = settings.scheduler.get("name") if isinstance(settings.scheduler, Mapping) else settings.scheduler
    if settings.scheduler is not None and (not isinstance(name, str) or name not in SAMPLERS):
        raise ValueError(
            f"scheduler must be one of {', '.join(SAMPLERS)}, or a mapping with its 'name' and options; "
            f"got {settings.scheduler!r}"
        )


def _check_numbers(settings: Settings) -> None:
    counts = {name: getattr(settings, name) for name in ("size", "batch_size", "num_inference_steps")}
    for name, count in counts.items():
        if count is None and name != "size":
            continue
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be a whole number of at least 1; got {count!r}")
    for name in ("guidance_scale", "image_guidance_scale"):
        scale = getattr(settings, name)
        is_number = isinstance(scale, int | float) and not isinstance(scale, bool)
        if scale is not None and not (is_number and math.isfinite(scale)):
            raise ValueError(f"{name} must be a finite number; got {scale!r}")
