"""What every family does to its numbers on the way to a picture: soften, light, lay over a ground, finish."""

import cv2
import numpy as np

from fractal_assets.rendering.aliases import Array, Image

SUPERSAMPLING = 2
SRGB_LINEAR_END = 0.0031308


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Rise from 0 at `low` to 1 at `high` with level ends: 3 t^2 - 2 t^3."""
    part = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(part * part * (3.0 - 2.0 * part))


def stretched(plane: Array, low: float, high: float) -> Array:
    """Spread a plane so that its `low` and `high` percentiles come to 0 and 1, and hold the rest there."""
    first, last = np.percentile(plane, [low, high])
    return np.asarray(np.clip((plane - first) / max(float(last - first), 1e-6), 0.0, 1.0))


def wave(value: Array) -> Array:
    """Go to and fro between 0 and 1 once for every unit of `value`, with no jump."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * value)


def blurred(plane: Array, sigma: float) -> Array:
    """Blur with a Gaussian of `sigma` pixels, the border mirrored."""
    result: Array = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return result


def relief(height: Array, strength: float, sigma: float = 1.0) -> Array:
    """Light a height field from the upper left.

    Args:
        height: Array (H, W); its scale does not matter with `strength` given for it.
        strength: How steep a unit of height over the picture's width appears.
        sigma: Softening in pixels before the slope is taken.

    Returns:
        Array (H, W): the factor to multiply linear light by, 1 on level ground, within [0.35, 1.65].
    """
    soft = blurred(height, sigma)
    steepness = strength * height.shape[0] / 512.0
    slope_y, slope_x = np.gradient(soft)
    slope_x, slope_y = slope_x * steepness, slope_y * steepness
    lambert = (0.5 * (slope_x + slope_y) + 0.8) / np.sqrt(slope_x**2 + slope_y**2 + 1.0)
    return np.asarray(np.clip(lambert / 0.8, 0.35, 1.65), dtype=np.float32)


def vignette(side: int, depth: float) -> Array:
    """Darken towards the corners: 1 in the middle, `1 - depth` in the corners."""
    axis = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    return 1.0 - depth * (axis[:, None] ** 2 + axis[None, :] ** 2) / 2.0


def layered(ground: Array, paint: Array, cover: Array) -> Array:
    """Lay paint over a ground where `cover` (H, W), in [0, 1], is opaque."""
    return np.asarray(ground + (paint - ground) * cover[..., None])


def finished(linear: Array, side: int) -> Image:
    """Reduce linear light to the picture's size by area and encode it as sRGB.

    Args:
        linear: Array (S, S, 3) of linear-light RGB, usually twice the size.
        side: Width and height of the result in pixels.

    Returns:
        Array (side, side, 3) of uint8 RGB.
    """
    small = np.clip(cv2.resize(linear.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA), 0.0, 1.0)
    encoded = np.where(small <= SRGB_LINEAR_END, 12.92 * small, 1.055 * small ** (1.0 / 2.4) - 0.055)
    return np.rint(encoded * 255.0).astype(np.uint8)
