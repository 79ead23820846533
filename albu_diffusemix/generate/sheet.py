"""The picture in a store's README: a few sources beside their counterparts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.drawing import draw_text, fit
from albu_diffusemix.images import read_image
from albu_diffusemix.store import Row, Store
from albu_diffusemix.text import printable

__all__ = ["SHOWN", "contact_sheet", "spread"]

SHOWN = 30
"""Sources to choose from for a contact sheet, since not each has counterparts yet."""

_ROWS, _COUNTERPARTS = 6, 4
_CELL, _MARGIN, _CAPTION = 160, 8, 18  # pixels
_QUALITY = 85
_PAPER, _INK = (255, 255, 255), (60, 60, 60)
_FONT_SCALE = 0.4
_LONGEST_CAPTION = 23  # characters that fit under a cell

Item = TypeVar("Item")


def contact_sheet(store: Store, sources: Sequence[SourceFile]) -> bytes:
    """Show some sources beside their counterparts.

    Args:
        store: Where the counterparts are.
        sources: Where to choose from; a few.

    Returns:
        A JPEG file; empty where there is nothing to show.

    What cannot be read is left white: a picture is never a reason for a run to end.
    """
    shown = [(source, store.variants(source.key)[:_COUNTERPARTS]) for source in sources]
    bands = [_band(source, rows, store) for source, rows in spread([pair for pair in shown if pair[1]], _ROWS)]
    if not bands:
        return b""
    width = max(band.shape[1] for band in bands)
    whole = np.vstack([_padded(band, band.shape[0], width) for band in bands])
    sheet = cv2.copyMakeBorder(whole, 0, _MARGIN, 0, _MARGIN, cv2.BORDER_CONSTANT, value=_PAPER)
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """Choose at most so many items, evenly, so that a data set sorted by class shows several of them."""
    if len(items) <= most:
        return list(items)
    return [items[place * len(items) // most] for place in range(most)]


def _band(source: SourceFile, rows: Sequence[Row], store: Store) -> NDArray[np.uint8]:
    cells = [_cell(_or_white(lambda: read_image(Path(source.path))), source.key)]
    cells += [_cell(_or_white(lambda row=row: _decoded(store.read(row))), row.prompt) for row in rows]  # type: ignore[misc]
    height = max(cell.shape[0] for cell in cells)
    return np.hstack([_padded(cell, height, cell.shape[1]) for cell in cells])


def _or_white(read: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    try:
        return read()
    except (OSError, ValueError, MemoryError, cv2.error):
        return np.full((1, 1, 3), _PAPER, np.uint8)


def _decoded(data: bytes) -> NDArray[np.uint8]:
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if stored is None:
        raise ValueError("not an image that OpenCV reads")
    return np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)


def _cell(image: NDArray[np.uint8], caption: str) -> NDArray[np.uint8]:
    """An image in a cell, shrunk or enlarged to it, with a caption under it."""
    shown = fit(image, _CELL)
    width = shown.shape[1]
    beside = (_CELL - width) // 2
    sides = (_MARGIN, _CAPTION, _MARGIN + beside, _CELL - width - beside)
    cell = np.asarray(cv2.copyMakeBorder(shown, *sides, cv2.BORDER_CONSTANT, value=_PAPER), np.uint8)
    caption = printable(caption)
    short = caption if len(caption) <= _LONGEST_CAPTION else f"...{caption[3 - _LONGEST_CAPTION :]}"
    draw_text(cell, short, (_MARGIN, cell.shape[0] - 5), _FONT_SCALE, _INK)
    return cell


def _padded(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    below, beside = height - image.shape[0], width - image.shape[1]
    return np.asarray(cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=_PAPER), np.uint8)
