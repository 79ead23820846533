"""What commonly happens to images before they are mixed, and undoing it: the changes that a hash can prove."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.store import Source

__all__ = ["FIRST", "UPRIGHT", "Change", "change_among", "change_of", "is_sideways"]

Pixels = NDArray[np.uint8]

FIRST = "put DiffuseMix first in the pipeline, before anything that moves, turns or cuts out pixels"
UPRIGHT = f"{FIRST}; or EXIF asks to turn the file: read it with cv2.imread, or use PIL.ImageOps.exif_transpose"
RGB = "convert it first: cv2.cvtColor(image, cv2.COLOR_BGR2RGB)"


class Change(NamedTuple):
    """Something that was done to an image.

    Attributes:
        what: What the image is, such as "flipped left to right".
        advice: What to do.
        transposes: Whether it exchanges height and width.
        undo: Gives the source back, bit for bit.

    """

    what: str
    advice: str
    transposes: bool
    undo: Callable[[Pixels], Pixels]


def _with_bgr(change: Change) -> Change:
    what, advice = f"{change.what}, and BGR", f"{RGB}; {change.advice}"
    return Change(what, advice, change.transposes, lambda image: change.undo(_swap(image)))


def _swap(image: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _flip(image: Pixels, code: int) -> Pixels:
    return np.asarray(cv2.flip(image, code), np.uint8)


def _turn(image: Pixels, code: int) -> Pixels:
    return np.asarray(cv2.rotate(image, code), np.uint8)


def _transpose(image: Pixels) -> Pixels:
    return np.asarray(cv2.transpose(image), np.uint8)


def _transpose_other(image: Pixels) -> Pixels:
    return _flip(_transpose(image), -1)


_LEFT, _RIGHT = cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_90_CLOCKWISE
_MOVES = [
    Change("flipped left to right", FIRST, transposes=False, undo=lambda image: _flip(image, 1)),
    Change("flipped upside down", FIRST, transposes=False, undo=lambda image: _flip(image, 0)),
    Change("turned by 180 degrees", UPRIGHT, transposes=False, undo=lambda image: _flip(image, -1)),
    Change("turned a quarter clockwise", UPRIGHT, transposes=True, undo=lambda image: _turn(image, _LEFT)),
    Change("turned a quarter counter-clockwise", UPRIGHT, transposes=True, undo=lambda image: _turn(image, _RIGHT)),
    Change("transposed", UPRIGHT, transposes=True, undo=_transpose),
    Change("transposed along its other diagonal", UPRIGHT, transposes=True, undo=_transpose_other),
]
_CHANGES = [Change("BGR", RGB, transposes=False, undo=_swap), *_MOVES, *map(_with_bgr, _MOVES)]


def change_of(image: Pixels, source: Source) -> Change | None:
    """Find the change that made the image of the source; None where it is not BGR, a flip, a turn or two of them.

    Args:
        image: `(H, W, 3)` uint8.
        source: What it was before.

    """
    height, width = image.shape[:2]
    fits = {False: (height, width) == source[:2], True: (width, height) == source[:2]}
    tried = (change for change in _CHANGES if fits[change.transposes])
    return next((change for change in tried if Source.of(change.undo(image)) == source), None)


def change_among(image: Pixels, known: Callable[[Source], object]) -> Change | None:
    """Find the change that made the image of any source that is known.

    Args:
        image: `(H, W, 3)` uint8.
        known: Whether a source is.

    """
    return next((change for change in _CHANGES if known(Source.of(change.undo(image)))), None)


def is_sideways(image: Pixels, source: Source) -> bool:
    """Return whether the image has the source's height and width exchanged."""
    height, width = image.shape[:2]
    return height != width and (height, width) == (source.width, source.height)
