"""Julia sets of z^n + c, coloured by orbit traps."""

import math
from enum import IntEnum

import numpy as np

from fractal_assets.rendering import tone
from fractal_assets.rendering.aliases import Array, Image, Params
from fractal_assets.rendering.compiled import compiled
from fractal_assets.rendering.palettes import colours_at, draw_palette, palette_table

STEPS = 160
BAILOUT = 1e6
LOST = 1e4  # an orbit says nothing more once its pixel has spread this far
POWERS = (2, 2, 3, 2, 4)


class Trap(IntEnum):
    """The shapes that orbits are caught by; the manifest has the names in lower case."""

    POINT = 0
    CROSS = 1
    RING = 2
    PETALS = 3
    LINE = 4


@compiled
def _to_trap(kind: int, z: complex, size: float, lean: float) -> float:
    across = z.real * math.cos(lean) + z.imag * math.sin(lean)
    along = z.imag * math.cos(lean) - z.real * math.sin(lean)
    if kind == Trap.POINT:
        return math.hypot(across - size, along)
    if kind == Trap.CROSS:
        return min(abs(across), abs(along))
    radius = math.hypot(across, along)
    if kind == Trap.RING:
        return abs(radius - size)
    if kind == Trap.PETALS:
        return abs(radius - size * (1.0 + 0.4 * math.cos(5.0 * math.atan2(along, across))))
    return abs(across - 0.5 * size)


@compiled
def _trapped(
    z: complex, pixel: float, power: int, c: complex, kind: int, size: float, lean: float, steps: int
) -> tuple[float, float, float]:
    # `spread` is what the pixel has grown to under the map: an orbit counts only as far as the pixel still sees it.
    spread = pixel
    nearest, when, stay = 4.0, 0.0, 0.0
    for step in range(steps):
        spread *= power * abs(z) ** (power - 1)
        raised = z
        for _ in range(power - 1):
            raised = raised * z
        z = raised + c
        reached = abs(z)
        if not reached < BAILOUT or spread > LOST:
            break
        sight = 1.0 / (1.0 + (6.0 * spread) ** 2)
        stay += math.exp(-reached) * sight
        seen = _to_trap(kind, z, size, lean) + 1.5 * spread
        if step > 0 and seen < nearest:
            nearest, when = seen, float(step)
    return nearest, when, stay


@compiled
def _fields(
    side: int, reach: float, tilt: float, power: int, c: complex, kind: int, size: float, lean: float,
    steps: int,
) -> Array:  # fmt: skip
    fields = np.zeros((side, side, 3), dtype=np.float32)
    pixel = 2.0 * reach / side
    turn = complex(math.cos(tilt), math.sin(tilt))
    for row in range(side):
        for column in range(side):
            z = complex((column + 0.5) * pixel - reach, (row + 0.5) * pixel - reach) * turn
            nearest, when, stay = _trapped(z, pixel, power, c, kind, size, lean, steps)
            fields[row, column, 0] = nearest
            fields[row, column, 1] = when
            fields[row, column, 2] = stay
    return fields


def draw_julia(rng: np.random.Generator, order: int) -> Params:
    """Draw a Julia set whose c lies just outside the boundary of its Mandelbrot set, and a trap.

    Args:
        rng: Source of the numbers.
        order: The image's place in its family, from 0: settles its power, trap and first hue.

    Returns:
        Parameters for `render_julia`, of plain JSON types.
    """
    power = POWERS[order % len(POWERS)]
    c = _draw_c(rng, power)
    return {
        "power": power,
        "c": [round(c.real, 6), round(c.imag, 6)],
        "trap": Trap((order + order // len(Trap)) % len(Trap)).name.lower(),
        "trap_size": round(float(rng.uniform(0.25, 0.8)), 4),
        "trap_lean": round(float(rng.uniform(0.0, math.pi)), 4),
        "trap_width": round(float(rng.uniform(0.05, 0.16)), 4),
        "reach": round(float(rng.uniform(0.75, 1.3)), 4),
        "tilt": round(float(rng.uniform(0.0, math.pi)), 4),
        "bands": round(float(rng.uniform(0.5, 1.1)), 4),
        "palette": draw_palette(rng, order),
    }


def render_julia(params: Params, side: int) -> Image:
    """Render a Julia set from its parameters: the same for the same parameters, whatever was rendered before.

    Args:
        params: Parameters from `draw_julia`.
        side: Width and height in pixels.

    Returns:
        Array (side, side, 3) of uint8 RGB.
    """
    large = side * tone.SUPERSAMPLING
    fields = _fields(
        large, params["reach"], params["tilt"], params["power"], complex(*params["c"]),
        Trap[params["trap"].upper()], params["trap_size"], params["trap_lean"], STEPS,
    )  # fmt: skip
    nearest, when, stay = np.moveaxis(fields, -1, 0)
    table = palette_table(params["palette"])
    depth = np.log1p(stay)
    ground_place = 0.02 + 0.45 * tone.wave(params["bands"] * depth)
    ground = colours_at(table, ground_place) * tone.relief(depth, 8.0, large / 500.0)[..., None]
    glow = np.exp(-nearest / params["trap_width"])
    rings = tone.wave(0.9 * np.log(nearest + 1e-4))
    paint = colours_at(table, 0.30 + 0.40 * glow + 0.22 * rings + 0.10 * tone.wave(when / 9.0))
    lit = paint * tone.relief(glow, 10.0, large / 400.0)[..., None]
    cover = tone.smoothstep(0.05, 0.75, glow)
    return tone.finished(tone.layered(ground * tone.vignette(large, 0.25)[..., None], lit, cover), side)


def _draw_c(rng: np.random.Generator, power: int) -> complex:
    # The boundary of the main component of z^n + c is z - z^n over |z| = n^(-1 / (n - 1)).
    radius = power ** (-1.0 / (power - 1))
    angle = rng.uniform(0.0, 2.0 * math.pi)
    z = complex(radius * math.cos(angle), radius * math.sin(angle))
    return (z - z**power) * float(rng.uniform(1.01, 1.12))
