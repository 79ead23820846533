"""Zooms into the Mandelbrot set, about its small copies and its branch points, and into the burning ship."""

import math

import numpy as np

from fractal_assets.rendering import tone
from fractal_assets.rendering.aliases import Array, Image, Params
from fractal_assets.rendering.compiled import compiled
from fractal_assets.rendering.palettes import colours_at, draw_palette, palette_table

PLACES = ("copy", "branch", "ship", "branch", "copy")
STEPS = 1500
BAILOUT = 1e4
NEWTON_STEPS = 40
MOST_TRIES = 2000
SEARCH_SIDE = 64
MOST_INSIDE = 0.2
FILAMENT_HEIGHT = 1.7


@compiled
def _escape(c: complex, pixel: float, steps: int, ship: int) -> tuple[float, float, float]:
    # Returns the smooth count of steps (-1 inside), the distance to the set in pixels, and the nearest pass to 0.
    z = complex(0.0, 0.0)
    spread = 0.0
    nearest = BAILOUT
    for step in range(steps):
        spread = 2.0 * abs(z) * spread + 1.0
        if ship == 1:
            z = complex(abs(z.real), abs(z.imag))
        z = z * z + c
        size = abs(z)
        if step > 0:
            nearest = min(nearest, size)
        if size > BAILOUT:
            count = step + 1.0 - math.log(math.log(size) / math.log(BAILOUT)) / math.log(2.0)
            return count, size * math.log(size) / (spread * pixel), nearest
    return -1.0, 0.0, nearest


@compiled
def _fields(side: int, centre: complex, reach: float, tilt: float, steps: int, ship: int) -> Array:
    fields = np.zeros((side, side, 3), dtype=np.float32)
    pixel = 2.0 * reach / side
    turn = complex(math.cos(tilt), math.sin(tilt))
    for row in range(side):
        for column in range(side):
            c = centre + complex((column + 0.5) * pixel - reach, (row + 0.5) * pixel - reach) * turn
            count, gap, nearest = _escape(c, pixel, steps, ship)
            fields[row, column, 0] = count
            fields[row, column, 1] = gap
            fields[row, column, 2] = nearest
    return fields


def draw_zoom(rng: np.random.Generator, order: int) -> Params:
    """Draw a view: about a small copy of the Mandelbrot set, about one of its branch points, or into the burning ship.

    Args:
        rng: Source of the numbers.
        order: The image's place in its family, from 0: settles the kind of place and the first hue.

    Returns:
        Parameters for `render_zoom`, of plain JSON types.

    Raises:
        RuntimeError: No such place was found within 2000 tries.
    """
    place = PLACES[order % len(PLACES)]
    find = {"copy": _find_copy, "branch": _find_branch, "ship": _find_ship}[place]
    for _ in range(MOST_TRIES):
        centre, reach = find(rng)
        if _share_inside(centre, reach, int(place == "ship")) < MOST_INSIDE:
            break
    return {
        "place": place,
        "centre": [centre.real, centre.imag],
        "reach": float(f"{reach:.6g}"),
        "tilt": 0.0 if place == "ship" else round(float(rng.uniform(0.0, 2.0 * math.pi)), 4),
        "bands": round(float(rng.uniform(0.7, 1.3)), 4),
        "phase": round(float(rng.uniform(0.0, 1.0)), 4),
        "palette": draw_palette(rng, order),
    }


def render_zoom(params: Params, side: int) -> Image:
    """Render a zoom from its parameters: the same for the same parameters, whatever was rendered before.

    Args:
        params: Parameters from `draw_zoom`.
        side: Width and height in pixels.

    Returns:
        Array (side, side, 3) of uint8 RGB.
    """
    large = side * tone.SUPERSAMPLING
    fields = _fields(
        large, complex(*params["centre"]), params["reach"], params["tilt"], STEPS, int(params["place"] == "ship")
    )
    count, gap, nearest = np.moveaxis(fields, -1, 0)
    outside = count >= 0.0
    height = _evened(count, outside)
    # Where filaments are finer than a pixel their counts are noise: one level for all of them.
    height = height + (FILAMENT_HEIGHT - height) * np.where(outside, np.exp(-gap), 0.0)
    table = palette_table(params["palette"])
    place = 0.06 + 0.80 * tone.wave(params["bands"] * height + params["phase"])
    near = np.where(outside, np.exp(-gap / 5.0), 1.0)
    paint = colours_at(table, place + 0.35 * near * outside)
    paint = paint * tone.relief(2.0 * height, 18.0, large / 420.0)[..., None]
    inside = colours_at(table, 0.05 + 0.4 * tone.wave(np.sqrt(nearest)))
    picture = tone.layered(paint, inside, np.where(outside, 0.0, 1.0))
    return tone.finished(picture * tone.vignette(large, 0.3)[..., None], side)


