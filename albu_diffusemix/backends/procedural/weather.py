"""Procedural filters of season and weather: autumn, snowy, rain. OpenCV, not diffusion."""

from collections.abc import Sequence

import cv2
import numpy as np

from albu_diffusemix.backends.procedural.tools import (
    SUBPIXEL_BITS,
    Image,
    Plane,
    as_float,
    as_image,
    blend,
    blur,
    color_ramp,
    dots,
    fixed_point,
    grid,
    lines_mask,
    luma,
    noise,
    resize,
    rgb,
    saturate,
    screen,
    side_of,
    smoothstep,
    times,
    tinted,
)

CRIMSON = ((0.10, 0.03, 0.03), (0.36, 0.07, 0.05), (0.74, 0.17, 0.09), (0.95, 0.45, 0.25), (1.0, 0.88, 0.72))
AMBER = ((0.10, 0.05, 0.02), (0.38, 0.16, 0.05), (0.83, 0.40, 0.08), (0.99, 0.69, 0.26), (1.0, 0.93, 0.74))
LEAF_COLORS = ((178, 34, 24), (214, 72, 20), (236, 124, 22), (246, 176, 40), (150, 62, 24), (200, 96, 30))
MAPLE_HALF = (
    (0.0, 1.0), (0.12, 0.70), (0.27, 0.78), (0.23, 0.42), (0.50, 0.62), (0.54, 0.50), (0.88, 0.52), (0.78, 0.36),
    (0.98, 0.24), (0.66, 0.08), (0.42, -0.04), (0.62, -0.34), (0.28, -0.30), (0.06, -0.34), (0.04, -0.95), (0.0, -0.95),
)  # fmt: skip
BEECH_HALF = (
    (0.0, 1.0), (0.14, 0.78), (0.30, 0.48), (0.40, 0.14), (0.38, -0.18), (0.24, -0.48), (0.05, -0.64), (0.03, -1.0),
    (0.0, -1.0),
)  # fmt: skip
FROST = ((0.05, 0.08, 0.16), (0.27, 0.34, 0.46), (0.55, 0.63, 0.74), (0.82, 0.88, 0.95), (1.0, 1.0, 1.0))
WET = ((0.03, 0.05, 0.08), (0.17, 0.22, 0.28), (0.35, 0.42, 0.49), (0.54, 0.61, 0.68), (0.74, 0.80, 0.86))

Leaf = tuple[float, float, float]
"""Column and row in [0, 1], and half the length in sides."""


def autumn(image: Image, rng: np.random.Generator) -> Image:
    """Greens turned to rust and gold, a low warm sun, and leaves adrift and on the ground."""
    scene = as_float(image)
    tone = luma(scene)
    red, green, blue = cv2.split(scene)
    leafy = smoothstep(-0.02, 0.10, green - 0.5 * (red + blue))
    patches = smoothstep(0.3, 0.7, noise(scene, 4, rng, octaves=2) + rng.uniform(-0.2, 0.2))
    turned = blend(color_ramp(CRIMSON, tone), color_ramp(AMBER, tone), patches)
    warm = times(saturate(scene, 1.15), (1.10, 0.92, 0.68))
    toned = blend(warm, turned, 0.42 + 0.5 * leafy)
    return as_image(_leaves(screen(toned, _low_sun(scene, rng)), rng))


def _low_sun(scene: Plane, rng: np.random.Generator) -> Plane:
    """Rays from beyond an upper corner."""
    rows, columns = grid(scene)
    across = columns + 0.05 if rng.random() < 0.5 else 1.05 - columns  # noqa: PLR2004 - a coin
    down = rows + 0.05
    steepness = down / (across + down)
    rays = 0.75 + 0.25 * np.sin(steepness * 34 + rng.uniform(0, 6)) * np.sin(steepness * 15)
    light = rng.uniform(0.55, 0.75) * np.exp(-1.9 * np.sqrt(across * across + down * down)) * rays
    return tinted(light, (1.0, 0.70, 0.28))


