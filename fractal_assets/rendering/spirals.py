"""Spirals of beads: a logarithm winds a lattice round one point or between two, and each bead holds a spiral again."""

import math

import numpy as np

from fractal_assets.rendering import tone
from fractal_assets.rendering.aliases import Array, Image, Params
from fractal_assets.rendering.compiled import compiled
from fractal_assets.rendering.palettes import colours_at, draw_palette, palette_table

# Steps of the lattice in one turn round the middle, along and across its rows.
OUTER = ((3, 8), (2, 5), (5, 7), (3, 4), (2, 9))
INNER = ((2, 3), (1, 4), (3, 5), (2, 4), (3, 3))
LEVELS = 3
FADING = 0.6


@compiled
def _wound(z: complex, spread: float, rows: int, rungs: int) -> tuple[complex, float]:
    # One turn round the middle, 2 pi i in log z, is `rows` cells along one axis and `rungs` along the other.
    size = abs(z) + 1e-9
    cell = complex(0.0, 2.0 * math.pi) / complex(rows, rungs)
    return complex(math.log(size), math.atan2(z.imag, z.real)) / cell, spread / (size * abs(cell))


@compiled
def _beads(
    z: complex, spread: float, rows: int, rungs: int, inner_rows: int, inner_rungs: int, bead: float
) -> tuple[float, float, float]:
    height, rim, weight = 0.0, 0.0, 1.0
    row = 0.0
    for level in range(LEVELS):
        if level == 0:
            w, spread = _wound(z, spread, rows, rungs)
            row = math.floor(w.real + 0.5) % rows
        else:
            w, spread = _wound(z, spread, inner_rows, inner_rungs)
        cell = complex(w.real - math.floor(w.real + 0.5), w.imag - math.floor(w.imag + 0.5))
        seen = weight / (1.0 + (2.5 * spread) ** 2)
        out = abs(cell) / bead
        rim += seen * math.exp(-((out - 1.0) ** 2) * 40.0)
        if out >= 1.0:
            break
        height += seen * math.sqrt(1.0 - out * out)
        z, spread, weight = cell / bead, spread / bead, FADING * weight
    return height, rim, row


@compiled
def _fields(
    side: int, reach: float, poles: float, rows: int, rungs: int, inner_rows: int, inner_rungs: int, bead: float
) -> Array:
    fields = np.zeros((side, side, 3), dtype=np.float32)
    pixel = 2.0 * reach / side
    for row in range(side):
        for column in range(side):
            z = complex((column + 0.5) * pixel - reach, (row + 0.5) * pixel - reach)
            spread = pixel
            if poles > 0.0:
                spread *= 2.0 * poles / (abs(z + poles) ** 2 + 1e-9)
                z = (z - poles) / (z + poles + 1e-9)
            height, rim, spiral_row = _beads(z, spread, rows, rungs, inner_rows, inner_rungs, bead)
            fields[row, column, 0] = height
            fields[row, column, 1] = rim
            fields[row, column, 2] = spiral_row
    return fields


def draw_spiral(rng: np.random.Generator, order: int) -> Params:
    """Draw a spiral.

    Args:
        rng: Source of the numbers.
        order: The image's place in its family, from 0: settles its rows and first hue, and whether it has two middles.

    Returns:
        Parameters for `render_spiral`, of plain JSON types.
    """
    rows, rungs = OUTER[order % len(OUTER)]
    return {
        "rows": rows,
        "rungs": rungs * int(rng.choice([-1, 1])),
        "inner": list(INNER[rng.integers(len(INNER))]),
        "poles": round(float(rng.uniform(0.3, 0.6)), 4) if order % 2 else 0.0,
        "bead": round(float(rng.uniform(0.46, 0.52)), 4),
        "reach": round(float(rng.uniform(0.7, 1.2)), 4),
        "palette": draw_palette(rng, order),
    }


def render_spiral(params: Params, side: int) -> Image:
    """Render a spiral from its parameters: the same for the same parameters, whatever was rendered before.

    Args:
        params: Parameters from `draw_spiral`.
        side: Width and height in pixels.

    Returns:
        Array (side, side, 3) of uint8 RGB.
    """
    large = side * tone.SUPERSAMPLING
    rows, rungs = params["rows"], params["rungs"]
    inner_rows, inner_rungs = params["inner"]
    fields = _fields(large, params["reach"], params["poles"], rows, rungs, inner_rows, inner_rungs, params["bead"])
    height, rim, row = np.moveaxis(fields, -1, 0)
    table = palette_table(params["palette"])
    ground = 0.03 + 0.12 * rim
    bead = 0.16 + 0.42 * row / max(rows - 1, 1) + 0.20 * height
    place = ground + (bead - ground) * tone.smoothstep(0.0, 0.25, height)
    light = tone.relief(height, 14.0, large / 420.0) * tone.vignette(large, 0.3)
    return tone.finished(colours_at(table, place) * light[..., None], side)
