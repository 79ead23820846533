"""What a pipeline's call takes, for those that are not in the table."""

import inspect
from collections.abc import Mapping
from typing import Any

import diffusers
from diffusers.pipelines.auto_pipeline import AUTO_IMAGE2IMAGE_PIPELINES_MAPPING, AUTO_TEXT2IMAGE_PIPELINES_MAPPING

from albu_diffusemix.backends.diffusers.families import CALL_OPTIONS, Family

__all__ = ["call_parameters", "pipeline_of", "read_signature"]

_FRAMES = ("num_frames", "frames", "num_frames_per_chunk", "video", "video_length")
_CONTROLS = ("control_image", "controlnet_conditioning_scale", "condtioning_image", "adapter_conditioning_scale")


def pipeline_of(class_name: str, model_id: str) -> Any:
    """Return a class of diffusers.

    Raises:
        ValueError: This version has none of that name.

    """
    found = getattr(diffusers, class_name, None)
    if found is None:
        raise ValueError(
            f"diffusers {diffusers.__version__} has no {class_name}, which {model_id!r} asks for: pip install -U "
            "diffusers"
        )
    return found


def call_parameters(pipeline: Any) -> Mapping[str, inspect.Parameter]:
    """Return the arguments of a pipeline's call, of the class or of an instance."""
    return inspect.signature(pipeline.__call__).parameters


def read_signature(class_name: str, model_id: str) -> Family:
    """Make a row of the table for a pipeline that is not in it.

    Raises:
        ValueError: Its call shows that it edits no image by a prompt.

    """
    pipeline = _editor_of(pipeline_of(class_name, model_id))
    taken = call_parameters(pipeline)
    image_name = next((name for name in ("image", "input_images", "images") if name in taken), None)
    options = {name: name for name in CALL_OPTIONS if name in taken}
    if "true_cfg_scale" in taken:
        options.setdefault("guidance_scale", "true_cfg_scale")
    given = {image_name, "prompt", "self", *options.values()}
    needed = [name for name, one in taken.items() if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    unknown = [name for name in needed if name not in given]
    faults = {
        "makes video": any(name in taken for name in _FRAMES),
        "wants a mask beside the image": "mask_image" in taken,
        "takes the image for a control map, not for a source to edit": any(name in taken for name in _CONTROLS),
        "takes no image to edit": image_name is None,
        "takes no prompt": "prompt" not in taken,
        f"needs {', '.join(unknown)} in its call": bool(unknown),
    }
    for fault, holds in faults.items():
        if holds:
            raise ValueError(f"{class_name} of {model_id!r} {fault}: give a checkpoint that edits images by a prompt")
    return Family(
        class_name,
        pipeline.__name__,
        options,
        from_text=() if pipeline.__name__ == class_name else (class_name,),
        image="picture" if image_name == "image" else "pictures",
        image_name=str(image_name),
        sized="sides" if {"height", "width"} <= set(taken) else "image",
        grid=8,
        size=256,
        noise="unknown",
        dtype="bfloat16" if "transformer" in inspect.signature(pipeline.__init__).parameters else "float16",
        template="{prompt}" if "strength" in taken else Family._field_defaults["template"],
    )


def _editor_of(pipeline: Any) -> Any:
    """Return the image-to-image pipeline with the same parts, for one that takes text alone."""
    for kind, text_class in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.items():
        if text_class is pipeline and "image" not in call_parameters(pipeline):
            return AUTO_IMAGE2IMAGE_PIPELINES_MAPPING.get(kind, pipeline)
    return pipeline
