"""What contact sheets are drawn with: pictures fitted into cells, and text of any origin."""

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.text import printable

__all__ = ["draw_text", "fit"]


def draw_text(
    paper: NDArray[np.uint8], text: str, place: tuple[int, int], scale: float, ink: tuple[int, int, int]
) -> None:
    """Write a line of text on a picture, in place.

    OpenCV's font has ASCII alone, and ends the process at text that is not UTF-8: other letters become question marks,
    and what cannot be printed is escaped.

    Args:
        paper: (H, W, 3) uint8.
        text: Anything, from anywhere.
        place: Left edge and baseline in pixels.
        scale: Of the font; 0.4 gives capitals of 9 pixels.
        ink: The colour.

    """
    plain = printable(text).encode("ascii", "replace").decode("ascii")
    cv2.putText(paper, plain, place, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)


def fit(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Shrink or enlarge a picture so that its longer side has this many pixels."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8
    )