def _leaves(scene: Plane, rng: np.random.Generator) -> Plane:
    ground = zip(rng.uniform(0, 1, 34), rng.uniform(0.91, 1.01, 34), rng.uniform(0.035, 0.06, 34), strict=True)
    adrift = zip(rng.uniform(0, 1, 20), rng.uniform(0, 0.9, 20), rng.uniform(0.025, 0.05, 20), strict=True)
    near = zip((0.03, 0.97, 0.97), rng.uniform(0, 1, 3), rng.uniform(0.09, 0.12, 3), strict=True)
    return _lay(_lay(scene, [*adrift, *ground], 0.0, rng), list(near), 0.008, rng)


def _lay(scene: Plane, leaves: Sequence[Leaf], softness: float, rng: np.random.Generator) -> Plane:
    paint, cover = np.zeros((*scene.shape[:2], 3), np.uint8), np.zeros(scene.shape[:2], np.uint8)
    for leaf in leaves:
        _draw_leaf(paint, cover, leaf, rng)
    color, opacity = as_float(paint), as_float(cover)
    if softness:
        color, opacity = blur(color, softness), blur(opacity, softness)
    shadow = np.roll(blur(opacity, 0.008), round(0.008 * side_of(scene)), axis=0)
    return np.asarray(scene * rgb((1 - 0.45 * shadow) * (1 - opacity)) + color, np.float32)


def _draw_leaf(paint: Image, cover: Image, leaf: Leaf, rng: np.random.Generator) -> None:
    """Two halves beside a midrib, one of them in shade, turned and tilted at random."""
    column, row, length = leaf
    height, width = paint.shape[:2]
    half = np.array(MAPLE_HALF if rng.random() < 0.65 else BEECH_HALF)  # noqa: PLR2004 - two in three are maple
    turn, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 1.0)
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * length * side_of(paint)
    color = np.array(LEAF_COLORS[rng.integers(len(LEAF_COLORS))]) * rng.uniform(0.8, 1.03)
    for flip, shade in ((tilt, 1.0), (-tilt, 0.74)):
        outline = [fixed_point((half * (flip, 1)) @ spin + (column * width, row * height))]
        cv2.fillPoly(paint, outline, (color * shade).tolist(), cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.fillPoly(cover, outline, 255, cv2.LINE_AA, SUBPIXEL_BITS)


def snowy(image: Image, rng: np.random.Generator) -> Image:
    """Cold light, snow on ledges and on what is bright, a drift at the bottom, flakes near and far."""
    scene = as_float(image)
    tone = luma(scene)
    frosted = color_ramp(FROST, np.power(tone, np.float32(0.8)))
    cold = blend(frosted, times(saturate(scene, 0.55), (0.88, 0.97, 1.1)), 0.42)
    white = tinted(0.90 + 0.1 * noise(scene, 90, rng), (0.96, 0.98, 1.0))
    covered = _snow_drift(blend(cold, white, _snow_cover(tone, rng)), rng)
    flurry = rng.uniform(0.6, 1.4)
    far = dots(scene, round(260 * flurry), (0.002, 0.006), rng) * 0.9
    middle = blur(dots(scene, round(70 * flurry), (0.006, 0.012), rng), 0.002)
    near = blur(dots(scene, round(14 * flurry), (0.018, 0.032), rng), 0.007) * 0.75
    return as_image(blend(covered, (1.0, 1.0, 1.0), np.maximum(np.maximum(far, middle), near)))


def _snow_cover(tone: Plane, rng: np.random.Generator) -> Plane:
    """Caps below edges that lie flat, and a dusting of bright surfaces."""
    rough = 0.6 * (noise(tone, 28, rng, octaves=2) - 0.5)
    soft = blur(tone, 0.008)
    scale = side_of(tone) / 256
    down = cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=scale)
    across = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=scale)
    ledges = smoothstep(0.10, 0.32, np.abs(down) - 0.7 * np.abs(across))
    depth = max(1, round(0.022 * side_of(tone)))
    settle = np.linspace(1, 0.25, depth, dtype=np.float32).reshape(-1, 1) / (0.45 * depth)
    caps = np.asarray(cv2.filter2D(ledges, -1, settle, anchor=(0, depth - 1)), np.float32)
    heavy = np.float32(rng.uniform(0.75, 1.0))
    dusted = 0.8 * smoothstep(0.55, 0.95, soft + 0.6 * rough)
    return np.asarray(np.maximum(smoothstep(0.25, 0.75, caps + rough) * heavy, dusted), np.float32)


