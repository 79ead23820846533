"""Files of models: read as JSON, and sampled for a digest."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["read_json", "samples"]

_SAMPLES, _SAMPLE_BYTES = 16, 4096


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: It is none; the message names the file.

    """
    try:
        fields = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is broken: not JSON ({error}); download it again") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path} is broken: not a JSON object; download it again")  # noqa: TRY004  it is a bad file
    return fields


def samples(path: Path) -> Iterator[bytes]:
    """Give samples from all over a file, all of it if it is small: a fine-tune changes every one of them."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _SAMPLES * _SAMPLE_BYTES:
            yield file.read()
            return
        for number in range(_SAMPLES):
            file.seek(number * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
            yield file.read(_SAMPLE_BYTES)
