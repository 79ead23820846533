"""Where a model lies: a folder here, the Hub's cache, or the Hub itself."""

from pathlib import Path

from albu_diffusemix.backends.diffusers.checkpoint import INDEX, pipeline_class
from albu_diffusemix.backends.diffusers.families import INSTRUCT
from albu_diffusemix.backends.diffusers.settings import Settings

__all__ = ["PAPER_MODEL", "cached_folder", "download", "known_class"]

PAPER_MODEL = "timbrooks/instruct-pix2pix"


def known_class(settings: Settings) -> str | None:
    """Name the model's pipeline as far as that is known without a network.

    Raises:
        ValueError: The model is to be found here, and is not; or it is no checkpoint.

    """
    if settings.is_local:
        return pipeline_class(Path(settings.model_id))
    folder = cached_folder(settings)
    if folder is not None:
        return pipeline_class(folder)
    if settings.local_files_only:
        raise ValueError(_how_to_get(settings, "and local_files_only forbids to download it"))
    return INSTRUCT if settings.model_id == PAPER_MODEL else None


def cached_folder(settings: Settings) -> Path | None:
    """Find the model in the Hub's cache; some of its files may be missing there."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  only for models of the Hub

    index = try_to_load_from_cache(settings.model_id, INDEX, revision=settings.revision)
    return Path(index).parent if isinstance(index, str) else None


def download(settings: Settings) -> Path:
    """Give the folder of a model, downloaded if need be.

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
        reason = " ".join(str(error.__cause__ or error).split())
        raise ValueError(_how_to_get(settings, f"and cannot be downloaded ({reason})")) from error


def _how_to_get(settings: Settings, why: str) -> str:
    options = {"revision": settings.revision, "variant": settings.variant}
    given = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
    return (
        f"model {settings.model_id!r} is not in the Hub's cache {why}. With a network, run once: "
        f'python -c "from diffusers import DiffusionPipeline as P; print(P.download({settings.model_id!r}{given}))"; '
        "or copy the folder that it prints, and give its path as model_id"
    )
