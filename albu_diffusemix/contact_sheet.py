"""Drawing contact sheets: rows of pictures with captions, on white paper."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.text import printable

__all__ = ["CELL", "Cell", "draw_sheet", "draw_text", "fit"]

Picture = NDArray[np.uint8]

CELL = 192
"""Longest side of a picture on a sheet, in pixels."""

_GAP, _CAPTION, _LINE = 12, 26, 34  # pixels
_PAPER, _INK, _FAINT, _FRAME = 255, (40, 40, 40), (130, 130, 130), (205, 205, 205)
_FONT, _LARGE, _SMALL = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 0.42
_LONGEST_CAPTION = 60  # characters of which some may fit


class Cell(NamedTuple):
    """One picture of a sheet.

    Attributes:
        picture: (H, W, 3) uint8 RGB; None leaves the place empty.
        caption: What stands below it.

    """

    picture: Picture | None
    caption: str


def draw_sheet(rows: Sequence[Sequence[Cell]], headings: Sequence[str], footer: str = "") -> Picture:
    """Draw rows of cells below the names of their columns.

    Args:
        rows: Each row is as high as its highest picture.
        headings: Names of the columns, from the left; the last ones may have no heading.
        footer: What stands below all rows.

    Returns:
        (H, W, 3) uint8 RGB.

    """
    width = max(map(len, [headings, *rows])) * (CELL + _GAP)
    bands = [_line(headings, width, _LARGE, _INK), *(_band(row, width) for row in rows)]
    if footer:
        bands.append(_line([footer], width, _SMALL, _FAINT))
    return np.pad(np.concatenate(bands), ((0, 0), (_GAP, 0), (0, 0)), constant_values=_PAPER)


def draw_text(paper: Picture, text: str, place: tuple[int, int], scale: float, ink: tuple[int, int, int]) -> None:
    """Write a line of text on a picture, in place.

    Args:
        paper: (H, W, 3) uint8.
        text: Anything, from anywhere.
        place: Left edge and baseline in pixels.
        scale: Of the font; 0.4 gives capitals of 9 pixels.
        ink: The color.

    """
    cv2.putText(paper, _plain(text), place, _FONT, scale, ink, 1, cv2.LINE_AA)


def fit(picture: Picture, side: int) -> Picture:
    """Shrink or enlarge a picture so that its longer side has this many pixels."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=interpolation), np.uint8)


def _band(row: Sequence[Cell], width: int) -> Picture:
    pictures = [None if cell.picture is None else fit(cell.picture, CELL) for cell in row]
    height = max((picture.shape[0] for picture in pictures if picture is not None), default=_CAPTION)
    band = np.full((height + _CAPTION + _GAP, width, 3), _PAPER, np.uint8)
    for place, (picture, cell) in enumerate(zip(pictures, row, strict=True)):
        left = place * (CELL + _GAP)
        draw_text(band, _shortened(cell.caption), (left, height + 17), _SMALL, _FAINT)
        if picture is not None:
            rows, columns = picture.shape[:2]
            left += (CELL - columns) // 2
            band[:rows, left : left + columns] = picture
            cv2.rectangle(band, (left, 0), (left + columns - 1, rows - 1), _FRAME)
    return band


def _line(texts: Sequence[str], width: int, scale: float, ink: tuple[int, int, int]) -> Picture:
    line = np.full((_LINE, width, 3), _PAPER, np.uint8)
    for place, text in enumerate(texts):
        draw_text(line, text, (place * (CELL + _GAP), 22), scale, ink)
    return line


def _shortened(caption: str) -> str:
    """Cut the beginning off a caption that is wider than its cell: of a path, the end says most."""
    shown = kept = _plain(caption)
    while len(shown) > _LONGEST_CAPTION or cv2.getTextSize(shown, _FONT, _SMALL, 1)[0][0] > CELL:
        kept = kept[1:][-_LONGEST_CAPTION:]
        shown = f"...{kept}"
    return shown


def _plain(text: str) -> str:
    """Replace what OpenCV's font lacks: it has ASCII alone, and text that is not UTF-8 ends the process."""
    return printable(text).encode("ascii", "replace").decode("ascii")
