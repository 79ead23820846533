"""Pipelines of arms and of validation: loaded, with a store put in, seeded for each image, divided at Normalize."""

import inspect
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix import transforms
from albu_diffusemix._host import HostTransform
from albu_diffusemix.pipelines import leaves, load_pipeline
from albu_diffusemix.text import in_one_line, refuse_unknown
from albu_diffusemix.transforms import DiffuseMix, HalfConcat

__all__ = ["Seen", "crops_and_flips", "divided_at_normalize", "load", "mixers", "run_seeded"]

_PLAIN = {
    *("CenterCrop", "CropAndPad", "HorizontalFlip", "LongestMaxSize", "Normalize", "Pad", "PadIfNeeded"),
    *("RandomCrop", "RandomResizedCrop", "Resize", "SmallestMaxSize", "ToFloat", "ToTensorV2"),
}


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
        loaded = _from_list(pipeline, store)
    if store is not None and not mixers(loaded):
        raise ValueError(f"store {store!r} was given, but the pipeline has no DiffuseMix or HalfConcat to read it")
    return loaded


def mixers(pipeline: Any) -> list[Any]:
    """Return the transforms of a pipeline that ask for counterparts."""
    return [leaf for leaf in leaves(pipeline) if isinstance(leaf, DiffuseMix | HalfConcat)]


def run_seeded(pipeline: Any, image: NDArray[np.uint8], key: str, seed: int) -> NDArray[Any]:
    """Return what a pipeline makes of an image, channels first: the same for the same seed, in every process."""
    generator = random.Random(seed)
    pipeline.set_random_state(np.random.default_rng(seed), generator)
    for leaf in leaves(pipeline):
        if isinstance(leaf, HostTransform):
            leaf.seeded_here()
    out = pipeline(image=image, diffusemix_metadata={"key": key})["image"]
    return out.numpy() if hasattr(out, "numpy") else np.ascontiguousarray(out.transpose(2, 0, 1))


def crops_and_flips(pipeline: Any) -> bool:
    """Return whether a pipeline crops and flips and does nothing else to speak of."""
    names = {type(leaf).__name__ for leaf in leaves(pipeline)}
    return names <= _PLAIN and "HorizontalFlip" in names and not names.isdisjoint({"RandomCrop", "RandomResizedCrop"})


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
        before = plain.get("backend")
        options = before if isinstance(before, dict) and before.get("name") == "precomputed" else {}
        filled["backend"] = {**options, "name": "precomputed", "store": store}
    return filled


def _from_list(pipeline: Sequence[Any], store: str | None) -> Any:
    plain = {"__class_fullname__": "Compose", "transforms": [_plain(one) for one in pipeline]}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # the hosts warn of unknown arguments and drop them
        try:
            return A.from_dict({"transform": _with_store(plain, store)})
        except (TypeError, UserWarning) as error:
            raise ValueError(in_one_line(error)) from error


def _plain(given: Any) -> dict[str, Any]:
    """Return a transform as `A.to_dict` writes it."""
    pairs = [(given, {})] if isinstance(given, str) else list(given.items()) if isinstance(given, dict) else []
    if len(pairs) != 1:
        raise ValueError(f"a transform is written {{Name: {{argument: value}}}}; got {given!r}")
    [(name, arguments)] = pairs
    kinds = {name: kind for name, kind in (vars(A) | vars(transforms)).items() if hasattr(kind, "get_class_fullname")}
    refuse_unknown("transform", [name], kinds)
    default = inspect.signature(kinds[name]).parameters["p"].default  # where it is absent, A.from_dict takes 0.5 for all
    arguments = {"p": default, **(arguments or {})}
    if "transforms" in arguments:
        arguments["transforms"] = [_plain(one) for one in arguments["transforms"]]
    return {"__class_fullname__": kinds[name].get_class_fullname(), **arguments}
