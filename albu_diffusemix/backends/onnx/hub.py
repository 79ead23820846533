"""Where the folder of graphs is: here, in the Hub's cache, or on the Hub."""

from pathlib import Path

from albu_diffusemix.backends.model_files import MODEL_INDEX
from albu_diffusemix.backends.onnx.layout import PARTS
from albu_diffusemix.backends.onnx.settings import Settings
from albu_diffusemix.text import in_one_line

__all__ = ["find_folder"]


def find_folder(settings: Settings) -> Path:
    """Return the folder of the graphs, downloaded where it is not here.

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
                allow_patterns=[MODEL_INDEX, *(f"{folder}/*" for folder in (*PARTS, "scheduler", "tokenizer"))],
            )
        )
    except Exception as error:  # a network has many ways to fail
        reason = in_one_line(error)
        raise ValueError(
            f"model {settings.model!r} is not in the Hub's cache and cannot be downloaded ({reason}): export it with "
            "'albu-diffusemix export-onnx MODEL -o DIR', and give the folder as model"
        ) from error
