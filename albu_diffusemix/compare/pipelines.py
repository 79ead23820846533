"""Pipelines of arms and of validation: loaded, with a store put in, seeded for each image, divided at Normalize."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import albumentations as A
import numpy as np
import xxhash
from numpy.typing import NDArray

from albu_diffusemix import transforms
from albu_diffusemix._host import BaseCompose, BasicTransform
from albu_diffusemix.pipelines import leaves, load_pipeline, reseed
from albu_diffusemix.text import in_one_line, unknown
from albu_diffusemix.transforms import DiffuseMix, HalfConcat

__all__ = ["Seen", "crops_and_flips", "digest", "divided_at_normalize", "load", "mixers", "run_seeded"]

_PLAIN = {
    *("CenterCrop", "CropAndPad", "HorizontalFlip", "LongestMaxSize", "Normalize", "Pad", "PadIfNeeded"),
    *("RandomCrop", "RandomResizedCrop", "Resize", "SmallestMaxSize", "ToFloat", "ToTensorV2"),
}


def digest(*parts: object) -> int:
    """Return a seed of 64 bits that depends on all of the parts, and on nothing else."""
    return int(xxhash.xxh3_64_intdigest(json.dumps(parts).encode()))


def load(pipeline: str | Sequence[Any], store: str | None = None) -> Any:
    """Return a pipeline.

    Args:
        pipeline: A file that `A.save` wrote, or a list of transforms, each `{Name: {argument: value}}` or a name.
        store: Put in place of the backend of each DiffuseMix and HalfConcat; the other options of a backend
            "precomputed" stay.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a pipeline, has an unknown name, or has no place for the store.

    """
    if isinstance(pipeline, str):
        loaded = load_pipeline(Path(pipeline), lambda plain: _with_store(plain, store))
    else:
        loaded = A.Compose(_transforms(pipeline, store))
    if store is not None and not mixers(loaded):
        raise ValueError(f"store {store!r} was given, but the pipeline has no DiffuseMix or HalfConcat to read it")
    return loaded


def mixers(pipeline: Any) -> list[Any]:
    """Return the transforms of a pipeline that ask for counterparts."""
    return [leaf for leaf in leaves(pipeline) if isinstance(leaf, DiffuseMix | HalfConcat)]


def run_seeded(pipeline: Any, image: NDArray[np.uint8], key: str, seed: int) -> NDArray[Any]:
    """Return what a pipeline makes of an image, channels first: the same for the same seed, in every process."""
    reseed(pipeline, seed)
    out = pipeline(image=image, diffusemix_metadata={"key": key})["image"]
    return out.numpy() if hasattr(out, "numpy") else np.ascontiguousarray(out.transpose(2, 0, 1))


def crops_and_flips(pipeline: Any) -> bool:
    """Return whether a pipeline crops and flips and does nothing else to speak of."""
    names = {type(leaf).__name__ for leaf in leaves(pipeline)}
    return (
        names <= _PLAIN
        and "HorizontalFlip" in names
        and any("RandomCrop" in name or "Resized" in name for name in names)
    )


class Seen(NamedTuple):
    """How a model sees an image: a pipeline up to `Normalize`, and what that does, in units of [0, 1]."""

    before: Any
    mean: tuple[float, ...]
    std: tuple[float, ...]


def divided_at_normalize(pipeline: Any) -> Seen:
    """Divide a pipeline at its Normalize, so that pixels can be changed before it.

    Raises:
        ValueError: It does not end in one Normalize of the standard kind, alone or before ToTensorV2.

    """
    steps = [step for step in pipeline.transforms if type(step).__name__ != "ToTensorV2"]
    last = steps[-1] if steps else None
    if not isinstance(last, A.Normalize) or last.normalization != "standard" or last.p < 1:
        raise ValueError("it must end in A.Normalize() of the kind 'standard', before ToTensorV2 if that is there")
    scale = 255 / (last.max_pixel_value or 255)
    mean, std = (tuple(np.broadcast_to(np.asarray(value, float) / scale, 3)) for value in (last.mean, last.std))
    return Seen(A.Compose(steps[:-1]), mean, std)


def _with_store(plain: Any, store: str | None) -> Any:
    """Put a store into plain data of a pipeline, in place of every backend."""
    if store is None or not isinstance(plain, dict | list):
        return plain
    if isinstance(plain, list):
        return [_with_store(one, store) for one in plain]
    filled = {name: _with_store(value, store) for name, value in plain.items()}
    if str(plain.get("__class_fullname__")).endswith((".DiffuseMix", ".HalfConcat")):
        filled["backend"] = _precomputed(plain.get("backend"), store)
    return filled


def _precomputed(backend: Any, store: str) -> dict[str, Any]:
    options = backend if isinstance(backend, dict) and backend.get("name") == "precomputed" else {}
    return {**options, "name": "precomputed", "store": store}


def _transforms(given: Sequence[Any], store: str | None) -> list[Any]:
    return [_transform(one, store) for one in given]


def _transform(given: Any, store: str | None) -> Any:
    pairs = [(given, {})] if isinstance(given, str) else list(given.items()) if isinstance(given, dict) else []
    if len(pairs) != 1:
        raise ValueError(f"a transform is written {{Name: {{argument: value}}}}; got {given!r}")
    [(name, arguments)] = pairs
    found = getattr(transforms, name, None) or getattr(A, name, None)
    if not (isinstance(found, type) and issubclass(found, BasicTransform | BaseCompose)):
        known = [*transforms.__all__, *(one for one in dir(A) if one[0].isupper())]
        raise ValueError(unknown("transform", name, known))  # noqa: TRY004  as for all wrong names
    arguments = dict(arguments or {})
    if "transforms" in arguments:
        arguments["transforms"] = _transforms(arguments["transforms"], store)
    if store is not None and issubclass(found, DiffuseMix | HalfConcat):
        arguments["backend"] = _precomputed(arguments.get("backend"), store)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # the hosts warn of unknown arguments and drop them
        try:
            return found(**arguments)
        except (TypeError, UserWarning) as error:
            raise ValueError(f"{name}: {in_one_line(error)}") from error
