"""Shared helpers of the procedural filters: light, colour, noise and drawing on float RGB in [0, 1].

Lengths are given in sides: one side is the geometric mean of height and width, so an effect looks the same at any size.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]
Color = tuple[float, float, float]

SUBPIXEL_BITS = 4
"""Fixed-point bits with which OpenCV draws between pixels."""
LUMA = np.array([0.299, 0.587, 0.114])
REDUCE_ABOVE = 4
"""Pixels of standard deviation from which a blur is done on a reduced copy."""


def as_float(image: Image) -> Plane:
    """Grey levels 0 to 255 as light from 0 to 1."""
    return np.asarray(np.multiply(image, np.float32(1 / 255), dtype=np.float32))


def as_image(light: NDArray[np.floating]) -> Image:
    """Light from 0 to 1 as grey levels, rounded and clipped."""
    return np.asarray(np.clip(light * np.float32(255) + np.float32(0.5), 0, 255), np.uint8)


def clip(light: NDArray[np.floating]) -> Plane:
    """Light cut off at black, 0, and white, 1."""
    return np.asarray(np.clip(light, 0, 1), np.float32)


def side_of(plane: NDArray[np.generic]) -> float:
    """Geometric mean of height and width, in pixels: the unit of every length here."""
    return float(np.sqrt(plane.shape[0] * plane.shape[1]))


def grid(plane: NDArray[np.generic]) -> tuple[Plane, Plane]:
    """Row and column coordinates in [0, 1], shaped `(H, 1)` and `(1, W)`."""
    height, width = plane.shape[:2]
    rows = (np.arange(height, dtype=np.float32) + 0.5) / height
    columns = (np.arange(width, dtype=np.float32) + 0.5) / width
    return rows[:, None], columns[None, :]


def resize(plane: Plane, size: tuple[int, int], interpolation: int = cv2.INTER_LINEAR) -> Plane:
    """Resize to `(height, width)`."""
    return np.asarray(cv2.resize(plane, (size[1], size[0]), interpolation=interpolation), np.float32)


def blur(plane: Plane, sides: float) -> Plane:
    """Gaussian blur with a standard deviation in sides."""
    sigma = max(sides * side_of(plane), 0.1)
    if sigma < REDUCE_ABOVE:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)
    height, width = plane.shape[:2]
    reduced = resize(plane, (max(1, round(height * 2 / sigma)), max(1, round(width * 2 / sigma))), cv2.INTER_AREA)
    return resize(np.asarray(cv2.GaussianBlur(reduced, (0, 0), 2), np.float32), (height, width), cv2.INTER_CUBIC)


def luma(light: Plane) -> Plane:
    """Perceived brightness of RGB, `(H, W)`."""
    return np.asarray(cv2.cvtColor(light, cv2.COLOR_RGB2GRAY), np.float32)


def rgb(plane: NDArray[np.floating]) -> Plane:
    """One plane as three equal channels: far faster than broadcasting over them."""
    return np.asarray(cv2.cvtColor(plane.astype(np.float32, copy=False), cv2.COLOR_GRAY2RGB), np.float32)


def tinted(plane: Plane, color: Color) -> Plane:
    """A plane of light in one colour."""
    return times(rgb(plane), color)


def times(light: Plane, color: Color) -> Plane:
    """Light through a coloured glass."""
    return np.asarray(cv2.transform(light, np.diag(color)), np.float32)


def smoothstep(low: float, high: float, value: NDArray[np.floating]) -> Plane:
    """0 up to `low`, 1 from `high` on, smooth between; `low` above `high` falls instead of rising."""
    ramp = clip((value - low) * np.float32(1 / (high - low)))
    return ramp * ramp * (3 - 2 * ramp)


def blend(under: Plane, over: Plane | Color, cover: Plane | float) -> Plane:
    """`over`, an image or one colour, laid on `under` with the opacity `cover`, a plane or one number."""
    gap = under - over if isinstance(over, np.ndarray) else _minus(under, over)
    opacity = rgb(cover) if isinstance(cover, np.ndarray) and cover.ndim < under.ndim else cover
    return np.asarray(under - gap * opacity, np.float32)


def _minus(light: Plane, color: Color) -> Plane:
    return np.asarray(cv2.transform(light, np.column_stack([np.eye(3), np.negative(color)])), np.float32)


def screen(under: Plane, glow: Plane) -> Plane:
    """Add light the way two projectors do: never beyond white."""
    return np.asarray(1 - (1 - clip(under)) * (1 - clip(glow)), np.float32)


def saturate(light: Plane, amount: float) -> Plane:
    """Scale the distance from grey: 0 is grey, 1 changes nothing."""
    matrix = np.eye(3) * amount + (1 - amount) * LUMA
    return clip(np.asarray(cv2.transform(light, matrix), np.float32))


def stretch(light: Plane) -> Plane:
    """Spread the tones over [0, 1]; a scene with hardly any is spread less, so that its noise stays quiet."""
    low, high = np.percentile(light[::2, ::2], (1, 99)).tolist()
    return clip((light - low) * np.float32(1 / max(high - low, 0.25)))


def color_ramp(stops: Sequence[Color], position: NDArray[np.floating]) -> Plane:
    """Colours along evenly spaced `stops` at a position in [0, 1]."""
    at, knots = np.linspace(0, 1, 256), np.linspace(0, 1, len(stops))
    table = np.stack([np.interp(at, knots, channel) for channel in np.transpose(stops)], axis=1)
    levels = cv2.cvtColor(as_image(position), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.LUT(levels, table[None].astype(np.float32)), np.float32)


def noise(
    like: NDArray[np.generic], bumps: float | tuple[float, float], rng: np.random.Generator, octaves: int = 1
) -> Plane:
    """Smooth noise in [0, 1], `(H, W)`, with so many bumps to a side (or down and across)."""
    height, width = like.shape[:2]
    down, across = bumps if isinstance(bumps, tuple) else (bumps, bumps)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        scale = 2**octave / side_of(like)
        knots = (int(height * scale * down) + 2, int(width * scale * across) + 2)
        layer = resize(rng.random(knots, dtype=np.float32), (height, width), cv2.INTER_CUBIC)
        total += layer * np.float32(0.5**octave)
    return clip(total * np.float32(1 / (2 - 0.5 ** (octaves - 1))))


def edge_strength(plane: Plane, sides: float) -> Plane:
    """Gradient's length after a blur, near 1 for a full black-to-white step."""
    soft = blur(plane, sides)
    reach = 2.5 / 8 * max(sides * side_of(plane), 0.5)
    across = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=reach)
    down = cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=reach)
    return np.asarray(cv2.magnitude(across, down), np.float32)


