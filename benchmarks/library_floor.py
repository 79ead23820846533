"""DiffuseMix's work done by calls of the libraries alone, with none of our code: what an implementation on them costs.

It is a floor: the half is not joined with the rest, nothing is drawn, looked up, checked or cut, and what can be made
ready beforehand is ready.
"""

import itertools

import albumentations as A
import cv2
import numpy as np
import xxhash

from albu_diffusemix.fractals import shared_library
from albu_diffusemix.jpeg import cut_around
from benchmarks.side_by_side import Rotating

ALPHA = 0.2
REMEMBERED = 512 * 512
"""Pixels of the largest fractals that the library keeps; larger ones are resized by each call."""


class LibraryFloor:
    """The host's empty call, and one blend with a fractal of all hundred; from a store, hash and decoding too."""

    def __init__(self, height: int, width: int) -> None:
        side = (height, width) if height * width <= REMEMBERED else (512, 512)
        library = shared_library("builtin")
        self._fractals = itertools.cycle([library.get(index, *side) for index in range(len(library))])
        self._nothing = A.Compose([A.NoOp(p=1)])

    def blended(self, image):
        self._nothing(image=image)
        out, fractal = np.empty_like(image), next(self._fractals)
        if fractal.shape != image.shape:
            fractal = cv2.resize(fractal, image.shape[1::-1], dst=out)
        return cv2.addWeighted(image, 1 - ALPHA, fractal, ALPHA, 0, dst=out)

    def from_store(self, image, half, within, box):
        xxhash.xxh3_128_digest(image.data)
        x_min, y_min, x_max, y_max = within
        part = cv2.imdecode(half, cv2.IMREAD_COLOR_RGB)[y_min:y_max, x_min:x_max]
        size = (box[2] - box[0], box[3] - box[1])
        if part.shape[1::-1] != size:
            cv2.resize(part, size)
        return self.blended(image)


def from_store(images, counterparts, boxes_of):
    """A candidate beside DiffuseMix by key: the counterparts' halves are cut out beforehand."""
    height, width = images[0].shape[:2]
    stored = cv2.imdecode(np.frombuffer(counterparts[0], np.uint8), cv2.IMREAD_COLOR).shape[1::-1]
    cuts = [cut_around(data, box) for data, box in zip(counterparts, boxes_of(*stored), strict=True)]
    halves, within = [np.frombuffer(data, np.uint8) for data, _ in cuts], [box for _, box in cuts]
    return Rotating(LibraryFloor(height, width).from_store, images, halves, within, boxes_of(width, height))
