"""From a checkpoint to an editor: the slow part, done at the first call."""

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from albu_diffusemix.backends.diffusers.checkpoint import check_files, pipeline_class
from albu_diffusemix.backends.diffusers.denoising import InstructEditor
from albu_diffusemix.backends.diffusers.families import (
    INSTRUCT,
    XL_INSTRUCT,
    call_arguments,
    editing_class,
    takes_batches,
)
from albu_diffusemix.backends.diffusers.hub import download
from albu_diffusemix.backends.diffusers.settings import Settings
from albu_diffusemix.backends.diffusers.stock import BatchEditor, SingleEditor, image_argument
from albu_diffusemix.backends.editing import Editor
from albu_diffusemix.backends.instruct import guidance_of
from albu_diffusemix.backends.torch_devices import choose_device, choose_dtype

__all__ = ["load"]


def load(settings: Settings) -> Editor:
    """Load a model onto its device.

    Raises:
        ValueError: The model is not here, broken, or does not accept a setting; the device cannot be used.

    """
    device = choose_device(settings.device)
    folder = download(settings)
    check_files(folder, settings.variant, safety_checker=settings.safety_checker)
    arguments = call_arguments(settings, editing_class(pipeline_class(folder)))
    pipeline = _read(folder, settings, choose_dtype(settings.dtype, device))
    _check_call(pipeline, arguments, settings)
    _set_scheduler(pipeline, settings)
    _add_lora(pipeline, settings)
    _place(pipeline, settings, device)
    return _editor(pipeline, arguments, settings)


def _read(folder: Path, settings: Settings, dtype: torch.dtype) -> Any:
    class_name = pipeline_class(folder)
    options: dict[str, Any] = {}
    accepted = inspect.signature(getattr(diffusers, class_name, diffusers.DiffusionPipeline).__init__).parameters
    if "safety_checker" in accepted and not settings.safety_checker:
        options = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if "add_watermarker" in accepted:
        options["add_watermarker"] = False
    try:
        with _no_bars():
            reader: Any = diffusers.DiffusionPipeline
            pipeline = reader.from_pretrained(
                folder, dtype=dtype, variant=settings.variant, local_files_only=True, **options
            )
            if image_argument(pipeline) is None:
                pipeline = diffusers.AutoPipelineForImage2Image.from_pipe(pipeline)
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"cannot load {class_name} from {folder}: {reason}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Keep the libraries from drawing progress bars over those of our user."""
    shown = [
        logging for logging in (diffusers.utils.logging, transformers.logging) if logging.is_progress_bar_enabled()
    ]
    for logging in shown:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        for logging in shown:
            logging.enable_progress_bar()


def _check_call(pipeline: Any, arguments: Mapping[str, Any], settings: Settings) -> None:
    accepted = inspect.signature(pipeline.__call__).parameters
    for name in arguments:
        if name not in accepted:
            raise ValueError(
                f"{type(pipeline).__name__} of {settings.model_id!r} takes no {name}; it takes {', '.join(accepted)}"
            )


def _set_scheduler(pipeline: Any, settings: Settings) -> None:
    """Build the scheduler from the checkpoint's own configuration, which nothing has changed yet."""
    is_instruct = type(pipeline).__name__ in (INSTRUCT, XL_INSTRUCT)
    chosen = settings.or_preset("scheduler") if is_instruct else settings.scheduler
    if chosen is None:
        return
    options = dict(chosen) if isinstance(chosen, Mapping) else {"name": chosen}
    scheduler = getattr(diffusers, options.pop("name"))
    accepted = inspect.signature(scheduler).parameters
    unknown = [name for name in options if name not in accepted]
    if unknown:
        raise ValueError(f"{scheduler.__name__} has no option {unknown[0]!r}; it has {', '.join(accepted)}")
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **options)


def _add_lora(pipeline: Any, settings: Settings) -> None:
    """Merge a LoRA into the weights, so that it costs nothing later."""
    if settings.lora is None:
        return
    if not hasattr(pipeline, "load_lora_weights"):
        raise ValueError(f"{type(pipeline).__name__} of {settings.model_id!r} takes no LoRA")
    path = Path(settings.lora)
    named = {"weight_name": path.name} if path.is_file() else {}
    source = path.parent if path.is_file() else settings.lora
    try:
        pipeline.load_lora_weights(source, local_files_only=settings.local_files_only, **named)
        pipeline.fuse_lora(lora_scale=settings.lora_scale)
        pipeline.unload_lora_weights()
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ValueError(f"cannot load lora {settings.lora!r}: {' '.join(str(error).split())}") from error


def _place(pipeline: Any, settings: Settings, device: torch.device) -> None:
    pipeline.to(device)
    network = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    wants_channels_last = device.type == "cuda" if settings.channels_last is None else settings.channels_last
    convolutional = [part for part in (getattr(pipeline, "unet", None), getattr(pipeline, "vae", None)) if part]
    if wants_channels_last:
        for part in convolutional:
            part.to(memory_format=torch.channels_last)
    if settings.compile and network is not None:
        network.compile(dynamic=False)


def _editor(pipeline: Any, arguments: dict[str, Any], settings: Settings) -> Editor:
    class_name = type(pipeline).__name__
    if class_name != INSTRUCT:
        return BatchEditor(pipeline, arguments) if takes_batches(class_name) else SingleEditor(pipeline, arguments)
    return InstructEditor(
        pipeline,
        num_inference_steps=settings.or_preset("num_inference_steps"),
        guidance=guidance_of(settings),
        negative_prompt=settings.negative_prompt or "",
    )
