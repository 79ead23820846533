"""Pipelines of any transforms: from files and lists, with a store put in, looked through, run, and what they give."""

import inspect
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import yaml
from numpy.typing import NDArray

from albu_diffusemix import transforms  # A.load knows the classes that were imported
from albu_diffusemix._host import HostTransform
from albu_diffusemix.functional import to_rgb
from albu_diffusemix.regular_files import read_text
from albu_diffusemix.text import in_one_line, parse_json, refuse_unknown
from albu_diffusemix.transforms import DiffuseMix, HalfConcat
from albu_diffusemix.yaml_bombs import parse_yaml

__all__ = ["as_picture", "leaves", "load_pipeline", "mixers", "open_pipeline", "reseed", "run_seeded"]

_OVERSHOOT = 0.1  # interpolation leaves [0, 1] by less than this, normalization by much more


def load_pipeline(path: Path, changed: Callable[[Any], Any] = lambda plain: plain) -> Any:
    """Load a pipeline that `A.save` wrote.

    Args:
        path: A YAML file, or a JSON file with the ending `.json`.
        changed: Is given the plain data of the file, and returns what is to be loaded in its place.

    Returns:
        The pipeline.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a pipeline, or holds arguments that are not allowed.

    """
    data_format = "json" if path.suffix.lower() == ".json" else "yaml"
    text = read_text(path)
    try:
        plain = parse_json(text) if data_format == "json" else parse_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        reason = in_one_line(error)
        raise ValueError(f"{str(path)!r} is not a pipeline that A.save wrote as {data_format}: {reason}") from error
    try:
        return A.from_dict(changed(plain))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = in_one_line(error) or type(error).__name__
        raise ValueError(f"{str(path)!r} is not a pipeline that A.save wrote as {data_format}: {reason}") from error


def open_pipeline(pipeline: str | Sequence[Any], store: str | None = None, *, choices: bool = True) -> Any:
    """Return a pipeline.

    Args:
        pipeline: A file that `A.save` wrote, or a list of transforms, each `{Name: {argument: value}}` or a name.
        store: Put in place of the backend of each DiffuseMix and HalfConcat; the other options of a backend
            "precomputed" stay.
        choices: False draws also what is rejected in that store.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a pipeline, has an unknown name, or has no place for the store.

    """
    given = {} if store is None else {"name": "precomputed", "store": store, **({} if choices else {"choices": False})}
    if isinstance(pipeline, str):
        loaded = load_pipeline(Path(pipeline), lambda plain: _with_store(plain, given))
    else:
        loaded = _from_list(pipeline, given)
    if store is not None and not mixers(loaded):
        raise ValueError(f"store {store!r} was given, but the pipeline has no DiffuseMix or HalfConcat to read it")
    return loaded


def _with_store(plain: Any, given: dict[str, Any]) -> Any:
    """Put the spec of a store into plain data of a pipeline, in place of every backend."""
    if not given or not isinstance(plain, dict | list):
        return plain
    if isinstance(plain, list):
        return [_with_store(one, given) for one in plain]
    filled = {name: _with_store(value, given) for name, value in plain.items()}
    if str(plain.get("__class_fullname__")).endswith((".DiffuseMix", ".HalfConcat")):
        before = plain.get("backend")
        options = before if isinstance(before, dict) and before.get("name") == "precomputed" else {}
        filled["backend"] = {**options, **given}
    return filled


def _from_list(pipeline: Sequence[Any], given: dict[str, Any]) -> Any:
    plain = {"__class_fullname__": "Compose", "transforms": [_plain(one) for one in pipeline]}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # the hosts warn of unknown arguments and drop them
        try:
            return A.from_dict({"transform": _with_store(plain, given)})
        except (TypeError, UserWarning) as error:
            raise ValueError(in_one_line(error)) from error


def _plain(given: Any) -> dict[str, Any]:
    """Return a transform as `A.to_dict` writes it."""
    pairs = [(given, {})] if isinstance(given, str) else list(given.items()) if isinstance(given, dict) else []
    if len(pairs) != 1:
        raise ValueError(f"a transform is written {{Name: {{argument: value}}}}; got {given!r}")
    [(name, arguments)] = pairs
    kinds = {name: kind for name, kind in (vars(A) | vars(transforms)).items() if hasattr(kind, "set_random_state")}
    refuse_unknown("transform", [name], kinds)
    default = inspect.signature(kinds[name]).parameters["p"].default  # absent, A.from_dict takes 0.5 for all
    arguments = {"p": default, **(arguments or {})}
    if "transforms" in arguments:
        arguments["transforms"] = [_plain(one) for one in arguments["transforms"]]
    return {"__class_fullname__": kinds[name].get_class_fullname(), **arguments}


def leaves(pipeline: Any) -> Iterator[Any]:
    """Yield the transforms of a pipeline, those of the pipelines in it too."""
    for transform in pipeline.transforms:
        if hasattr(transform, "transforms"):
            yield from leaves(transform)
        else:
            yield transform


def reseed(pipeline: Any, seed: int) -> None:
    """Make what a pipeline draws next depend on a seed alone, in every process.

    All of its transforms share one generator. `set_random_seed` of the MIT host would hand the same numbers to each of
    them: two flips at `p=0.5` would then always agree.
    """
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
    for leaf in leaves(pipeline):
        if isinstance(leaf, HostTransform):
            leaf.seeded_here()


def as_picture(result: Any) -> NDArray[np.uint8] | None:
    """Return the image that a pipeline gave as (H, W, 3) uint8 RGB; None where it is normalized, or a tensor."""
    if not isinstance(result, np.ndarray) or result.dtype not in (np.uint8, np.float32):
        return None
    normalized = result.dtype == np.float32 and (result.min() < -_OVERSHOOT or result.max() > 1 + _OVERSHOOT)
    return None if normalized else to_rgb(result)


def mixers(pipeline: Any) -> list[Any]:
    """Return the transforms of a pipeline that ask for counterparts."""
    return [leaf for leaf in leaves(pipeline) if isinstance(leaf, DiffuseMix | HalfConcat)]


def run_seeded(pipeline: Any, image: NDArray[np.uint8], key: str, seed: int) -> NDArray[Any]:
    """Return what a pipeline makes of an image, channels first: the same for the same seed, in every process."""
    reseed(pipeline, seed)
    out = pipeline(image=image, diffusemix_metadata={"key": key})["image"]
    return out.numpy() if hasattr(out, "numpy") else np.ascontiguousarray(out.transpose(2, 0, 1))
