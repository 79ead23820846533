"""Files of models: found in the Hub's cache, read as JSON, and sampled for a digest."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["MODEL_INDEX", "cached_commit", "cached_snapshot", "digest_files", "read_json", "samples"]

MODEL_INDEX = "model_index.json"
"""The file of a model that names its pipeline and its parts."""

_SAMPLES, _SAMPLE_BYTES = 16, 4096


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: The file does not hold one; the message names it.

    """
    try:
        fields = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is broken: not valid JSON ({error}); download it again") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path} is broken: not a JSON object; download it again")  # noqa: TRY004  it is a bad file
    return fields


def digest_files(root: Path, paths: Iterable[Path]) -> str:
    """Return a digest of files by their places under a folder, sizes and samples: equal files give equal digests."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode())
        for sample in samples(path):
            digest.update(sample)
    return digest.hexdigest()


def samples(path: Path) -> Iterator[bytes]:
    """Return samples from all over a file, all of it if it is small: a fine-tune changes every one of them."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _SAMPLES * _SAMPLE_BYTES:
            yield file.read()
            return
        for number in range(_SAMPLES):
            file.seek(number * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
            yield file.read(_SAMPLE_BYTES)


def cached_snapshot(model: str, revision: str | None) -> Path | None:
    """Return a model's folder in the Hub's cache, where some files may be missing; None where it is not there."""
    if Path(model).is_dir():
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  only for models of the Hub

    index = try_to_load_from_cache(model, MODEL_INDEX, revision=revision)
    return Path(index).parent if isinstance(index, str) else None


def cached_commit(model: str, revision: str | None) -> dict[str, str]:
    """Return the commit of a model of the Hub for a provenance, empty where it is not known here."""
    snapshot = cached_snapshot(model, revision)
    return {} if snapshot is None else {"commit": snapshot.name}
