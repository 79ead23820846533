"""Checkpoints on disk, read without torch: which pipeline, whether every file is there and whole, and a digest."""

import hashlib
import json
import re
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from albu_diffusemix.backends.model_files import MODEL_INDEX, digest_files, read_json, samples

__all__ = ["check_files", "digest_lora", "digest_weights", "pipeline_class"]

_CHECKER_PARTS = ("safety_checker", "feature_extractor")
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
_SENTENCEPIECE = ("spiece.model", "tokenizer.model")
_SHARD = re.compile(r"-\d{5}-of-(\d{5})")
_VARIANT = re.compile(r"\.([\w-]+?)(?:-\d{5}-of-\d{5})?\.(?:safetensors|bin)$")
_QUANTIZERS = {
    "bitsandbytes": "bitsandbytes",
    "bitsandbytes_4bit": "bitsandbytes",
    "bitsandbytes_8bit": "bitsandbytes",
    "gguf": "gguf",
    "modelopt": "nvidia-modelopt",
    "quanto": "optimum-quanto",
    "torchao": "torchao",
}
_HEADER_LENGTH = 8  # bytes in front of a safetensors header that give its length


def pipeline_class(folder: Path) -> str:
    """Return which pipeline a checkpoint is for.

    Raises:
        ValueError: The folder is not a checkpoint of diffusers, or is one of a pipeline that brings its own code.

    """
    index = folder / MODEL_INDEX
    if not index.is_file():
        raise ValueError(
            f"{folder} has no {MODEL_INDEX}: give a folder that diffusers saved, or a Hub id such as 'owner/name'"
        )
    name = read_json(index).get("_class_name")
    if isinstance(name, str):
        return name
    raise ValueError(f"{index} names {name!r} as its pipeline: only the pipelines of diffusers itself are run")


def check_files(folder: Path, variant: str | None, *, safety_checker: bool) -> None:
    """Check that every file of a checkpoint is there and complete, as far as its first bytes and its length show.

    Args:
        folder: The checkpoint.
        variant: Which of several files of weights is meant, such as "fp16".
        safety_checker: Whether the safety checker is going to be loaded.

    Raises:
        ValueError: A file is missing or broken; the message names it.

    """
    parts = _parts(folder, safety_checker=safety_checker)
    for name, class_name in parts.items():
        part = folder / name
        if not part.is_dir():
            raise ValueError(f"checkpoint {folder} has no folder {name}/: {MODEL_INDEX} asks for a {class_name} in it")
        for path in sorted(part.glob("*.json")):
            read_json(path)
        if _holds_weights(class_name):
            _check_quantizer(_existing(part / "config.json"))
            for path in _weight_files(part, variant):
                _check_weights(path)
        elif "Tokenizer" in class_name:
            _check_tokenizer(part)
        elif "Scheduler" in class_name:
            _existing(part / "scheduler_config.json")
    _check_variant(folder, variant, parts)


def digest_weights(folder: Path, variant: str | None, *, safety_checker: bool) -> str:
    """Return the digest of a checkpoint: its settings, and samples all over its weights, which a fine-tune changes.

    The same files give the same digest wherever they are.
    """
    files: list[Path] = []
    for name, class_name in _parts(folder, safety_checker=safety_checker).items():
        part = folder / name
        weights = _weight_files(part, variant) if _holds_weights(class_name) else []
        files += sorted({*weights, *part.glob("*.json"), *part.glob("*.txt"), *part.glob("*.model")})
    return digest_files(folder, files)


def digest_lora(path: Path) -> str:
    """Return the digest of a LoRA in the same way: a file, or the weights in a folder.

    Raises:
        ValueError: There are no weights, or a file is broken.

    """
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
    if not files:
        raise ValueError(f"lora {str(path)!r} holds no weights: neither .safetensors nor .bin")
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        _check_weights(file)
        for sample in samples(file):
            digest.update(sample)
    return digest.hexdigest()


def _parts(folder: Path, *, safety_checker: bool) -> dict[str, str]:
    """Return the class in each folder that is going to be loaded; a few checkpoints have a part beside the index."""
    index = read_json(folder / MODEL_INDEX)
    left_out = _CHECKER_PARTS if "safety_checker" in index and not safety_checker else ()
    pairs = {name: value for name, value in index.items() if _is_part(value) and name not in left_out}
    has_flat_part = (folder / "config.json").is_file()
    return {
        name: str(class_name)
        for name, (_, class_name) in sorted(pairs.items())
        if class_name is not None and ((folder / name).is_dir() or not has_flat_part)
    }


