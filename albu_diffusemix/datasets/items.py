"""What every data set consists of: items with a key and a way to read their image."""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.images import read_image

__all__ = [
    "READERS",
    "Box",
    "Item",
    "SourceFile",
    "fitted_box",
    "read_extras",
    "refuse_missing_row",
    "row_key",
    "sort_by_key",
]

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
        path: The file; the folder, address or `module:attribute` of a data set that is no file.
        key: Its name in the data set.
        label: Its class; None where the data set gives no class.
        position: Its number in a file or data set that holds many, in a tar its first byte; None for a file of its own.
        size: The number of its bytes, in a tar.
        column: The column or array that it is in, where there are such; in a table after its split and a slash.
        prompts: Those of this image alone; none where the run's prompts are for it.
        mask: The file of its mask; None where the data set gives no mask.
        boxes: What is where in it; None where the data set gives no boxes.
        kind: Who reads it, in `READERS`.
        sides: The width and height in pixels that its boxes were drawn for; None where the data set does not say.

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
    kind: str = "file"
    sides: tuple[int, int] | None = None

    def read(self) -> NDArray[np.uint8]:
        """Return the image, see `albu_diffusemix.images.read_image`."""
        return READERS[self.kind](self)

    @classmethod
    def from_json(cls, fields: Iterable[Any]) -> "SourceFile":
        """Return what was written as JSON, field by field."""
        source = cls(*fields)
        boxes = source.boxes and tuple(Box(*box) for box in source.boxes)
        sides = source.sides and (source.sides[0], source.sides[1])
        return source._replace(prompts=tuple(source.prompts), boxes=boxes, sides=sides)

    def absolute(self) -> "SourceFile":
        """Return the same image for a process with another working directory."""
        mask = self.mask and str(Path(self.mask).absolute())
        path = self.path if self.kind == "object" or "://" in self.path else str(Path(self.path).absolute())
        return self._replace(path=path, mask=mask)


READERS: dict[str, Callable[[SourceFile], NDArray[np.uint8]]] = {"file": lambda source: read_image(source.path)}
"""What reads the image of a source, by its kind; each module that knows a kind adds its own."""


def row_key(number: int) -> str:
    """Return the key of a row that has no other.

    Examples:
        >>> row_key(17), row_key(1234567)
        ('000017', '1234567')

    """
    return f"{number:06d}"


def refuse_missing_row(source: SourceFile, count: int) -> int:
    """Return the number of a source's row; raise ValueError where the data set, replaced meanwhile, has no such row."""
    number = source.position or 0
    if number >= count:
        raise ValueError(
            f"{source.path!r} has only {count:,} rows now, and no row {number}: run again with what is there"
        )
    return number


def read_extras(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return what a row says of `prompts`, `mask` and `boxes`, as a `SourceFile` has them.

    Raises:
        ValueError: One of them is something else.

    """
    given = {name: None if fields.get(name) == "" else fields.get(name) for name in ("prompts", "mask", "boxes")}
    prompts, mask, boxes = given.values()
    texts = [prompts] if isinstance(prompts, str) else prompts or []
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"{where}: prompts {prompts!r} is neither text nor a list of texts")
    if not isinstance(mask, str | None):
        raise ValueError(f"{where}: mask {mask!r} is not the path of a file")  # noqa: TRY004  bad input
    if not isinstance(boxes, list | tuple | None):
        raise ValueError(f"{where}: boxes {boxes!r} is not a list of [x_min, y_min, x_max, y_max, label]")  # noqa: TRY004  bad input
    found = None if boxes is None else tuple(_read_box(box, where) for box in boxes)
    return {"prompts": tuple(texts), "mask": mask, "boxes": found}


def _read_box(values: Any, where: str) -> Box:
    try:
        box = Box(**values) if isinstance(values, Mapping) else Box(*values)
        fits = 0 <= box.x_min < box.x_max <= 1 and 0 <= box.y_min < box.y_max <= 1 and isinstance(box.label, str)
    except TypeError:
        fits = False
    if fits:
        return box
    raise ValueError(
        f"{where}: box {values!r} is not [x_min, y_min, x_max, y_max, label], in fractions of the image's width and "
        "height from 0 to 1, each minimum below its maximum, and a label of text: divide pixels by width and height"
    )


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