def calmness(light: Plane) -> Plane:
    """1 where the scene is plain (sky, wall, cloth), falling to 0 where it is busy."""
    busy = blur(edge_strength(luma(light), 0.006), 0.02)
    return np.asarray(np.exp(-12 * np.maximum(busy, 0)), np.float32)


def flatten(light: Plane, sides: float) -> Plane:
    """Kuwahara's filter with soft weights: each pixel takes after the calmest of the four squares that touch it."""
    height, width = light.shape[:2]
    reach = max(1, round(sides * side_of(light)))
    padded = np.asarray(cv2.copyMakeBorder(light, reach, reach, reach, reach, cv2.BORDER_REFLECT), np.float32)
    means = cv2.boxFilter(padded, -1, (reach + 1, reach + 1), anchor=(0, 0))
    grey = luma(padded)
    spread = cv2.sqrBoxFilter(grey, cv2.CV_32F, (reach + 1, reach + 1), anchor=(0, 0)) - np.square(
        luma(np.asarray(means, np.float32))
    )
    weight = 1 / np.square(np.square(np.maximum(spread, 0) * np.float32(400) + np.float32(0.02)))
    weighted = means * rgb(weight)
    corners = [np.s_[y : y + height, x : x + width] for y in (0, reach) for x in (0, reach)]
    total = np.sum([weighted[corner] for corner in corners], axis=0)
    return clip(total / rgb(np.sum([weight[corner] for corner in corners], axis=0)))


def dots(like: NDArray[np.generic], count: int, radii: tuple[float, float], rng: np.random.Generator) -> Plane:
    """Round dots at random places, radii in sides, each with its own opacity in [0.35, 1]."""
    height, width = like.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    unit = 1 << SUBPIXEL_BITS
    for across, down, size, opacity in rng.random((count, 4)).tolist():
        radius = (radii[0] + (radii[1] - radii[0]) * size * size) * side_of(like)
        value = 255 * (0.35 + 0.65 * opacity) * min(1.0, 4 * radius * radius)  # a dot below a pixel is fainter
        center = (round(across * width * unit), round(down * height * unit))
        cv2.circle(mask, center, max(round(radius * unit), unit // 2), value, -1, cv2.LINE_AA, SUBPIXEL_BITS)
    return as_float(mask)


def draw_lines(canvas: Image, lines: Sequence[NDArray[np.floating]], thickness: float, color: Color) -> None:
    """Draw on `canvas` lines through points `(N, 2)` of (column, row) in [0, 1]; the thickness is in sides."""
    height, width = canvas.shape[:2]
    paths = [fixed_point(line * (width, height)) for line in lines]
    pixels = max(1, round(thickness * side_of(canvas)))
    cv2.polylines(
        canvas, paths, isClosed=False, color=color, thickness=pixels, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS
    )


def fixed_point(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Points in pixels as OpenCV wants them for drawing between pixels."""
    return np.round(points * (1 << SUBPIXEL_BITS)).astype(np.int32)


def lines_mask(like: NDArray[np.generic], lines: Sequence[NDArray[np.floating]], thickness: float) -> Plane:
    """Opacity of lines, as `draw_lines` takes them, on nothing; thinner than a pixel means fainter."""
    mask = np.zeros(like.shape[:2], np.uint8)
    draw_lines(mask, lines, thickness, (255 * min(1.0, thickness * side_of(like)), 0, 0))
    return as_float(mask)
