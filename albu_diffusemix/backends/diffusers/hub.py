"""Where a model is: a folder here, the Hub's cache, or the Hub itself."""

from pathlib import Path

from albu_diffusemix.backends.diffusers.checkpoint import pipeline_class
from albu_diffusemix.backends.diffusers.families import INSTRUCT
from albu_diffusemix.backends.diffusers.settings import Settings
from albu_diffusemix.backends.model_files import cached_snapshot
from albu_diffusemix.text import in_one_line

__all__ = ["PAPER_MODEL", "download", "known_class"]

PAPER_MODEL = "timbrooks/instruct-pix2pix"


def known_class(settings: Settings) -> str | None:
    """Return the model's pipeline as far as that is known without a network.

    Raises:
        ValueError: The model may not be downloaded, and is not here; or it is not a checkpoint.

    """
    if settings.is_local:
        return pipeline_class(Path(settings.model_id))
    folder = cached_snapshot(settings.model_id, settings.revision)
    if folder is not None:
        return pipeline_class(folder)
    if settings.local_files_only:
        raise ValueError(_how_to_get(settings, "and local_files_only forbids to download it"))
    return INSTRUCT if settings.model_id == PAPER_MODEL else None


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
        reason = in_one_line(error.__cause__ or error)
        raise ValueError(_how_to_get(settings, f"and cannot be downloaded ({reason})")) from error


def _how_to_get(settings: Settings, why: str) -> str:
    options = {"revision": settings.revision, "variant": settings.variant}
    given = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
    return (
        f"model {settings.model_id!r} is not in the Hub's cache {why}. With a network, run once: "
        f'python -c "from diffusers import DiffusionPipeline as P; print(P.download({settings.model_id!r}{given}))"; '
        "or copy the folder that it prints, and give its path as model_id"
    )
