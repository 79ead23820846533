"""Gradient palettes of two to four hues, laid out in OKLCH so that they run evenly from dark to light."""

import numpy as np

from fractal_assets.rendering.aliases import Array

TABLE_SIZE = 1024
GOLDEN_ANGLE = 137.508

# Degrees away from the first hue: few hues, in relations that painters use.
HARMONIES = (
    (0.0, 35.0),
    (0.0, -45.0),
    (0.0, 180.0),
    (0.0, 25.0, 50.0),
    (0.0, -30.0, -75.0),
    (0.0, 150.0, 190.0),
    (0.0, 40.0, 200.0),
    (0.0, -60.0, 120.0),
    (0.0, 30.0, 60.0, 200.0),
    (0.0, -35.0, -150.0, 170.0),
)

OKLAB_TO_CONE = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
)
CONE_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def draw_palette(rng: np.random.Generator, order: int) -> list[list[float]]:
    """Draw the stops of a gradient, from its dark ground to its light end.

    Neighbouring images of a family start a golden angle apart on the hue circle, so that a family goes round it evenly.

    Args:
        rng: Source of the numbers.
        order: The image's place in its family, from 0.

    Returns:
        Five stops of `[lightness 0-1, chroma 0-0.2, hue 0-360]` in OKLCH.
    """
    first = order * GOLDEN_ANGLE + rng.uniform(-20.0, 20.0)
    harmony = HARMONIES[rng.integers(len(HARMONIES))]
    places = np.linspace(0.0, len(harmony) - 1.0, 5).round().astype(int)
    lightness = np.array([0.25, 0.36, 0.52, 0.70, 0.88]) + rng.uniform(-0.03, 0.04, 5)
    chroma = np.array([0.06, 0.10, 0.13, 0.13, 0.08]) * rng.uniform(0.8, 1.2)
    hues = [(first + harmony[place]) % 360.0 for place in places]
    return [[round(float(value), 4) for value in stop] for stop in zip(lightness, chroma, hues, strict=True)]


def palette_table(stops: list[list[float]]) -> Array:
    """Turn stops into a table of linear-light colours, evenly spaced from the dark end to the light end.

    Args:
        stops: Stops as `draw_palette` gives them.

    Returns:
        Array `(1024, 3)` of float32 in [0, 1]: linear-light RGB.
    """
    lightness, chroma, hue = np.array(stops).T
    turn = np.deg2rad(hue)
    lab = np.stack([lightness, chroma * np.cos(turn), chroma * np.sin(turn)])
    at = np.linspace(0.0, 1.0, TABLE_SIZE)
    knots = np.linspace(0.0, 1.0, len(stops))
    gradient = np.stack([np.interp(at, knots, channel) for channel in lab], axis=1)
    rgb = (gradient @ OKLAB_TO_CONE.T) ** 3 @ CONE_TO_RGB.T
    return np.asarray(np.clip(rgb, 0.0, 1.0), dtype=np.float32)


def colours_at(table: Array, place: Array) -> Array:
    """Look colours up by their place in the gradient, with linear interpolation.

    Args:
        table: A table from `palette_table`.
        place: Array of any shape; values are held within [0, 1].

    Returns:
        Array of float32 linear-light RGB, with a last axis of 3.
    """
    exact = np.clip(place, 0.0, 1.0) * (TABLE_SIZE - 1)
    lower = np.minimum(exact.astype(np.int32), TABLE_SIZE - 2)
    share = (exact - lower).astype(np.float32)[..., None]
    return np.asarray(table[lower] * (1.0 - share) + table[lower + 1] * share)
