"""The pipelines that are known by name: what they accept, and which of them take batches."""

from typing import Any

from albu_diffusemix.backends.diffusers.settings import Settings
from albu_diffusemix.backends.presets import PRESETS, check_guidance

__all__ = ["INSTRUCT", "XL_INSTRUCT", "call_arguments", "editing_class", "takes_batches"]

INSTRUCT = "StableDiffusionInstructPix2PixPipeline"
XL_INSTRUCT = "StableDiffusionXLInstructPix2PixPipeline"

_GUIDED_BY_IMAGE = ("num_inference_steps", "guidance_scale", "image_guidance_scale", "negative_prompt")
_NOISED_IMAGE = ("num_inference_steps", "guidance_scale", "strength", "negative_prompt")
_KNOBS = {
    INSTRUCT: _GUIDED_BY_IMAGE,
    XL_INSTRUCT: _GUIDED_BY_IMAGE,
    "StableDiffusionImg2ImgPipeline": _NOISED_IMAGE,
    "StableDiffusionXLImg2ImgPipeline": _NOISED_IMAGE,
}
"""Exactly these take batches; to some of the others a list of images means references for one."""

_EDITING_TWINS = {
    "StableDiffusionPipeline": "StableDiffusionImg2ImgPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLImg2ImgPipeline",
}
_ANY_PIPELINE = ("paper", "official")  # presets that are no more than a template where there is no InstructPix2Pix


def editing_class(class_name: str) -> str:
    """Name the pipeline that edits images with the parts of `class_name`, itself as a rule."""
    return _EDITING_TWINS.get(class_name, class_name)


def takes_batches(class_name: str) -> bool:
    """Say whether a list of images means one edited image for each."""
    return class_name in _KNOBS


def call_arguments(settings: Settings, class_name: str) -> dict[str, Any]:
    """Give the arguments for the call of a pipeline, those that do not change from request to request.

    Args:
        settings: Checked settings.
        class_name: The pipeline's class, as `editing_class` gives it.

    Raises:
        ValueError: The pipeline does not accept one of them, as far as it is known by name.

    """
    known = _KNOBS.get(class_name)
    for knob in settings.knobs:
        if known is not None and knob not in known:
            raise ValueError(f"{class_name} of {settings.model_id!r} takes no {knob}; it takes {', '.join(known)}")
    if class_name in (INSTRUCT, XL_INSTRUCT):
        return _instruct_arguments(settings, class_name)
    if settings.preset not in _ANY_PIPELINE:
        raise ValueError(
            f"preset {settings.preset!r} is made for InstructPix2Pix, not for {class_name} of {settings.model_id!r}: "
            "give num_inference_steps and scheduler in its place"
        )
    _check_strength(settings)
    return {**settings.knobs, **settings.pipeline_kwargs}


def _instruct_arguments(settings: Settings, class_name: str) -> dict[str, Any]:
    preset = PRESETS[settings.preset]
    defaults = {name: getattr(preset, name) for name in _GUIDED_BY_IMAGE if hasattr(preset, name)}
    arguments = {**defaults, **settings.knobs}
    check_guidance(arguments["guidance_scale"], arguments["image_guidance_scale"])
    if class_name == INSTRUCT and settings.pipeline_kwargs:
        names = ", ".join(settings.pipeline_kwargs)
        raise ValueError(f"{class_name} takes nothing by pipeline_kwargs; got {names}")
    return {**arguments, **settings.pipeline_kwargs}


def _check_strength(settings: Settings) -> None:
    steps, strength = settings.knobs.get("num_inference_steps"), settings.knobs.get("strength")
    if steps is not None and strength is not None and int(steps * strength) < 1:
        raise ValueError(
            f"strength {strength} of num_inference_steps {steps} leaves no step: raise one of them until their product "
            "is at least 1"
        )
