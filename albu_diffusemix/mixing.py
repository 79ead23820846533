"""What the transforms do to a batch of images, in two steps, and the count of images that were left as they were."""

import os
import random
import warnings
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix._host import HostTransform, call_data, call_findings
from albu_diffusemix.backends import BackendSpec, Counterpart, Request, shared_backend
from albu_diffusemix.fractals import shared_library
from albu_diffusemix.functional import (
    Box,
    Image,
    crop,
    match_format,
    prepare_image,
    to_rgb,
)
from albu_diffusemix.masks import MASKS
from albu_diffusemix.tracing import record_call

__all__ = ["BaseMix", "CounterpartMixin", "FractalMixin", "unmixed_images"]

_METADATA = frozenset({"key", "counterpart"})

_unmixed: Counter[tuple[int, str]] = Counter()


def unmixed_images() -> dict[str, int]:
    """Count the images that this process left as they were, by the counterpart's status.

    Returns:
        The number of images for each status, such as "missing"; empty where every image found its counterpart.

    Examples:
        >>> from albu_diffusemix import unmixed_images
        >>> unmixed_images()
        {}

    """
    return {status: count for (process, status), count in _unmixed.items() if process == os.getpid()}


def _leave_unmixed(status: str) -> None:
    _unmixed[os.getpid(), status] += 1
    if _unmixed[os.getpid(), status] == 1:
        warnings.warn(
            f"a counterpart is {status!r}: its image stays as it is, and so will others of this process; "
            "albu_diffusemix.unmixed_images() counts them",
            stacklevel=2,
        )


class BaseMix(HostTransform):
    """One image is a batch of one: `mix` does the work for every target."""

    def mix(self, images: list[Image], params: dict[str, Any]) -> list[Image]:
        raise NotImplementedError

    def apply(self, img: Image, *args: Any, **params: Any) -> Image:
        del args
        image = prepare_image(img)
        record_call(self, img, params)
        return self.mix([image], params)[0]

    def apply_to_images(self, images: Any, *args: Any, **params: Any) -> Any:
        del args
        if len(images) == 0:
            return images
        mixed = self.mix([prepare_image(image) for image in images], params)
        return np.stack(mixed) if isinstance(images, np.ndarray) else mixed


