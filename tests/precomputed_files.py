"""Stores of real counterparts, and what must come out of them, by another way than the package's."""

import io
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from albu_diffusemix.generate import ENCODINGS
from albu_diffusemix.generate.encoding import encode
from albu_diffusemix.store import Recipe, Source, Store

PROMPTS = ("snowy", "sunset")


class Entry(NamedTuple):
    key: str
    image: np.ndarray
    counterpart: bytes
    prompt: str = "snowy"
    variant: str = "0000"


def make_store(path: Path, *entries: Entry, prompts=PROMPTS, encoding: str = "jpeg444") -> str:
    """A store of these entries, each third of them in a part of its own."""
    store = Store.create(path, Recipe("procedural", "f00d", prompts, None, ENCODINGS[encoding]))
    for start in range(3):
        with store.writer() as writer:
            for key, image, counterpart, prompt, variant in entries[start::3]:
                writer.put(key, variant, counterpart, prompt=prompt, seed=7, source=Source.of(image))
    return str(path)


def precomputed(store: str, **options) -> dict:
    return {"name": "precomputed", "store": store, **options}


def noise(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth and without symmetry, so that JPEG keeps it and no two places look alike."""
    return cv2.resize(noise(seed, 5, 7), (width, height), interpolation=cv2.INTER_CUBIC)


def counterpart_of(image: np.ndarray, height: int, width: int, encoding: str = "jpeg444") -> bytes:
    """The negative, stored at a size of its own."""
    return encode(255 - cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), encoding)


def decoded(data: bytes) -> np.ndarray:
    if data.startswith(b"\x93NUMPY"):
        return np.load(io.BytesIO(data))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def expected_part(data: bytes, box: tuple[int, int, int, int], height: int, width: int) -> np.ndarray:
    """Decode the whole, cut the box out at the nearest pixels, resize it."""
    whole = decoded(data)
    y_min, y_max = nearest(box[1], box[3], height, whole.shape[0])
    x_min, x_max = nearest(box[0], box[2], width, whole.shape[1])
    part = np.ascontiguousarray(whole[y_min:y_max, x_min:x_max])
    size = box[2] - box[0], box[3] - box[1]
    halved = part.shape[1] > 2 * size[0] or part.shape[0] > 2 * size[1]
    return cv2.resize(part, size, interpolation=cv2.INTER_AREA if halved else cv2.INTER_LINEAR)


def nearest(start: int, end: int, side: int, stored: int) -> tuple[int, int]:
    first, last = (floor(Fraction(edge * stored, side) + Fraction(1, 2)) for edge in (start, end))
    first = min(first, stored - 1)
    return first, max(last, first + 1)
