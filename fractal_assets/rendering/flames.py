"""Symmetric fractal flames (after Draves and Reckase): warped maps, a symmetry group, log density."""

import math

import numpy as np

from fractal_assets.rendering import tone
from fractal_assets.rendering.aliases import Image, Params
from fractal_assets.rendering.chaos_game import play, sample_orbit
from fractal_assets.rendering.palettes import colours_at, draw_palette, palette_table

# (turns, mirrored) by place in the family: every fifth is not mirrored.
SYMMETRIES = (
    (2, True), (3, True), (4, True), (5, False), (6, True), (2, True), (3, False), (5, True), (8, True), (4, False),
    (1, True), (7, True), (2, False), (6, True), (3, True), (4, True), (1, True), (6, False), (5, True), (2, True),
)  # fmt: skip
CALM_WARPS = ("linear", "sinusoidal", "swirl", "julia", "bubble", "eyefish", "cylinder", "bent")
LIVELY_WARPS = ("spherical", "horseshoe", "polar", "handkerchief", "heart", "disc", "spiral", "hyperbolic", "diamond")
HITS_PER_PIXEL = 90.0
PROBE = 20_000


def draw_flame(rng: np.random.Generator, order: int) -> Params:
    """Draw the parameters of a flame.

    Args:
        rng: Source of the numbers.
        order: The image's place in its family, from 0: settles its symmetry and first hue.

    Returns:
        Parameters for `render_flame`, of plain JSON types.
    """
    turns, mirror = SYMMETRIES[order % len(SYMMETRIES)]
    count = int(rng.integers(2, 5))
    params: Params = {
        "order": turns,
        "mirror": mirror,
        "woven": True,
        "maps": [_draw_map(rng) for _ in range(count)],
        "warps": [_draw_warps(rng) for _ in range(count)],
        "chances": [round(float(value), 3) for value in rng.uniform(0.4, 1.0, count)],
        "colours": [round(float(value), 3) for value in rng.permutation(np.linspace(0.0, 1.0, count))],
        "orbit_seed": int(rng.integers(1, 2**31)),
        "gain": round(float(rng.uniform(8.0, 40.0)), 2),
        "palette": draw_palette(rng, order),
    }
    tilt = float(rng.uniform(0.0, 2.0 * math.pi)) if rng.random() < 0.2 else 0.0  # noqa: PLR2004 - one in five
    params["view"] = _draw_view(params, tilt, float(rng.uniform(0.86, 0.96)))
    return params


def render_flame(params: Params, side: int) -> Image:
    """Render a flame from its parameters: the same for the same parameters, whatever was rendered before.

    Args:
        params: Parameters from `draw_flame`.
        side: Width and height in pixels.

    Returns:
        Array (side, side, 3) of uint8 RGB.
    """
    large = side * tone.SUPERSAMPLING
    density, colour = play(params, large, HITS_PER_PIXEL, widest_blur=12.0)
    cover = tone.stretched(np.log1p(params["gain"] * density), 4.0, 99.6)
    colour = tone.stretched(colour, 4.0, 96.0)
    table = palette_table(params["palette"])
    haze = tone.blurred(cover, large / 14.0)
    ground = colours_at(table, 0.28 * haze) * tone.vignette(large, 0.25)[..., None]
    paint = colours_at(table, 0.10 + 0.58 * colour + 0.38 * cover**1.8)
    lit = paint * tone.relief(cover, 4.0, large / 400.0)[..., None]
    return tone.finished(tone.layered(ground, lit, tone.smoothstep(-0.08, 0.85, cover)), side)


def _draw_map(rng: np.random.Generator) -> list[float]:
    turn = rng.uniform(0.0, 2.0 * math.pi)
    skew = turn + rng.normal(0.0, 0.35)
    wide, high = rng.uniform(0.45, 1.0, 2)
    shift = rng.uniform(-0.8, 0.8, 2)
    cells = (
        wide * math.cos(turn), -high * math.sin(skew), shift[0],
        wide * math.sin(turn), high * math.cos(skew), shift[1],
    )  # fmt: skip
    return [round(float(cell), 5) for cell in cells]


def _draw_warps(rng: np.random.Generator) -> dict[str, float]:
    calm = CALM_WARPS[rng.integers(len(CALM_WARPS))]
    if rng.random() < 0.4:  # noqa: PLR2004 - two in five stay calm
        return {calm: 1.0}
    share = round(float(rng.uniform(0.3, 0.9)), 3)
    return {calm: round(1.0 - share, 3), LIVELY_WARPS[rng.integers(len(LIVELY_WARPS))]: share}


def _draw_view(params: Params, tilt: float, held: float) -> list[float]:
    orbit = sample_orbit(params, PROBE)
    turned = np.hypot(orbit[:, 0], orbit[:, 1])
    zoom = 1.0 / max(float(np.quantile(turned, held)), 1e-3)
    shift_y = 0.0
    if params["order"] == 1:
        low, high = np.quantile(orbit[:, 1], [1.0 - held, held])
        zoom = 2.0 / max(float(high - low), 1e-3)
        shift_y = -zoom * float(high + low) / 2.0
        tilt = 0.0
    cells = (
        zoom * math.cos(tilt), -zoom * math.sin(tilt), 0.0,
        zoom * math.sin(tilt), zoom * math.cos(tilt), shift_y,
    )  # fmt: skip
    return [round(float(cell), 5) for cell in cells]
