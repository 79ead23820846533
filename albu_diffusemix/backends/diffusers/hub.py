"""Where a model is: a folder here, the Hub's cache, or the Hub itself."""

from pathlib import Path

from albu_diffusemix.backends.diffusers.checkpoint import pipeline_class
from albu_diffusemix.backends.diffusers.families import INSTRUCT
from albu_diffusemix.backends.diffusers.settings import Settings
from albu_diffusemix.backends.model_files import MODEL_INDEX, cached_snapshot
from albu_diffusemix.text import in_one_line

__all__ = ["PAPER_MODEL", "download", "known_class", "local_folder"]

PAPER_MODEL = "timbrooks/instruct-pix2pix"
_PATIENCE = 10  # seconds


def known_class(settings: Settings) -> str | None:
    """Return the model's pipeline as far as that is known without downloading its weights.

    Raises:
        ValueError: The model may not be downloaded, and is not here; or it is not a checkpoint.

    """
    folder = local_folder(settings)
    if folder is not None:
        return pipeline_class(folder)
    if settings.local_files_only:
        raise ValueError(_how_to_get(settings, "and local_files_only forbids to download it"))
    return INSTRUCT if settings.model_id == PAPER_MODEL else _class_on_hub(settings)


def local_folder(settings: Settings) -> Path | None:
    """Return the model's folder as far as it is here; in the Hub's cache files may be missing."""
    return Path(settings.model_id) if settings.is_local else cached_snapshot(settings.model_id, settings.revision)


def _class_on_hub(settings: Settings) -> str | None:
    """Read the one small file that names the pipeline from the Hub; None where that does not answer at once."""
    from huggingface_hub import HfApi, hf_hub_download  # noqa: PLC0415  only for models of the Hub

    try:
        # A download asks six times with pauses between: where there is no network, half a minute.
        HfApi().model_info(settings.model_id, revision=settings.revision, timeout=_PATIENCE)
        index = hf_hub_download(settings.model_id, MODEL_INDEX, revision=settings.revision)
    except Exception:  # noqa: BLE001  no network, or no access: said when the model is loaded
        return None
    return pipeline_class(Path(index).parent)


def download(settings: Settings) -> Path:
    """Return the folder of a model, downloaded where it is not here.

    Raises:
        ValueError: It is not here and cannot be downloaded; the message says how to get it.

    """
    if settings.is_local:
        return Path(settings.model_id)
    from diffusers import DiffusionPipeline  # noqa: PLC0415  seconds

    left_out = {} if settings.safety_checker else {"safety_checker": None}
    try:
        return Path(
            DiffusionPipeline.download(
                settings.model_id,
                revision=settings.revision,
                variant=settings.variant,
                local_files_only=settings.local_files_only,
                **left_out,
            )
        )
    except Exception as error:
        cause = error.__cause__ or error
        if "GatedRepoError" in (type(error).__name__, type(cause).__name__):
            raise ValueError(_how_to_enter(settings.model_id)) from error
        raise ValueError(_how_to_get(settings, f"and cannot be downloaded ({in_one_line(cause)})")) from error


def _how_to_enter(model_id: str) -> str:
    return (
        f"model {model_id!r} is gated: accept its terms at https://huggingface.co/{model_id}, then run once: "
        "hf auth login"
    )


def _how_to_get(settings: Settings, why: str) -> str:
    options = {"revision": settings.revision, "variant": settings.variant}
    given = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
    return (
        f"model {settings.model_id!r} is not in the Hub's cache {why}. With a network, run once: "
        f'python -c "from diffusers import DiffusionPipeline as P; print(P.download({settings.model_id!r}{given}))"; '
        "or copy the folder that it prints, and give its path as model_id"
    )
