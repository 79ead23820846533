"""What every data set consists of: items with a key and a way to read their image."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.images import read_image

__all__ = ["Item", "SourceFile", "sort_by_key"]


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


class SourceFile(NamedTuple):
    """An image in a file: plain data that other processes can be told.

    Attributes:
        path: Where it lies.
        key: Its name in the data set.
        label: Its class; None where the data set gives no class.

    """

    path: str
    key: str
    label: str | None = None

    def read(self) -> NDArray[np.uint8]:
        """Return the image, see `albu_diffusemix.images.read_image`."""
        return read_image(Path(self.path))


def sort_by_key(files: Iterable[SourceFile]) -> list[SourceFile]:
    """Return files in the order of their keys.

    Raises:
        ValueError: Two have the same key.

    """
    ordered = sorted(files, key=lambda file: file.key)
    for one, other in pairwise(ordered):
        if one.key == other.key:
            raise ValueError(f"two sources have the key {one.key!r}: {one.path!r} and {other.path!r}; rename one")
    return ordered
