"""What every data set consists of: items with a key and a way to read their image."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets.arrays import ARRAY_SUFFIXES, read_array_row
from albu_diffusemix.datasets.objects import read_object
from albu_diffusemix.datasets.tables import TABLE_SUFFIXES, read_table_image
from albu_diffusemix.datasets.tars import TAR_SUFFIX, read_tar_image
from albu_diffusemix.images import read_image

__all__ = ["DATA_SUFFIXES", "Box", "Item", "SourceFile", "fitted_box", "sort_by_key"]

DATA_SUFFIXES = (*ARRAY_SUFFIXES, *TABLE_SUFFIXES, TAR_SUFFIX)
"""Endings of files that hold many images."""

_SLACK = 0.01  # of the image's side


class Item(Protocol):
    """An image of a data set, not necessarily read yet."""

    @property
    def key(self) -> str | None:
        """Its key as the data set gives it, which may not be valid in a store; None where it gives no key."""

    def read(self) -> NDArray[np.uint8]:
        """Return the image, (H, W, 3) uint8 RGB.

        Raises:
            OSError: Its file cannot be opened.
            ValueError: It cannot be read for another reason.

        """


class Box(NamedTuple):
    """A thing in an image: its corners as fractions of the image's width and height, from 0 to 1, and its class."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    label: str


def fitted_box(x_min: float, y_min: float, x_max: float, y_max: float, label: str) -> list[Box]:
    """Return a box, cut off at the image's edges; none where it has no area.

    Raises:
        ValueError: It leaves the image by more than what people and rounding do at its edges.

    """
    corners = (x_min, y_min, x_max, y_max)
    if not all(-_SLACK <= corner <= 1 + _SLACK for corner in corners):
        raise ValueError(
            f"the box leaves the image: its corners are {', '.join(f'{corner:.4g}' for corner in corners)} of the "
            "image's sides, allowed are 0 to 1: correct it, or remove it"
        )
    left, top, right, bottom = (min(max(corner, 0.0), 1.0) for corner in corners)
    return [Box(left, top, right, bottom, label)] if left < right and top < bottom else []


class SourceFile(NamedTuple):
    """An image in a file of its own, or in one that holds many: plain data that other processes can be told.

    Attributes:
        path: The file; `module:attribute` for a data set in Python.
        key: Its name in the data set.
        label: Its class; None where the data set gives no class.
        position: Where it is in a file that holds many, see `albu_diffusemix.datasets.rows.Row`; None for a file of its
            own.
        size: The number of its bytes, in a tar.
        column: The column or array that it is in, in files that have such.
        prompts: Those of this image alone; none where the run's prompts are for it.
        mask: The file of its mask; None where the data set gives no mask.
        boxes: What is where in it; None where the data set gives no boxes.

    """

    path: str
    key: str
    label: str | None = None
    position: int | None = None
    size: int = 0
    column: str = ""
    prompts: tuple[str, ...] = ()
    mask: str | None = None
    boxes: tuple[Box, ...] | None = None

    def read(self) -> NDArray[np.uint8]:
        """Return the image, see `albu_diffusemix.images.read_image`."""
        if self.position is None:
            return read_image(Path(self.path))
        if _suffix(self.path) in ARRAY_SUFFIXES:
            return read_array_row(self.path, self.column, self.position)
        if _suffix(self.path) == TAR_SUFFIX:
            return read_tar_image(self.path, self.position, self.size)
        if _suffix(self.path) in TABLE_SUFFIXES:
            return read_table_image(self.path, self.column, self.position)
        return read_object(self.path, self.position)

    @classmethod
    def from_json(cls, fields: Iterable[Any]) -> "SourceFile":
        """Return what was written as JSON, field by field."""
        source = cls(*fields)
        boxes = source.boxes and tuple(Box(*box) for box in source.boxes)
        return source._replace(prompts=tuple(source.prompts), boxes=boxes)

    def absolute(self) -> "SourceFile":
        """Return the same image for a process with another working directory."""
        in_python = self.position is not None and _suffix(self.path) not in DATA_SUFFIXES
        mask = self.mask and str(Path(self.mask).absolute())
        path = self.path if in_python else str(Path(self.path).absolute())
        return self._replace(path=path, mask=mask)


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()


def sort_by_key(files: Iterable[SourceFile]) -> list[SourceFile]:
    """Return files in the order of their keys; images of files that hold many stay in the order that they have there.

    Raises:
        ValueError: Two have the same key.

    """
    given = list(files)
    ordered = sorted(given, key=lambda file: file.key)
    for one, other in pairwise(ordered):
        if one.key == other.key:
            raise ValueError(f"two sources have the key {one.key!r}: {_place(one)} and {_place(other)}; rename one")
    return ordered if given and given[0].position is None else given


def _place(file: SourceFile) -> str:
    return repr(file.path) if file.position is None else f"{file.path!r} at {file.position:,}"
