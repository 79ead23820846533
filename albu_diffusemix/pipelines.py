"""Pipelines of any transforms: read from files, looked through, and what they give, as a picture."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import yaml
from numpy.typing import NDArray

from albu_diffusemix import transforms as _ours  # noqa: F401  A.load knows the classes that were imported
from albu_diffusemix._host import HostTransform
from albu_diffusemix.functional import to_rgb
from albu_diffusemix.regular_files import read_text
from albu_diffusemix.text import in_one_line, parse_json
from albu_diffusemix.yaml_bombs import refuse_yaml_bomb

__all__ = ["as_picture", "leaves", "load_pipeline", "reseed"]

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
        plain = parse_json(text) if data_format == "json" else _parse_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        reason = in_one_line(error)
        raise ValueError(f"{str(path)!r} is not a pipeline that A.save wrote as {data_format}: {reason}") from error
    try:
        return A.from_dict(changed(plain))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = in_one_line(error) or type(error).__name__
        raise ValueError(f"{str(path)!r} is not a pipeline that A.save wrote as {data_format}: {reason}") from error


def _parse_yaml(text: str) -> Any:
    refuse_yaml_bomb(text)
    return yaml.safe_load(text)


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
