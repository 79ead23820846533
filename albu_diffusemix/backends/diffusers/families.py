"""The pipelines that are known by name: what they accept, and which of them take batches."""

from typing import Any

from albu_diffusemix.backends.diffusers.settings import Settings
from albu_diffusemix.backends.instruct import guidance_of

__all__ = ["INSTRUCT", "XL_INSTRUCT", "call_arguments", "editing_class", "takes_batches"]

INSTRUCT = "StableDiffusionInstructPix2PixPipeline"
XL_INSTRUCT = "StableDiffusionXLInstructPix2PixPipeline"

_GUIDED_BY_IMAGE = ("num_inference_steps", "guidance_scale", "image_guidance_scale", "negative_prompt")
_NOISED_IMAGE = ("num_inference_steps", "guidance_scale", "strength", "negative_prompt")
_OPTIONS_OF = {
    INSTRUCT: _GUIDED_BY_IMAGE,
    XL_INSTRUCT: _GUIDED_BY_IMAGE,
    "StableDiffusionImg2ImgPipeline": _NOISED_IMAGE,
    "StableDiffusionXLImg2ImgPipeline": _NOISED_IMAGE,
}
"""Exactly these take batches; to some of the others a list of images means references for one."""

_EDITING_CLASSES = {
    "StableDiffusionPipeline": "StableDiffusionImg2ImgPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLImg2ImgPipeline",
}
_ANY_PIPELINE = ("paper", "official")  # presets that give other pipelines than InstructPix2Pix their template alone


def editing_class(class_name: str) -> str:
    """Return the pipeline that edits images with the parts of `class_name`, mostly `class_name` itself."""
    return _EDITING_CLASSES.get(class_name, class_name)


def takes_batches(class_name: str) -> bool:
    """Return whether a list of images means one edited image for each."""
    return class_name in _OPTIONS_OF


def call_arguments(settings: Settings, class_name: str) -> dict[str, Any]:
    """Return the arguments for the call of a pipeline, those that do not change from request to request.

    Args:
        settings: Checked settings.
        class_name: The pipeline's class, as `editing_class` gives it.

    Raises:
        ValueError: The pipeline does not accept one of them, as far as it is known by name.

    """
    known = _OPTIONS_OF.get(class_name)
    for option in settings.call_options:
        if known is not None and option not in known:
            raise ValueError(f"{class_name} of {settings.model_id!r} takes no {option}; it takes {', '.join(known)}")
    if class_name in (INSTRUCT, XL_INSTRUCT):
        return _instruct_arguments(settings, class_name)
    if settings.preset not in _ANY_PIPELINE:
        raise ValueError(
            f"preset {settings.preset!r} is made for InstructPix2Pix, not for {class_name} of {settings.model_id!r}: "
            "give num_inference_steps and scheduler instead"
        )
    _check_strength(settings)
    return {**settings.call_options, **(settings.pipeline_kwargs or {})}


def _instruct_arguments(settings: Settings, class_name: str) -> dict[str, Any]:
    guidance_of(settings)  # checks it
    if class_name == INSTRUCT and settings.pipeline_kwargs:
        names = ", ".join(settings.pipeline_kwargs)
        raise ValueError(f"{class_name} takes nothing by pipeline_kwargs; got {names}")
    presets = {name: settings.or_preset(name) for name in _GUIDED_BY_IMAGE if name != "negative_prompt"}
    return {**presets, **settings.call_options, **(settings.pipeline_kwargs or {})}


def _check_strength(settings: Settings) -> None:
    steps, strength = settings.num_inference_steps, settings.strength
    if steps is not None and strength is not None and int(steps * strength) < 1:
        raise ValueError(
            f"strength {strength} of num_inference_steps {steps} leaves no step: raise one of them until their product "
            "is at least 1"
        )
