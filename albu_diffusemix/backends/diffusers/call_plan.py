"""How a checkpoint is going to be called: its row of the table with what the user set, checked without loading it."""

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.backends.diffusers.families import INSTRUCT, XL_INSTRUCT, Family, find_family, refuse_by_name
from albu_diffusemix.backends.diffusers.few_steps import FEW_STEPS, FewSteps
from albu_diffusemix.backends.diffusers.settings import FLOW_SCHEDULERS, SCHEDULERS, Settings
from albu_diffusemix.backends.diffusers.strength import taken_strength
from albu_diffusemix.backends.diffusers.versions import installed_diffusers, is_diffusers
from albu_diffusemix.backends.instruct import checked_guidance
from albu_diffusemix.backends.model_files import MODEL_INDEX, read_json
from albu_diffusemix.backends.pixels import aspect_sides

__all__ = ["CallPlan", "make_plan"]

_ANY_FAMILY = ("paper", "official")  # presets that leave all but the template to the family
_INSTRUCTS = (INSTRUCT, XL_INSTRUCT)
_BY_NOISE = {"diffusion": SCHEDULERS, "flow": FLOW_SCHEDULERS, "edm": ()}


class CallPlan(NamedTuple):
    """How a checkpoint is called.

    Attributes:
        family: Its row, or one made from its signature.
        is_known: Whether it stands in the table.
        arguments: For the pipeline's call, those that do not change from request to request.
        template: Around each prompt.
        size: Side of the square that it sees, in pixels; with shape "aspect" the root of the area.
        shape: "square" or "aspect".
        scheduler: The sampler in place of the checkpoint's own, and its options.
        lora: What to merge in, with its scale.

    """

    family: Family
    is_known: bool
    arguments: dict[str, Any]
    template: str
    size: int
    shape: str
    scheduler: str | Mapping[str, Any] | None
    lora: tuple[str, float] | None

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width in pixels at which the model sees an image of this height and width."""
        if self.shape == "square":
            return self.size, self.size
        return aspect_sides(height, width, self.size, self.family.grid, self.family.least)


def make_plan(settings: Settings, class_name: str, folder: Path | None) -> CallPlan:
    """Resolve what the user set for a checkpoint.

    Args:
        settings: Checked one by one.
        class_name: The checkpoint's pipeline.
        folder: Where it is; None where it is not here yet.

    Raises:
        ValueError: The pipeline edits no images, lacks a package, or does not go with a setting.

    """
    known = find_family(class_name, partial(_fact, settings, folder))
    family = known or _family_by_signature(class_name, settings.model_id)
    few = _few_steps(settings, family)
    _check_packages(settings, family, has_lora=few is not None)
    _check_options(settings, family, is_known=known is not None)
    _check_scheduler(settings, family)
    lora = (settings.lora, settings.lora_scale) if settings.lora else (few.lora, few.lora_scale) if few else None
    return CallPlan(
        family,
        known is not None,
        _arguments(settings, family, few),
        _template(settings, family),
        _checked_size(settings, family),
        settings.shape,
        _scheduler(settings, family, few),
        lora,
    )


def _fact(settings: Settings, folder: Path | None, name: str) -> Any:
    """Tell what a checkpoint's configuration says; None where it says nothing, or is not here."""
    index = read_json(folder / MODEL_INDEX) if folder else {}
    if name == "id":
        return f"{settings.model_id} {index.get('_name_or_path', '')}"
    part, _, entry = name.rpartition("/")
    if not part:
        return index.get(entry)
    config = folder / part / "config.json" if folder else None
    return read_json(config).get(entry) if config and config.is_file() else None


def _family_by_signature(class_name: str, model_id: str) -> Family:
    """Make a row for a pipeline that is not in the table, from its call alone.

    Raises:
        ValueError: Its name or its call says that it edits no images.

    """
    refuse_by_name(class_name, model_id)
    from albu_diffusemix.backends.diffusers.signatures import read_signature  # noqa: PLC0415  imports diffusers

    return read_signature(class_name, model_id)


def _check_packages(settings: Settings, family: Family, *, has_lora: bool) -> None:
    if not is_diffusers(family.since):
        raise ValueError(
            f"{family.pipeline} of {settings.model_id!r} needs diffusers {family.since} or newer, here is "
            f"{installed_diffusers()}: pip install -U diffusers"
        )
    needed = (*family.packages, "peft") if has_lora else family.packages
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        raise ValueError(
            f"{family.pipeline} of {settings.model_id!r} needs {', '.join(missing)}, not installed here: pip install "
            f"{' '.join(missing)}"
        )


