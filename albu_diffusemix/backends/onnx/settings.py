"""What a user may set, checked as far as it can be without loading a graph."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albu_diffusemix.backends import option_rules
from albu_diffusemix.backends.editing import EditingSettings
from albu_diffusemix.backends.instruct import guidance_of
from albu_diffusemix.backends.onnx.layout import Layout, check_size, read_layout
from albu_diffusemix.backends.onnx.samplers import Sampler, make_sampler
from albu_diffusemix.backends.onnx.scheduler_options import SAMPLERS, read_options

__all__ = ["RULES", "Settings", "check_settings", "sampler_of"]


@dataclass(frozen=True)
class Settings(EditingSettings):
    """All options of the backend."""

    model: str
    size: int
    providers: str | tuple[Any, ...]
    session_options: dict[str, Any] | None


RULES = {
    "model": option_rules.model_folder("'albu-diffusemix export-onnx' made"),
    "scheduler": option_rules.scheduler_of(SAMPLERS).or_none(),
    "providers": option_rules.Rule(
        "'auto', a name, or a list of names or of pairs of a name and its options",
        lambda value: isinstance(value, str | list | tuple) and option_rules.is_plain(value),
    ),
    "session_options": option_rules.MAPPING.or_none(),
}
"""What the options may be that not all editing backends have."""


def check_settings(settings: Settings) -> None:
    """Check what a rule for one option alone cannot say.

    Raises:
        ValueError: A file is missing, or options do not go with each other, the model or this onnxruntime.

    """
    guidance_of(settings)
    _check_runtime(settings)
    if Path(settings.model).is_dir():
        sampler_of(settings, read_layout(Path(settings.model)))


def sampler_of(settings: Settings, layout: Layout) -> Sampler:
    """Return the sampler with its steps for a model.

    Raises:
        ValueError: The sampler is not known here, or the size or the number of steps does not suit the model.

    """
    check_size(settings.size, layout)
    options = read_options(layout.scheduler, settings.or_preset("scheduler"))
    return make_sampler(options, settings.or_preset("num_inference_steps"))


def _check_runtime(settings: Settings) -> None:
    """Refuse what onnxruntime here does not have; it is imported only where an option needs it."""
    if settings.providers == "auto" and not settings.session_options:
        return
    from albu_diffusemix.backends.onnx.sessions import choose_providers, make_options  # noqa: PLC0415  see above

    choose_providers(settings.providers)
    make_options(settings.session_options or {})
