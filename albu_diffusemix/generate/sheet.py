"""The picture in a store's README: a few sources beside their counterparts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.generate.scan import SourceFile
from albu_diffusemix.images import read_image
from albu_diffusemix.store import Row, Store

__all__ = ["SHOWN", "contact_sheet", "spread"]

SHOWN = 30
"""Sources to choose from for a contact sheet, since not each has counterparts yet."""

_ROWS, _COUNTERPARTS = 6, 4
_CELL, _MARGIN, _CAPTION = 160, 8, 18  # pixels
_QUALITY = 85
_PAPER, _INK = (255, 255, 255), (60, 60, 60)
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4
_LONGEST_CAPTION = 23  # characters that fit under a cell

Item = TypeVar("Item")


def contact_sheet(store: Store, sources: Sequence[SourceFile]) -> bytes:
    """Show some sources beside their counterparts.

    Args:
        store: Where the counterparts are.
        sources: Where to choose from; a few.

    Returns:
        A JPEG file; empty where there is nothing to show.

    Raises:
        ValueError: The store is damaged.

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
    try:
        cells = [_cell(read_image(Path(source.path)), source.key)]
    except (OSError, ValueError):  # moved away since
        cells = [_cell(np.full((1, 1, 3), _PAPER, np.uint8), source.key)]
    for row in rows:
        cells.append(_cell(_decoded(store.read(row)), row.prompt))
    height = max(cell.shape[0] for cell in cells)
    return np.hstack([_padded(cell, height, cell.shape[1]) for cell in cells])


def _decoded(data: bytes) -> NDArray[np.uint8]:
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if stored is None:
        return np.full((1, 1, 3), _PAPER, np.uint8)
    return np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)


def _cell(image: NDArray[np.uint8], caption: str) -> NDArray[np.uint8]:
    """An image in a cell, shrunk or enlarged to it, with a caption under it."""
    height, width = image.shape[:2]
    scale = _CELL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))
    beside = (_CELL - size[0]) // 2
    cell = cv2.copyMakeBorder(
        shown, _MARGIN, _CAPTION, _MARGIN + beside, _CELL - size[0] - beside, cv2.BORDER_CONSTANT, value=_PAPER
    )
    short = caption if len(caption) <= _LONGEST_CAPTION else f"...{caption[3 - _LONGEST_CAPTION :]}"
    plain = short.encode("ascii", "replace").decode()  # the font has no other letters
    place = (_MARGIN, cell.shape[0] - 5)
    return np.asarray(cv2.putText(cell, plain, place, _FONT, _FONT_SCALE, _INK, 1, cv2.LINE_AA), np.uint8)


def _padded(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    below, beside = height - image.shape[0], width - image.shape[1]
    return np.asarray(cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=_PAPER), np.uint8)