def _snow_drift(scene: Plane, rng: np.random.Generator) -> Plane:
    rows, _ = grid(scene)
    crest = rng.uniform(0.85, 0.92) + 0.12 * (noise(scene, (1, 2.5), rng, octaves=2)[:1] - 0.5)
    below = rows - crest
    hollows = 0.82 + 0.18 * noise(scene, (10, 4), rng, octaves=2)
    shade = np.minimum(1.0, hollows + 0.25 * np.exp(-40 * np.maximum(below, 0)))
    return blend(scene, tinted(shade, (0.93, 0.97, 1.02)), 0.93 * smoothstep(-0.012, 0.02, below))


def rain(image: Image, rng: np.random.Generator) -> Image:
    """Wet blue-grey light with little contrast, mist above, slanting streaks, and drops on the lens."""
    scene = as_float(image)
    rows, _ = grid(scene)
    grey = blend(color_ramp(WET, luma(scene)), times(saturate(scene, 0.5), (0.62, 0.72, 0.82)), 0.4)
    mist = (rng.uniform(0.1, 0.25) + 0.3 * smoothstep(0.7, 0.0, rows)) * (0.6 + 0.4 * noise(scene, 2, rng))
    misty = blend(grey, (0.56, 0.62, 0.68), mist)
    slant = rng.uniform(-0.35, 0.35)
    fine = _streaks(scene, 420, (0.04, 0.09), 0.002, slant, rng) * 0.66
    bold = blur(_streaks(scene, 110, (0.10, 0.2), 0.004, slant, rng), 0.0015) * 0.5
    streaked = blend(misty, (0.86, 0.91, 0.96), np.maximum(fine, bold))
    return as_image(_lens_drops(streaked, rng))


def _streaks(
    scene: Plane, count: int, lengths: tuple[float, float], thickness: float, slant: float, rng: np.random.Generator
) -> Plane:
    tops = rng.uniform(-0.2, 1.1, (count, 2))
    falls = rng.uniform(*lengths, (count, 1)) * np.array([[slant, 1.0]])
    return lines_mask(scene, list(np.stack([tops, tops + falls], axis=1)), thickness)


def _lens_drops(scene: Plane, rng: np.random.Generator) -> Plane:
    """Each drop is a small lens: it shows the scene upside down, dark above and bright below."""
    height, width = scene.shape[:2]
    wide = resize(scene, (max(1, height // 4), max(1, width // 4)), cv2.INTER_AREA)
    upended = np.ascontiguousarray(wide[::-1, ::-1])
    dropped = scene.copy()
    for across, down, size in rng.random((14, 3)).tolist():
        radius = round((0.014 + 0.034 * size * size) * side_of(scene))
        left, top = round(across * width) - radius, round(down * height) - radius
        right, bottom = left + 2 * radius, top + round(2.3 * radius)
        if radius < 1 or left < 0 or top < 0 or right > width or bottom > height:
            continue
        dropped[top:bottom, left:right] = _drop(scene[top:bottom, left:right], upended)
    return dropped


def _drop(patch: Plane, upended: Plane) -> Plane:
    rows, columns = grid(patch)
    away = np.hypot((2 * rows - 1) * (1 - 0.12 * columns), (2 * columns - 1) * (1.3 - 0.32 * rows))
    lens = blend(patch, resize(upended, (patch.shape[0], patch.shape[1]), cv2.INTER_AREA), 0.5)
    lens = lens * rgb((0.74 + 0.5 * rows) * (1.04 - 0.28 * np.power(away, 6)))
    spark = 0.8 * np.exp(-90 * (np.square(rows - 0.28) + np.square(columns - 0.36)))
    return blend(patch, screen(lens, rgb(spark)), smoothstep(1.0, 0.88, away))