def _evened(count: Array, outside: Array) -> Array:
    # Log-log counts spread evenly between the view's outermost and innermost bands.
    height = np.log(np.maximum(count, 1.0))
    low, high = np.percentile(height[outside], [1.0, 97.0])
    height = (height - low) / max(float(high - low), 1e-6)
    return np.where(outside, 2.0 * height / (1.0 + 0.35 * np.abs(height)), 2.0)


def _find_copy(rng: np.random.Generator) -> tuple[complex, float]:
    for _ in range(MOST_TRIES):
        period = int(rng.integers(6, 30))
        centre = _newton(_draw_start(rng), period, 0)
        if centre is None or _smallest_period(centre, period) != period:
            continue
        size = _copy_size(centre, period)
        reach = size * float(rng.uniform(3.0, 9.0))
        if 1e-9 < reach < 2e-2:  # noqa: PLR2004 - within double precision, and a zoom
            return centre, reach
    raise RuntimeError(f"no small copy of the Mandelbrot set found in {MOST_TRIES} tries")


def _find_branch(rng: np.random.Generator) -> tuple[complex, float]:
    for _ in range(MOST_TRIES):
        period, lead = int(rng.integers(1, 5)), int(rng.integers(4, 22))
        centre = _newton(_draw_start(rng), period, lead)
        if centre is None or abs(centre.imag) < 1e-3:  # noqa: PLR2004 - not on the needle
            continue
        return centre, 10.0 ** float(rng.uniform(-4.5, -2.0))
    raise RuntimeError(f"no branch point of the Mandelbrot set found in {MOST_TRIES} tries")


def _find_ship(rng: np.random.Generator) -> tuple[complex, float]:
    # On the real axis both sets have the same orbits, so the small ships on the needle stand at the same nuclei.
    for _ in range(MOST_TRIES):
        period = int(rng.integers(3, 10))
        nucleus = _newton(complex(rng.uniform(-1.99, -1.5), 0.0), period, 0)
        if nucleus is None or _smallest_period(nucleus, period) != period:
            continue
        reach = _copy_size(nucleus, period) * float(rng.uniform(2.5, 5.0))
        if 1e-6 < reach < 5e-2:  # noqa: PLR2004 - within double precision, and a zoom
            return nucleus - complex(0.0, 0.35 * reach), reach
    raise RuntimeError(f"no small burning ship found in {MOST_TRIES} tries")


def _share_inside(centre: complex, reach: float, ship: int) -> float:
    return float((_fields(SEARCH_SIDE, centre, reach, 0.0, STEPS, ship)[..., 0] < 0.0).mean())


def _draw_start(rng: np.random.Generator) -> complex:
    return complex(rng.uniform(-1.8, 0.45), rng.uniform(0.0, 1.1))


def _newton(start: complex, period: int, lead: int) -> complex | None:
    # Solves z_(lead + period)(c) = z_lead(c): with no lead the nucleus of a copy, with one a branch point.
    c = start
    for _ in range(NEWTON_STEPS):
        z, slope = 0j, 0j
        lead_z, lead_slope = 0j, 0j
        for step in range(lead + period):
            z, slope = z * z + c, 2.0 * z * slope + 1.0
            if step + 1 == lead:
                lead_z, lead_slope = z, slope
            if not abs(z) < BAILOUT:
                return None
        if slope == lead_slope:
            return None
        move = (z - lead_z) / (slope - lead_slope)
        c -= move
        if abs(move) < 1e-15:  # noqa: PLR2004 - double precision
            return c
    return None


def _smallest_period(centre: complex, period: int) -> int:
    z = 0j
    for step in range(period):
        z = z * z + centre
        if abs(z) < 1e-9:  # noqa: PLR2004 - back at 0
            return step + 1
    return 0


def _copy_size(centre: complex, period: int) -> float:
    # Munafo's estimate: 1 / (beta lambda^2), lambda the derivative along the orbit, beta the sum of its inverses.
    z, slope, total = centre, 1.0 + 0j, 1.0 + 0j
    for _ in range(period - 1):
        slope *= 2.0 * z
        total += 1.0 / slope
        z = z * z + centre
    return 1.0 / abs(total * slope * slope)