def _is_part(entry: Any) -> bool:
    """Return whether an entry of the index names a library and a class; other lists are settings of the pipeline."""
    is_pair = isinstance(entry, list) and len(entry) == len(("library", "class"))
    return is_pair and all(name is None or isinstance(name, str) for name in entry)


def _holds_weights(class_name: str) -> bool:
    return not any(kind in class_name for kind in ("Scheduler", "Tokenizer", "Processor", "FeatureExtractor"))


def _weight_files(part: Path, variant: str | None) -> list[Path]:
    """Return the weights that diffusers will load: safetensors before pickles, the variant's before the plain ones."""
    for ending in ("safetensors", "bin"):
        found = sorted(part.glob(f"*.{ending}"))
        chosen = [path for path in found if variant is not None and f".{variant}" in path.stem]
        chosen = chosen or [path for path in found if "." not in path.stem]
        if chosen:
            return sorted({shard for path in chosen for shard in _shards_beside(path)})
    others = sorted({match.group(1) for path in part.iterdir() if (match := _VARIANT.search(path.name))})
    hint = f"; there is variant={others[0]!r}: give it" if others else ""
    raise ValueError(
        f"checkpoint folder {part} has no weights: expected a file such as {_expected(part, variant)}{hint}"
    )


def _shards_beside(path: Path) -> list[Path]:
    match = _SHARD.search(path.name)
    if match is None:
        return [path]
    count = match.group(1)
    return [path.with_name(_SHARD.sub(f"-{number + 1:05d}-of-{count}", path.name)) for number in range(int(count))]


def _expected(part: Path, variant: str | None) -> str:
    model = "model" if "encoder" in part.name or part.name == "safety_checker" else "diffusion_pytorch_model"
    return f"{model}.{variant}.safetensors" if variant else f"{model}.safetensors"


def _check_variant(folder: Path, variant: str | None, parts: dict[str, str]) -> None:
    if variant is None:
        return
    files = [
        path for name, part in parts.items() if _holds_weights(part) for path in _weight_files(folder / name, variant)
    ]
    if not any(f".{variant}" in path.stem for path in files):
        raise ValueError(f"checkpoint {folder} has no weights of variant {variant!r}: leave variant out")


def _check_weights(path: Path) -> None:
    _existing(path)
    if path.suffix == ".bin":
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path} is broken: not a file of weights; download it again")
        return
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_HEADER_LENGTH), "little")
        try:
            header = json.loads(file.read(length)) if length < size else {}
            end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is broken: it has no safetensors header; download it again") from error
    if _HEADER_LENGTH + length + end != size:
        raise ValueError(
            f"{path} is broken: {size} bytes, but {_HEADER_LENGTH + length + end} belong to it; download it again"
        )


def _check_tokenizer(part: Path) -> None:
    if not any((part / name).is_file() for name in _TOKENIZER_FILES):
        raise ValueError(f"checkpoint folder {part} has no tokenizer: expected one of {', '.join(_TOKENIZER_FILES)}")
    if not (part / "tokenizer.json").is_file() and any((part / name).is_file() for name in _SENTENCEPIECE):
        missing = [package for package in ("sentencepiece", "protobuf") if not _is_installed(package)]
        if missing:
            raise ValueError(
                f"tokenizer {part} is one of SentencePiece and needs {', '.join(missing)}, not installed here: pip "
                f"install {' '.join(missing)}"
            )
    if (part / "vocab.json").is_file() and not (part / "tokenizer.json").is_file():
        _existing(part / "merges.txt")


def _check_quantizer(config: Path) -> None:
    """Raise ValueError for weights in fewer bits without the package that reads them."""
    method = (read_json(config).get("quantization_config") or {}).get("quant_method")
    package = _QUANTIZERS.get(str(method))
    if package is not None and not _is_installed(package):
        raise ValueError(f"{config.parent} holds weights of {package}, not installed here: pip install {package}")


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"checkpoint file {path} is missing: download or save the checkpoint again")
    return path
