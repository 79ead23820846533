"""Where the folder of graphs lies: here, in the Hub's cache, or on the Hub."""

from pathlib import Path

from albu_diffusemix.backends.onnx.layout import PARTS
from albu_diffusemix.backends.onnx.settings import Settings

__all__ = ["cached_commit", "find_folder"]

_INDEX = "model_index.json"


def find_folder(settings: Settings) -> Path:
    """Give the folder of the graphs, downloaded if need be.

    Raises:
        ValueError: It is not here and cannot be downloaded.

    """
    if Path(settings.model).is_dir():
        return Path(settings.model)
    from huggingface_hub import snapshot_download  # noqa: PLC0415  only for models of the Hub; tokenizers brings it

    try:
        return Path(
            snapshot_download(
                settings.model,
                revision=settings.revision,
                local_files_only=settings.local_files_only,
                allow_patterns=[_INDEX, *(f"{folder}/*" for folder in (*PARTS, "scheduler", "tokenizer"))],
            )
        )
    except Exception as error:  # a network has many ways to fail
        reason = " ".join(str(error).split())
        raise ValueError(
            f"model {settings.model!r} is not in the Hub's cache and cannot be downloaded ({reason}): export it with "
            "'albu-diffusemix export-onnx MODEL -o DIR', and give the folder as model"
        ) from error


def cached_commit(settings: Settings) -> str | None:
    """Name the commit of a model of the Hub, as far as it is here."""
    if Path(settings.model).is_dir():
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  as above

    index = try_to_load_from_cache(settings.model, _INDEX, revision=settings.revision)
    return Path(index).parent.name if isinstance(index, str) else None