class CounterpartMixin:
    """The first step: a part of the image gives way to the same part of its counterpart."""

    backend: BackendSpec
    prompts: tuple[str, ...] | None
    mask_types: tuple[str, ...]
    seam_width: float
    metadata_key: str

    @property
    def available_keys(self) -> set[str]:
        """Keys that a strict pipeline accepts: the host's, and that of the metadata."""
        keys: set[str] = super().available_keys  # type: ignore[misc]
        return keys | {self.metadata_key}

    def sample_hybrid(self, rng: random.Random, data: dict[str, Any]) -> dict[str, Any]:
        prompts = self.prompts or shared_backend(self.backend).prompts
        mask_type = self.mask_types[_below(len(self.mask_types), rng)]
        return {
            "mask_type": mask_type,
            "mask_params": MASKS[mask_type].sample(rng),
            "prompt": prompts[_below(len(prompts), rng)] if prompts else None,
            "seed": rng.getrandbits(48),
            "key": self._metadata(data).get("key"),
        }

    def applied_hybrid(self, params: dict[str, Any]) -> dict[str, Any]:
        prompt, variant = params["prompt"], params.get("variant")
        return {
            "mask_types": (params["mask_type"],),
            **({"prompts": (prompt,)} if isinstance(prompt, str) else {}),
            **({"backend": {**self.backend, "variant": variant}} if isinstance(variant, str) else {}),  # type: ignore[dict-item]
        }

    def parts(self, images: list[Image], params: dict[str, Any]) -> list[Image | None]:
        """Return what each image's mask needs of its counterpart; None for an image without a counterpart."""
        mask, mask_params = MASKS[params["mask_type"]], params["mask_params"]
        boxes = [mask.box(image.shape[0], image.shape[1], self.seam_width, mask_params) for image in images]
        given = self._metadata(call_data()).get("counterpart")
        if given is None:
            return self._parts_from_backend(images, boxes, params)
        return self._parts_of_given(given, images, boxes)

    def _parts_from_backend(self, images: list[Image], boxes: list[Box], params: dict[str, Any]) -> list[Image | None]:
        wanted = [(to_rgb(image), box) for image, box in zip(images, boxes, strict=True) if not _is_empty(box)]
        counterparts = self.ask(params, wanted) if wanted else []
        _record_taken(counterparts, params)
        answers = iter(counterparts)
        return [
            crop(image, box) if _is_empty(box) else _answered(next(answers), image, box)
            for image, box in zip(images, boxes, strict=True)
        ]

    def ask(self, params: dict[str, Any], wanted: list[tuple[NDArray[np.uint8], Box]]) -> list[Counterpart]:
        """Ask the backend for what was drawn, or what a record says was taken, of each RGB image and box."""
        backend = shared_backend(self.backend)
        # A prompt that was not chosen among several only tells what was taken, and is not asked for in a replay.
        prompt = params["prompt"] if self.prompts or backend.prompts else None
        seed, key, variant = params["seed"], params["key"], params.get("variant")
        return backend.generate([Request(image, prompt, seed, key, box, variant) for image, box in wanted])

    def _parts_of_given(self, given: Any, images: list[Image], boxes: list[Box]) -> list[Image | None]:
        if not isinstance(given, np.ndarray):
            raise TypeError(f"{self.metadata_key}['counterpart'] must be a NumPy array; got {type(given).__name__}")
        first = images[0]
        if len(images) == 1 and given.shape == first.shape and given.dtype == first.dtype == np.uint8:
            x_min, y_min, x_max, y_max = boxes[0]
            return [np.ascontiguousarray(given)[y_min:y_max, x_min:x_max]]
        size = first.shape[:2]
        counterparts = [given] if len(images) == 1 and given.ndim in (2, 3) and given.shape[:2] == size else list(given)
        if [counterpart.shape[:2] for counterpart in counterparts] != [size] * len(images):
            raise ValueError(
                f"{self.metadata_key}['counterpart'] must be one image of {size[0]}x{size[1]} for each of the target's "
                f"{len(images)}; got shape {given.shape}",
            )
        prepared = map(self._prepared, counterparts)
        return [_part(*parts) for parts in zip(prepared, boxes, images, strict=True)]

    def _prepared(self, counterpart: Image) -> Image:
        try:
            return prepare_image(counterpart)
        except ValueError as error:
            raise ValueError(f"{self.metadata_key}['counterpart']: {error}") from error

    def _metadata(self, data: dict[str, Any]) -> dict[str, Any]:
        metadata = data.get(self.metadata_key) or {}
        if not isinstance(metadata, dict) or not metadata.keys() <= _METADATA:
            raise ValueError(
                f"{self.metadata_key} must be a dict with 'key', 'counterpart' or both; got {_shown(metadata)}",
            )
        key = metadata.get("key")
        if key is not None and not isinstance(key, str):
            raise TypeError(f"{self.metadata_key}['key'] must be a string; got {key!r}")
        return metadata


class FractalMixin:
    """The last step: a fractal shines through the whole image."""

    alpha_range: tuple[float, float]
    fractals: str

    def sample_fractal(self, rng: random.Random) -> dict[str, Any]:
        low, high = self.alpha_range
        return {
            "alpha": low + (high - low) * rng.random(),
            "fractal_index": _below(len(shared_library(self.fractals)), rng),
        }

    def applied_fractal(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"alpha_range": (params["alpha"], params["alpha"])}


def _below(bound: int, rng: random.Random) -> int:
    """Draw a whole number below the bound as `rng.choice` and `rng.randrange` do, in a third of their time."""
    bits = bound.bit_length()
    drawn = rng.getrandbits(bits)
    while drawn >= bound:
        drawn = rng.getrandbits(bits)
    return drawn


def _record_taken(counterparts: list[Counterpart], params: dict[str, Any]) -> None:
    """Say in the call's parameters which counterparts were taken of those that a store has: prompt and variant.

    For a batch that took several, they are lists of those of its images that found one.
    """
    taken = [(each.prompt, each.variant) for each in counterparts if each.variant is not None]
    if taken:
        prompts, variants = map(_one_or_all, map(list, zip(*taken, strict=True)))
        found = {"prompt": prompts, "variant": variants}
        params.update(found)
        call_findings().update(found)


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if values.count(values[0]) == len(values) else values


def _is_empty(box: Box) -> bool:
    return box[0] >= box[2] or box[1] >= box[3]


def _answered(counterpart: Counterpart, image: Image, box: Box) -> Image | None:
    if counterpart.image is None:
        _leave_unmixed(counterpart.status)
        return None
    return match_format(counterpart.image, crop(image, box))


def _part(counterpart: Image, box: Box, image: Image) -> Image:
    if counterpart.dtype == image.dtype and counterpart.shape[2:] == image.shape[2:]:
        return crop(counterpart, box)
    return match_format(to_rgb(crop(counterpart, box)), crop(image, box))


def _shown(metadata: Any) -> str:
    return f"keys {sorted(map(str, metadata))}" if isinstance(metadata, dict) else repr(type(metadata).__name__)
