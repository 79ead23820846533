"""The chaos game: a point jumps between maps and leaves hits; what flames and affine systems share."""

import math

import numpy as np
from numpy.typing import NDArray

from fractal_assets.rendering.aliases import Array, Params
from fractal_assets.rendering.compiled import compiled
from fractal_assets.rendering.tone import blurred, smoothstep
from fractal_assets.rendering.warps import Warp, warped

MOST_WARPS = 2
SETTLING = 30
FAR = 1e6
BLUR_SIGMAS = (12.0, 6.0, 3.0, 1.5, 0.8)  # pixels at a side of 1024
ENOUGH_HITS = 90.0
LEAST_BLUR = 0.4


@compiled
def _random(state: NDArray[np.uint64]) -> float:
    bits = state[0]
    bits ^= bits >> np.uint64(12)
    bits ^= bits << np.uint64(25)
    bits ^= bits >> np.uint64(27)
    state[0] = bits
    return float((bits * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


@compiled
def _jump(
    point: Array, state: NDArray[np.uint64], affine: Array, warps: Array, chances: Array, colours: Array, jumps: Array
) -> None:
    draw = _random(state)
    chosen = 0
    while chosen < len(chances) - 1 and draw > chances[chosen]:
        chosen += 1
    turn = int(_random(state) * len(jumps))
    x = jumps[turn, 0] * point[0] + jumps[turn, 1] * point[1]
    y = jumps[turn, 2] * point[0] + jumps[turn, 3] * point[1]
    u = affine[chosen, 0] * x + affine[chosen, 1] * y + affine[chosen, 2]
    v = affine[chosen, 3] * x + affine[chosen, 4] * y + affine[chosen, 5]
    x = y = 0.0
    coin = _random(state)
    for place in range(MOST_WARPS):
        share = warps[chosen, place, 1]
        if share != 0.0:
            p, q = warped(int(warps[chosen, place, 0]), u, v, coin)
            x += share * p
            y += share * q
    if not (abs(x) < FAR and abs(y) < FAR):
        x, y = _random(state), _random(state)
    point[0], point[1] = x, y
    point[2] = 0.5 * (point[2] + colours[chosen])


@compiled
def _orbit(count: int, seed: int, affine: Array, warps: Array, chances: Array, colours: Array, jumps: Array) -> Array:
    state = np.array([seed], dtype=np.uint64)
    point = np.array([0.1, 0.2, 0.5])
    orbit = np.empty((count, 2))
    for step in range(count + SETTLING):
        _jump(point, state, affine, warps, chances, colours, jumps)
        if step >= SETTLING:
            orbit[step - SETTLING] = point[:2]
    return orbit


@compiled
def _hits(
    steps: int, side: int, view: Array, copies: Array, seed: int, affine: Array, warps: Array, chances: Array,
    colours: Array, jumps: Array,
) -> Array:  # fmt: skip
    state = np.array([seed], dtype=np.uint64)
    point = np.array([0.1, 0.2, 0.5])
    hits = np.zeros((side, side, 2), dtype=np.float32)
    for step in range(steps + SETTLING):
        _jump(point, state, affine, warps, chances, colours, jumps)
        if step < SETTLING:
            continue
        for copy in range(len(copies)):
            x = copies[copy, 0] * point[0] + copies[copy, 1] * point[1]
            y = copies[copy, 2] * point[0] + copies[copy, 3] * point[1]
            column = (view[0] * x + view[1] * y + view[2] + 1.0) * 0.5 * side
            row = (view[3] * x + view[4] * y + view[5] + 1.0) * 0.5 * side
            if 0.0 <= column < side and 0.0 <= row < side:
                hits[int(row), int(column), 0] += np.float32(1.0)
                hits[int(row), int(column), 1] += np.float32(point[2])
    return hits


def symmetry_group(order: int, *, mirror: bool) -> Array:
    """List the turns, and with `mirror` the reflections, of a regular polygon of `order` corners.

    Returns:
        Array (order or 2 * order, 4): matrices by rows, the identity first.
    """
    turns = [_turn(2.0 * math.pi * step / order) for step in range(order)]
    reflections = [(-a, b, -c, d) for a, b, c, d in turns] if mirror else []
    return np.array(turns + reflections)


def sample_orbit(params: Params, count: int) -> Array:
    """Play the chaos game for `count` points (count, 2), to see where a system lies."""
    return _orbit(count, params["orbit_seed"], *_system(params))


def play(params: Params, side: int, hits_per_pixel: float, widest_blur: float) -> tuple[Array, Array]:
    """Play the chaos game into a square histogram and take its grain out.

    Where few hits fall the histogram is blurred widely, where many fall hardly (as in Draves and Reckase's density
    estimation), so that thin parts are smooth and dense ones sharp.

    Args:
        params: `maps` (rows of six affine numbers), `warps` (for each map: share by name), `chances`, `colours`,
            `order` and `mirror` (the symmetry group), `woven` (the group acts at every jump, not only on the picture),
            `view` (affine, to [-1, 1]) and `orbit_seed`.
        side: Width and height of the histogram.
        hits_per_pixel: Hits to make, in the mean over the pixels.
        widest_blur: Standard deviation of the widest blur, in pixels of a histogram of 1024.

    Returns:
        Density (side, side), 1 in the mean of the dense half, and the mean colour (side, side) in [0, 1].
    """
    copies = symmetry_group(params["order"], mirror=params["mirror"])
    steps = int(hits_per_pixel * side * side / len(copies))
    hits = _hits(steps, side, np.array(params["view"]), copies, params["orbit_seed"], *_system(params))
    count, weighted = _without_grain(hits[..., 0], hits[..., 1], widest_blur)
    positive = count[count > 0.5]  # noqa: PLR2004 - half a hit
    reference = float(np.median(positive)) if positive.size else 1.0
    return count / reference, np.clip(weighted / np.maximum(count, 1e-6), 0.0, 1.0)


def _without_grain(count: Array, weighted: Array, widest_blur: float) -> tuple[Array, Array]:
    scale = count.shape[0] / 1024.0
    widths = [max(sigma * scale, LEAST_BLUR) for sigma in BLUR_SIGMAS if sigma <= widest_blur]
    smooth_count, smooth_weighted = blurred(count, widths[0]), blurred(weighted, widths[0])
    for width in widths[1:]:
        finer_count, finer_weighted = blurred(count, width), blurred(weighted, width)
        within = finer_count * 4.0 * math.pi * width**2
        share = smoothstep(0.5 * ENOUGH_HITS, 2.0 * ENOUGH_HITS, within)
        smooth_count = smooth_count + (finer_count - smooth_count) * share
        smooth_weighted = smooth_weighted + (finer_weighted - smooth_weighted) * share
    return smooth_count, smooth_weighted


def _system(params: Params) -> tuple[Array, Array, Array, Array, Array]:
    warps = np.zeros((len(params["warps"]), MOST_WARPS, 2))
    for row, shares in zip(warps, params["warps"], strict=True):
        row[: len(shares)] = [(Warp[name.upper()], share) for name, share in shares.items()]
    chances = np.cumsum(params["chances"]) / np.sum(params["chances"])
    jumps = (
        symmetry_group(params["order"], mirror=params["mirror"]) if params["woven"] else symmetry_group(1, mirror=False)
    )
    return np.array(params["maps"]), warps, chances, np.array(params["colours"]), jumps


def _turn(angle: float) -> tuple[float, float, float, float]:
    return math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