def _few_steps(settings: Settings, family: Family) -> FewSteps | None:
    few = FEW_STEPS.get((family.pipeline, settings.preset))
    if few is not None or settings.preset in _ANY_FAMILY:
        return few
    if family.pipeline in _INSTRUCTS and family.noise == "diffusion" and settings.preset in ("fast", "fastest"):
        return None
    own = [preset for pipeline, preset in FEW_STEPS if pipeline == family.pipeline]
    raise ValueError(
        f"preset {settings.preset!r} is not made for {family.pipeline} of {settings.model_id!r}: give one of "
        f"{', '.join(map(repr, (*_ANY_FAMILY, *own)))}, or num_inference_steps and scheduler"
    )


def _check_options(settings: Settings, family: Family, *, is_known: bool) -> None:
    for option in settings.call_options:
        if option not in family.options:
            taken = ", ".join(family.options)
            raise ValueError(f"{family.pipeline} of {settings.model_id!r} takes no {option}; it takes {taken}")
    if family.pipeline == INSTRUCT and settings.pipeline_kwargs:
        names = ", ".join(settings.pipeline_kwargs)
        raise ValueError(f"{INSTRUCT} takes nothing by pipeline_kwargs; got {names}")
    for name in settings.pipeline_kwargs or {}:
        if name in family.fixed:
            raise ValueError(f"pipeline_kwargs holds {name!r}, which {family.name} needs as it is: leave it out")
    if not is_known and settings.shape != "square" and family.sized != "sides":
        raise ValueError(f"{family.pipeline} of {settings.model_id!r} is not known to take other shapes than squares")


def _check_scheduler(settings: Settings, family: Family) -> None:
    chosen = settings.scheduler
    name = chosen["name"] if isinstance(chosen, Mapping) else chosen
    allowed = _BY_NOISE.get(family.noise)
    if name is not None and allowed is not None and name not in allowed:
        raise ValueError(
            f"scheduler {name} does not go with {family.pipeline} of {settings.model_id!r}: "
            f"{'give one of ' + ', '.join(allowed) if allowed else 'leave it out'}"
        )


def _checked_size(settings: Settings, family: Family) -> int:
    size = settings.size or family.size
    if family.sized == "fixed" and size != family.size:
        raise ValueError(
            f"{family.pipeline} of {settings.model_id!r} always draws {family.size:,} x {family.size:,} pixels: leave "
            f"size out; got {size}"
        )
    if size < family.least:
        raise ValueError(
            f"size must be at least {family.least} pixels for {family.pipeline} of {settings.model_id!r}; got {size}"
        )
    below = size // family.grid * family.grid
    if size == below:
        return size
    near = " or ".join(str(side) for side in (below, below + family.grid) if side)
    raise ValueError(
        f"size must be a multiple of {family.grid} pixels for {family.pipeline} of {settings.model_id!r}: give {near}; "
        f"got {size}"
    )


def _template(settings: Settings, family: Family) -> str:
    if family.pipeline in _INSTRUCTS or settings.preset == "official":
        template = str(settings.or_preset("template"))
    else:
        template = settings.template or family.template
    return template if family.image_mark in template else f"{family.image_mark} {template}"


def _arguments(settings: Settings, family: Family, few: FewSteps | None) -> dict[str, Any]:
    """Return what goes into each call, under the names there."""
    values = {**family.defaults, **(few.values if few else {}), **settings.call_options}
    if family.pipeline in _INSTRUCTS and family.noise == "diffusion":
        presets = ("num_inference_steps", "guidance_scale", "image_guidance_scale")
        values = {**{name: settings.or_preset(name) for name in presets}, **settings.call_options}
    if family.pipeline in _INSTRUCTS:
        checked_guidance(values["guidance_scale"], values["image_guidance_scale"])
    if "strength" in values and "num_inference_steps" in values:
        values["strength"] = taken_strength(values["num_inference_steps"], values["strength"], family.noise)
    if family.options.get("guidance_scale") == "true_cfg_scale" and values["guidance_scale"] <= 1:
        values.pop("negative_prompt", None)  # it would be ignored, with a line in the log for each image
    named = {family.options[name]: value for name, value in values.items()}
    return {**named, **family.fixed, **(settings.pipeline_kwargs or {})}


def _scheduler(settings: Settings, family: Family, few: FewSteps | None) -> str | Mapping[str, Any] | None:
    if settings.scheduler is not None or few is not None:
        return settings.chosen_scheduler or (few.scheduler if few else None)
    uses_presets = family.pipeline in _INSTRUCTS and family.noise == "diffusion"
    chosen: str | Mapping[str, Any] | None = settings.or_preset("scheduler") if uses_presets else None
    return chosen
