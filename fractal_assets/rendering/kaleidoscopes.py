"""Kaleidoscopes: the plane is folded into a wedge, enlarged, shifted and turned, again and again."""

import math

import numpy as np

from fractal_assets.rendering import tone
from fractal_assets.rendering.aliases import Array, Image, Params
from fractal_assets.rendering.compiled import compiled
from fractal_assets.rendering.palettes import colours_at, draw_palette, palette_table

MIRRORS = (6, 4, 5, 8, 3)
STEPS = 14
LOST = 2.0  # a fold says nothing more once its pixel has spread this far


@compiled
def _folded(z: complex, mirrors: int) -> complex:
    wedge = math.pi / mirrors
    angle = math.atan2(z.imag, z.real) % (2.0 * wedge)
    angle = min(angle, 2.0 * wedge - angle)
    return abs(z) * complex(math.cos(angle), math.sin(angle))


@compiled
def _lace(
    z: complex, spread: float, mirrors: int, scale: float, shift: complex, turn: complex, inverted: float, ring: float
) -> tuple[float, float, float]:
    # `spread` is what the pixel has grown to: folds finer than that are faded out.
    nearest, depth, heat = 4.0, 0.0, 0.0
    for step in range(STEPS):
        z = _folded(z, mirrors)
        if abs(z) < inverted:
            growth = (inverted / (abs(z) + 1e-9)) ** 2
            z *= growth
            spread *= growth
        z = (z * scale - shift) * turn
        spread *= scale
        seen = min(abs(abs(z) - ring), abs(z.imag)) + 2.0 * spread
        if seen < nearest:
            nearest, depth = seen, float(step)
        heat += math.exp(-abs(z)) / (1.0 + (6.0 * spread) ** 2)
        if spread > LOST:
            break
    return nearest, depth, heat


@compiled
def _fields(
    side: int, reach: float, mirrors: int, scale: float, shift: complex, turn: complex, inverted: float, ring: float
) -> Array:
    fields = np.zeros((side, side, 3), dtype=np.float32)
    pixel = 2.0 * reach / side
    for row in range(side):
        for column in range(side):
            z = complex((column + 0.5) * pixel - reach, (row + 0.5) * pixel - reach)
            nearest, depth, heat = _lace(z, pixel, mirrors, scale, shift, turn, inverted, ring)
            fields[row, column, 0] = nearest
            fields[row, column, 1] = depth
            fields[row, column, 2] = heat
    return fields


def draw_kaleidoscope(rng: np.random.Generator, order: int) -> Params:
    """Draw a kaleidoscope.

    Args:
        rng: Source of the numbers.
        order: The image's place in its family, from 0: settles the number of mirrors and the first hue.

    Returns:
        Parameters for `render_kaleidoscope`, of plain JSON types.
    """
    return {
        "mirrors": MIRRORS[order % len(MIRRORS)],
        "reach": round(float(rng.uniform(0.7, 1.5)), 4),
        "scale": round(float(rng.uniform(1.25, 2.0)), 4),
        "shift": [round(float(value), 4) for value in (rng.uniform(0.5, 1.2), rng.uniform(0.0, 0.6))],
        "turn": round(float(rng.uniform(-0.8, 0.8)), 4),
        "inverted": round(float(rng.uniform(0.4, 0.8)), 4) if order % 2 else 0.0,
        "ring": round(float(rng.uniform(0.3, 0.8)), 4),
        "width": round(float(rng.uniform(0.08, 0.2)), 4),
        "bands": round(float(rng.uniform(0.4, 0.9)), 4),
        "palette": draw_palette(rng, order),
    }


def render_kaleidoscope(params: Params, side: int) -> Image:
    """Render a kaleidoscope from its parameters: the same for the same parameters, whatever was rendered before.

    Args:
        params: Parameters from `draw_kaleidoscope`.
        side: Width and height in pixels.

    Returns:
        Array (side, side, 3) of uint8 RGB.
    """
    large = side * tone.SUPERSAMPLING
    turn = complex(math.cos(params["turn"]), math.sin(params["turn"]))
    fields = _fields(
        large, params["reach"], params["mirrors"], params["scale"], complex(*params["shift"]), turn,
        params["inverted"], params["ring"],
    )  # fmt: skip
    nearest, depth, heat = np.moveaxis(fields, -1, 0)
    table = palette_table(params["palette"])
    heat = tone.stretched(heat, 1.0, 99.0)
    ground = colours_at(table, 0.04 + 0.55 * tone.wave(params["bands"] * heat))
    ground = ground * tone.relief(heat, 16.0, large / 420.0)[..., None]
    glow = np.exp(-nearest / params["width"])
    threads = colours_at(table, 0.40 + 0.45 * glow + 0.12 * tone.wave(depth / 5.0))
    threads = threads * tone.relief(glow, 10.0, large / 420.0)[..., None]
    picture = tone.layered(ground, threads, tone.smoothstep(0.1, 0.8, glow))
    return tone.finished(picture * tone.vignette(large, 0.35)[..., None], side)
