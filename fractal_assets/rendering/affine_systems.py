"""Iterated function systems of affine contractions, drawn by their singular values, shaded like cast metal."""

import math

import cv2
import numpy as np

from fractal_assets.rendering import tone
from fractal_assets.rendering.aliases import Array, Image, Params
from fractal_assets.rendering.chaos_game import play, sample_orbit, symmetry_group
from fractal_assets.rendering.palettes import colours_at, draw_palette, palette_table

# Share of the plane that the maps cover together: below 1 the attractor has holes, above 1 it overlaps.
COVERED = (0.85, 1.25)
STRETCH = (0.35, 1.0)
GREATEST_SINGULAR_VALUE = 0.92
SYMMETRIES = ((1, False), (2, False), (1, False), (1, True), (3, False))
HITS_PER_PIXEL = 40.0
PROBE = 20_000
MOST_TRIES = 60
FILL_CELLS = 24
LEAST_FILLED = 0.5


def draw_affine_system(rng: np.random.Generator, order: int) -> Params:
    """Draw affine maps A = R(a) diag(s1, s2) R(b) with s2 <= s1 < 1, so that every map contracts.

    The singular values are chosen and the angles are free, as Anderson and Farrell (2022) do it; here the determinants
    s1 s2 add up to about 1, which makes attractors that cover their plane rather than dust.

    Args:
        rng: Source of the numbers.
        order: The image's place in its family, from 0: settles its symmetry and first hue.

    Returns:
        Parameters for `render_affine_system`, of plain JSON types.
    """
    turns, mirror = SYMMETRIES[order % len(SYMMETRIES)]
    for _ in range(MOST_TRIES):
        params = _draw_once(rng, turns, mirror=mirror)
        if _filled(params) >= LEAST_FILLED:
            break
    params["palette"] = draw_palette(rng, order)
    return params


def render_affine_system(params: Params, side: int) -> Image:
    """Render an affine system from its parameters: the same for the same parameters, whatever was rendered before.

    Args:
        params: Parameters from `draw_affine_system`.
        side: Width and height in pixels.

    Returns:
        Array (side, side, 3) of uint8 RGB.
    """
    large = side * tone.SUPERSAMPLING
    density, colour = play(params, large, HITS_PER_PIXEL, widest_blur=3.0)
    height = tone.stretched(np.log1p(params["gain"] * density), 2.0, 99.7)
    colour = tone.stretched(colour, 3.0, 97.0)
    table = palette_table(params["palette"])
    cover = tone.smoothstep(0.02, 0.5, height)
    shadow = tone.blurred(np.roll(cover, large // 50, axis=(0, 1)), large / 45.0)
    echo = 0.20 * tone.blurred(_enlarged(height), large / 90.0) + 0.25 * tone.blurred(height, large / 8.0)
    ground = colours_at(table, 0.05 + echo) * tone.vignette(large, 0.3)[..., None]
    light = tone.relief(height, 7.0, large / 340.0) * tone.relief(height, 30.0, large / 60.0)
    paint = colours_at(table, 0.16 + 0.60 * colour + 0.26 * height**2) * light[..., None]
    return tone.finished(tone.layered(ground * (1.0 - 0.45 * shadow[..., None]), paint, cover), side)


def _enlarged(plane: Array) -> Array:
    quarter = plane.shape[0] // 4
    core = np.ascontiguousarray(plane[quarter : 3 * quarter, quarter : 3 * quarter], dtype=np.float32)
    result: Array = cv2.resize(core, plane.shape, interpolation=cv2.INTER_LINEAR)
    return result


def _draw_once(rng: np.random.Generator, turns: int, *, mirror: bool) -> Params:
    count = int(rng.integers(2, 6))
    maps = _draw_maps(rng, count)
    params: Params = {
        "order": turns,
        "mirror": mirror,
        "woven": False,
        "maps": maps,
        "warps": [{"linear": 1.0}] * count,
        "chances": [round(abs(a * e - b * d) + 0.02, 4) for a, b, _, d, e, _ in maps],
        "colours": [round(float(value), 3) for value in rng.permutation(np.linspace(0.0, 1.0, count))],
        "orbit_seed": int(rng.integers(1, 2**31)),
        "gain": round(float(rng.uniform(4.0, 16.0)), 2),
    }
    params["view"] = _draw_view(params)
    return params


def _filled(params: Params) -> float:
    view = np.array(params["view"]).reshape(2, 3)
    group = symmetry_group(params["order"], mirror=params["mirror"]).reshape(-1, 2, 2)
    copies = np.einsum("gij,pj->gpi", group, sample_orbit(params, PROBE)).reshape(-1, 2)
    place = copies @ view[:, :2].T + view[:, 2]
    counts, _, _ = np.histogram2d(place[:, 0], place[:, 1], bins=FILL_CELLS, range=((-1.0, 1.0), (-1.0, 1.0)))
    return float((counts > 0).mean())


def _draw_maps(rng: np.random.Generator, count: int) -> list[list[float]]:
    areas = rng.uniform(0.35, 1.0, count)
    areas *= rng.uniform(*COVERED) / areas.sum()
    maps = []
    for area in areas:
        stretch = rng.uniform(*STRETCH)
        large = min(math.sqrt(area / stretch), GREATEST_SINGULAR_VALUE)
        small = min(area / large, GREATEST_SINGULAR_VALUE)
        first, second = rng.uniform(0.0, 2.0 * math.pi, 2)
        flip = 1.0 if rng.random() < 0.6 else -1.0  # noqa: PLR2004 - two in five mirror
        linear = _rotation(first) @ np.diag([large, flip * small]) @ _rotation(second)
        shift = rng.uniform(-1.0, 1.0, 2)
        cells = (*linear[0], shift[0], *linear[1], shift[1])
        maps.append([round(float(cell), 5) for cell in cells])
    return maps


def _draw_view(params: Params) -> list[float]:
    orbit = sample_orbit(params, PROBE)
    low, high = np.quantile(orbit, [0.03, 0.97], axis=0)
    if params["order"] > 1:
        reach = float(np.quantile(np.hypot(*orbit.T), 0.97))
        low, high = np.array([-reach, -reach]), np.array([reach, reach])
    if params["mirror"]:
        low[0], high[0] = -max(abs(low[0]), abs(high[0])), max(abs(low[0]), abs(high[0]))
    zoom = 1.9 / np.maximum(high - low, 1e-3)
    middle = (low + high) / 2.0
    cells = (zoom[0], 0.0, -zoom[0] * middle[0], 0.0, zoom[1], -zoom[1] * middle[1])
    return [round(float(cell), 5) for cell in cells]


def _rotation(angle: float) -> Array:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
