"""From a checkpoint to an editor: the slow part, done at the first call."""

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from albu_diffusemix.backends.diffusers.call_plan import CallPlan, make_plan
from albu_diffusemix.backends.diffusers.checkpoint import check_files, pipeline_class
from albu_diffusemix.backends.diffusers.denoising import InstructEditor
from albu_diffusemix.backends.diffusers.families import INSTRUCT
from albu_diffusemix.backends.diffusers.hub import download
from albu_diffusemix.backends.diffusers.memory import keep_in_float32, place, quantization
from albu_diffusemix.backends.diffusers.probe import check_by_probe
from albu_diffusemix.backends.diffusers.settings import Settings
from albu_diffusemix.backends.diffusers.signatures import call_parameters, pipeline_of
from albu_diffusemix.backends.diffusers.stock import StockEditor
from albu_diffusemix.backends.diffusers.versions import is_diffusers
from albu_diffusemix.backends.editing import Editor
from albu_diffusemix.backends.instruct import guidance_of
from albu_diffusemix.backends.torch_devices import choose_device, choose_dtype
from albu_diffusemix.text import in_one_line

__all__ = ["load"]


def load(settings: Settings) -> tuple[Editor, CallPlan]:
    """Load a model onto its device.

    Raises:
        ValueError: The model is not here, broken, or does not accept a setting; the device cannot be used.

    """
    device = choose_device(settings.device)
    folder = download(settings)
    check_files(folder, settings.variant, safety_checker=settings.safety_checker)
    plan = make_plan(settings, pipeline_class(folder), folder)
    pipeline = _read(folder, settings, plan, choose_dtype(settings.dtype, device, plan.family.dtype))
    _check_call(pipeline, plan, settings)
    _set_scheduler(pipeline, plan)
    _add_lora(pipeline, plan, settings)
    if plan.family.vae_dtype is not None:
        keep_in_float32(pipeline.vae)
    place(pipeline, settings, device)
    return _editor(pipeline, plan, settings), plan


def _read(folder: Path, settings: Settings, plan: CallPlan, dtype: torch.dtype) -> Any:
    class_name = pipeline_class(folder)
    saved_class = pipeline_of(class_name, settings.model_id)
    options: dict[str, Any] = {}
    accepted = inspect.signature(saved_class.__init__).parameters
    if "safety_checker" in accepted and not settings.safety_checker:
        options = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if "add_watermarker" in accepted:
        options["add_watermarker"] = False
    options.update(plan.family.loaded_with)
    options.update(quantization(settings, folder, dtype))
    try:
        with _no_bars():
            reader: Any = diffusers.DiffusionPipeline
            pipeline = reader.from_pretrained(
                folder, **_in(dtype), variant=settings.variant, local_files_only=True, **options
            )
            if class_name != plan.family.pipeline:
                pipeline = diffusers.AutoPipelineForImage2Image.from_pipe(pipeline)
    except Exception as error:
        raise ValueError(f"cannot load {class_name} from {folder}: {_reason(error)}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _in(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """Return the argument of `from_pretrained` for a dtype, which has another name in older versions."""
    return {"dtype" if is_diffusers("0.40") else "torch_dtype": dtype}


def _reason(error: Exception) -> str:
    """Say in one line what went wrong, with what to install where a package is missing."""
    said = f"{type(error).__name__}: {in_one_line(error)}"
    if isinstance(error, ImportError | NameError):  # diffusers leaves out names whose packages are missing
        return f"a package is missing ({said}); pip install torchvision sentencepiece protobuf"
    return said


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


def _check_call(pipeline: Any, plan: CallPlan, settings: Settings) -> None:
    accepted = call_parameters(pipeline)
    for name in plan.arguments:
        if name not in accepted:
            raise ValueError(
                f"{type(pipeline).__name__} of {settings.model_id!r} takes no {name}; it takes {', '.join(accepted)}"
            )


def _set_scheduler(pipeline: Any, plan: CallPlan) -> None:
    """Build the scheduler from the checkpoint's own configuration, which nothing has changed yet."""
    if plan.scheduler is None:
        return
    options = dict(plan.scheduler) if isinstance(plan.scheduler, Mapping) else {"name": plan.scheduler}
    scheduler = getattr(diffusers, options.pop("name"))
    accepted = inspect.signature(scheduler).parameters
    unknown = [name for name in options if name not in accepted]
    if unknown:
        raise ValueError(f"{scheduler.__name__} has no option {unknown[0]!r}; it has {', '.join(accepted)}")
    try:
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **options)
    except Exception as error:
        raise ValueError(f"{scheduler.__name__} cannot be made with {options}: {in_one_line(error)}") from error


def _add_lora(pipeline: Any, plan: CallPlan, settings: Settings) -> None:
    """Merge a LoRA into the weights, so that it costs nothing later."""
    if plan.lora is None:
        return
    name, scale = plan.lora
    if not hasattr(pipeline, "load_lora_weights"):
        raise ValueError(f"{type(pipeline).__name__} of {settings.model_id!r} takes no LoRA")
    source, file = _place_of_lora(name)
    try:
        pipeline.load_lora_weights(source, local_files_only=settings.local_files_only, **file)
        pipeline.fuse_lora(lora_scale=scale)
        pipeline.unload_lora_weights()
    except Exception as error:
        raise ValueError(f"cannot load lora {name!r}: {in_one_line(error)}") from error


def _place_of_lora(name: str) -> tuple[str, dict[str, str]]:
    """Return the folder or the id on the Hub of a LoRA, and the argument that names its file there."""
    path = Path(name)
    if path.is_file():
        return str(path.parent), {"weight_name": path.name}
    if path.exists() or path.suffix != ".safetensors":
        return name, {}
    owner, repository, *file = name.split("/")
    return f"{owner}/{repository}", {"weight_name": "/".join(file)}


def _editor(pipeline: Any, plan: CallPlan, settings: Settings) -> Editor:
    if plan.family.pipeline == INSTRUCT:
        return InstructEditor(
            pipeline,
            num_inference_steps=settings.or_preset("num_inference_steps"),
            guidance=guidance_of(settings),
            negative_prompt=settings.negative_prompt or "",
        )
    editor = StockEditor(pipeline, plan)
    check_by_probe(editor, plan)
    return editor
