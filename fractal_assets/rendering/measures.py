"""Measures of a fractal, each taken at 128x128, and the ranges within which an image is accepted."""

from collections.abc import Callable

import cv2
import numpy as np

from fractal_assets.rendering.aliases import Array, Image

MEASURED_SIDE = 128
CANNY_THRESHOLDS = (100, 200)
NEAR_BLACK = 16
BOX_SIDES = (1, 2, 4, 8, 16, 32)
THUMBNAIL_SIDE = 16

# An accepted image lies within every one of these, both ends included.
RANGES = {
    "edge_density": (0.04, 0.32),
    "colour_entropy": (2.8, 5.5),
    "colourfulness": (12.0, 85.0),
    "box_dimension": (1.1, 1.65),
    "power_slope": (1.9, 3.3),
    "mean_luma": (40.0, 140.0),
    "near_black": (0.0, 0.25),
}
SYMMETRIC = 0.6
LEAST_SYMMETRIC = 40
LEAST_DISTANCE = 20.0


def edge_density(image: Image) -> float:
    """Share of the pixels that Canny (thresholds 100 and 200, 3x3 Sobel, L1 norm) marks as edges of the luma."""
    return float(np.count_nonzero(_edges(image)) / image[..., 0].size)


def colour_entropy(image: Image) -> float:
    """Shannon entropy in bits, -sum p log2 p, of the colours in 8x8x8 = 512 equal bins of RGB: 0 to 9."""
    bins = (image >> 5).astype(np.int32)
    counts = np.bincount((bins[..., 0] * 8 + bins[..., 1]).ravel() * 8 + bins[..., 2].ravel(), minlength=512)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def colourfulness(image: Image) -> float:
    """Hasler and Suesstrunk (2003): hypot(std a, std b) + 0.3 hypot(mean a, mean b), a = R - G, b = (R + G) / 2 - B."""
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    first, second = red - green, (red + green) / 2.0 - blue
    return float(np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean()))


def box_dimension(image: Image) -> float:
    """Box-counting dimension of the Canny edges: the slope of log N(s) over log 1/s, fitted by least squares.

    N(s) of the boxes of side s = 1, 2, 4, 8, 16, 32 px hold an edge pixel. Without edges the dimension is 0.
    """
    edges = _edges(image) > 0
    if not edges.any():
        return 0.0
    side = edges.shape[0]
    counts = [edges.reshape(side // box, box, side // box, box).any(axis=(1, 3)).sum() for box in BOX_SIDES]
    return float(np.polyfit(-np.log(BOX_SIDES), np.log(counts), 1)[0])


def power_slope(image: Image) -> float:
    """Fall of the power spectrum: minus the slope of log P(f) over log f.

    P is the squared magnitude of the Fourier transform of the luma less its mean, under a Hann window, averaged over
    rings one cycle wide; f runs from 2 to 63 cycles an image. White noise has 0, photographs about 2.
    """
    luma = _luma(image).astype(np.float64)
    side = luma.shape[0]
    window = np.hanning(side)
    power = np.abs(np.fft.fft2((luma - luma.mean()) * np.outer(window, window))) ** 2
    cycles = np.fft.fftfreq(side, 1.0 / side)
    ring = np.rint(np.hypot(cycles[:, None], cycles[None, :])).astype(int).ravel()
    mean_power = np.bincount(ring, power.ravel()) / np.bincount(ring)
    radii = np.arange(2, side // 2)
    return float(-np.polyfit(np.log(radii), np.log(mean_power[radii] + 1e-9), 1)[0])


def mean_luma(image: Image) -> float:
    """Mean of the luma 0.299 R + 0.587 G + 0.114 B: 0 to 255."""
    return float(_luma(image).mean())


def near_black(image: Image) -> float:
    """Share of the pixels whose luma is below 16."""
    return float((_luma(image) < NEAR_BLACK).mean())


def mirror_correlation(image: Image) -> float:
    """Pearson's correlation of the luma with its mirror image: the best of left-right, top-bottom and both."""
    luma = _luma(image).astype(np.float64)
    centred = luma - luma.mean()
    spread = (centred**2).sum()
    if spread == 0.0:
        return 1.0
    mirrored = (centred[:, ::-1], centred[::-1], centred[::-1, ::-1])
    return float(max((centred * other).sum() for other in mirrored) / spread)


MEASURES: dict[str, Callable[[Image], float]] = {
    "edge_density": edge_density,
    "colour_entropy": colour_entropy,
    "colourfulness": colourfulness,
    "box_dimension": box_dimension,
    "power_slope": power_slope,
    "mean_luma": mean_luma,
    "near_black": near_black,
    "mirror_correlation": mirror_correlation,
}


def measure(image: Image) -> dict[str, float]:
    """Take every measure of an image, reduced to 128x128 by area first.

    Args:
        image: Array (H, W, 3) of uint8 RGB.

    Returns:
        Measure by name, in the order of `MEASURES`, rounded to 4 decimals.
    """
    small: Image = cv2.resize(image, (MEASURED_SIDE, MEASURED_SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return {name: round(take(small), 4) for name, take in MEASURES.items()}


def out_of_range(measured: dict[str, float]) -> list[str]:
    """Say which measures lie outside their range, as `name value (allowed low to high)`; empty when accepted."""
    return [
        f"{name} {measured[name]} (allowed {low} to {high})"
        for name, (low, high) in RANGES.items()
        if not low <= measured[name] <= high
    ]


def thumbnail(image: Image) -> Array:
    """Reduce an image to 16x16 colours by area: what `distance` compares. Returns float32 (16, 16, 3)."""
    small = cv2.resize(image, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def distance(first: Array, second: Array) -> float:
    """Tell two thumbnails apart: root mean square difference in grey levels, the least over the four flips."""
    flips = (second, second[:, ::-1], second[::-1], second[::-1, ::-1])
    return float(min(np.sqrt(((first - other) ** 2).mean()) for other in flips))


def _luma(image: Image) -> Image:
    grey: Image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
    return grey


def _edges(image: Image) -> Image:
    edges: Image = cv2.Canny(_luma(image), *CANNY_THRESHOLDS)  # type: ignore[assignment]
    return edges
