"""Scorers that need no model: how far luma and color moved, and whether edges still lie where they were."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.curate.scorers import Figures, View
from albu_diffusemix.datasets import Box
from albu_diffusemix.datasets.mask_files import read_mask

__all__ = ["EdgeScorer", "PixelScorer"]

Region = tuple[slice, slice] | NDArray[np.bool_]

_BLUR = 0.01  # of the shorter side: edges that moved by less still agree
_MARGIN = 0.02  # of a side: the outline of a thing lies at the edge of its box
_FEWEST_PIXELS = 64
_IGNORED = 255  # what masks with several classes have where nobody knows


class PixelScorer:
    """Distances between pixels that lie in the same place, from 0, the same, to 1.

    `luma` is the mean difference in brightness, `color` that of the two color differences of YCbCr.
    """

    figures: Mapping[str, str] = {"luma": "float64", "color": "float64"}
    fingerprint = "pixels-1"
    batch_size = 256

    def prepare(self, view: View) -> Sequence[Figures]:
        """Measure: it is the decoding's thread that has time for it."""
        return [_distances(_fitted(view.image, image), image) for _, image in view.counterparts]

    def score(self, prepared: Sequence[Figures]) -> list[Figures]:
        """Return what was measured."""
        return list(prepared)


class EdgeScorer:
    """How well the edges of a counterpart agree with those of its source, from 1 down to -1; 0 is by chance.

    Compared are the strengths of the slightly blurred edges, by their correlation, so that contrast and style count
    little. `whole` is that of the image, `inside` the least of its boxes and of the classes of its mask.
    """

    figures: Mapping[str, str] = {"whole": "float64", "inside": "float64"}
    fingerprint = "edges-1"
    batch_size = 256

    def prepare(self, view: View) -> Sequence[Figures]:
        """Measure: it is the decoding's thread that has time for it."""
        mask = None if view.source.mask is None else read_mask(Path(view.source.mask))
        return [
            _agreements(_edges(_fitted(view.image, image)), _edges(image), view.source.boxes or (), mask)
            for _, image in view.counterparts
        ]

    def score(self, prepared: Sequence[Figures]) -> list[Figures]:
        """Return what was measured."""
        return list(prepared)


def _fitted(image: NDArray[np.uint8], counterpart: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = counterpart.shape[:2]
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _distances(source: NDArray[np.uint8], counterpart: NDArray[np.uint8]) -> Figures:
    one, other = (cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb) for image in (source, counterpart))
    luma, red, blue, _ = cv2.mean(cv2.absdiff(one, other))
    return luma / 255, (red + blue) / 510


def _edges(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    return np.asarray(cv2.GaussianBlur(cv2.magnitude(across, down), (0, 0), max(1.0, _BLUR * min(grey.shape))))


def _agreements(
    source: NDArray[np.float32], counterpart: NDArray[np.float32], boxes: Sequence[Box], mask: NDArray[np.int_] | None
) -> Figures:
    regions = [*_box_regions(source.shape, boxes), *_mask_regions(source.shape, mask)]
    found = [_correlation(source[region], counterpart[region]) for region in regions]
    return _correlation(source, counterpart), min((value for value in found if value is not None), default=None)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Return Pearson's correlation; None where there are too few pixels or one side has no edges."""
    if one.size < _FEWEST_PIXELS:
        return None
    one, other = one - one.mean(), other - other.mean()
    spread = float(np.sqrt(np.vdot(one, one) * np.vdot(other, other)))
    return float(np.vdot(one, other)) / spread if spread else None


def _box_regions(shape: tuple[int, ...], boxes: Sequence[Box]) -> Iterator[Region]:
    height, width = shape
    for box in boxes:
        top, bottom = (round(place * height) for place in (max(0, box.y_min - _MARGIN), box.y_max + _MARGIN))
        left, right = (round(place * width) for place in (max(0, box.x_min - _MARGIN), box.x_max + _MARGIN))
        yield slice(top, bottom), slice(left, right)


def _mask_regions(shape: tuple[int, ...], mask: NDArray[np.int_] | None) -> Iterator[Region]:
    if mask is None:
        return
    fitted = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST)
    values = fitted if fitted.ndim == 2 else fitted[..., :3].max(-1)  # noqa: PLR2004  without channels
    classes = set(np.unique(values).tolist()) - {0}
    kernel = np.ones((2 * round(_MARGIN * min(shape)) + 1,) * 2, np.uint8)
    for value in classes - ({_IGNORED} if len(classes) > 1 else set()):
        yield cv2.dilate((values == value).astype(np.uint8), kernel).astype(bool)
