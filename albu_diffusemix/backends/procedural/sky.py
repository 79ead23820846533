"""Procedural filters of the sky's light: sunset, rainbow, aurora. OpenCV, not diffusion."""

import cv2
import numpy as np

from albu_diffusemix.backends.procedural.tools import (
    Image,
    Plane,
    as_float,
    as_image,
    blend,
    blur,
    calmness,
    color_ramp,
    dots,
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

SUNSET_SKY = ((0.13, 0.09, 0.34), (0.42, 0.14, 0.46), (0.84, 0.27, 0.36), (1.0, 0.55, 0.20), (1.0, 0.84, 0.42))
SUNSET_GROUND = ((1.0, 0.62, 0.26), (0.62, 0.25, 0.30), (0.26, 0.12, 0.28), (0.12, 0.07, 0.20))
SPECTRUM = (
    (0.52, 0.16, 0.86),
    (0.16, 0.30, 1.0),
    (0.05, 0.78, 0.95),
    (0.15, 0.86, 0.25),
    (1.0, 0.94, 0.12),
    (1.0, 0.55, 0.05),
    (0.98, 0.10, 0.14),
)
CURTAIN_SIDE = 160
"""Pixels of side at which curtains are drawn: they are soft, and lines of whole pixels are then alike at any size."""
NIGHT = ((0.005, 0.012, 0.05), (0.02, 0.07, 0.17), (0.10, 0.24, 0.36), (0.36, 0.56, 0.62), (0.72, 0.90, 0.86))


def sunset(image: Image, rng: np.random.Generator) -> Image:
    """A low sun: purple to gold above the horizon, lit clouds, glow, and glitter on the ground below it."""
    scene = as_float(image)
    rows, _ = grid(scene)
    horizon = rng.uniform(0.56, 0.68)
    calm = calmness(scene)
    light = _evening_light(scene, horizon, rng)
    tone = luma(scene)
    lit = light * rgb(0.12 + 1.15 * tone) * (0.7 + 0.6 * scene / rgb(tone + 0.2))
    sky = light * rgb(0.7 + 0.45 * tone)
    evening = blend(lit, sky, calm * (0.35 + 0.35 * smoothstep(horizon + 0.1, 0.1, rows)))
    clouds = smoothstep(0.5, 0.8, noise(scene, (9, 1.6), rng, octaves=3)) * smoothstep(horizon, horizon - 0.25, rows)
    evening = blend(evening, (1.0, 0.52, 0.38), clouds * (0.25 + 0.35 * calm))
    return as_image(_sun_and_glitter(evening, horizon, calm, rng))


def _evening_light(scene: Plane, horizon: float, rng: np.random.Generator) -> Plane:
    rows, _ = grid(scene)
    height = rows + 0.08 * (noise(scene, (3, 1.5), rng) - 0.5)
    above = color_ramp(SUNSET_SKY, height / horizon)
    below = color_ramp(SUNSET_GROUND, (height - horizon) / (1 - horizon))
    return blend(above, below, smoothstep(horizon - 0.015, horizon + 0.015, height))


def _sun_and_glitter(scene: Plane, horizon: float, calm: Plane, rng: np.random.Generator) -> Plane:
    rows, columns = grid(scene)
    height, width = scene.shape[:2]
    across = (columns - rng.uniform(0.18, 0.82)) * (width / side_of(scene))
    down = (rows - horizon + rng.uniform(0.04, 0.12)) * (height / side_of(scene))
    radius, distance = rng.uniform(0.075, 0.1), np.sqrt(across * across + down * down)
    halo = 0.5 * np.exp(-25 * np.square(distance)) + 0.4 * np.exp(-3.3 * distance)
    glowing = screen(scene, tinted(halo, (1.0, 0.62, 0.25)))
    disc = smoothstep(radius + 0.008, radius - 0.008, distance) * (rows < horizon + 0.02)
    glowing = blend(glowing, (1.0, 0.96, 0.74), disc * (0.72 + 0.26 * calm))
    path = np.exp(-np.square(across / (0.05 + 0.3 * np.maximum(rows - horizon, 0))))
    waves = smoothstep(0.45, 0.75, noise(scene, (70, 9), rng))
    glitter = 0.75 * path * waves * smoothstep(horizon, horizon + 0.06, rows)
    return screen(glowing, tinted(glitter, (1.0, 0.78, 0.42)))


def rainbow(image: Image, rng: np.random.Generator) -> Image:
    """A double bow over a fresh, rain-washed scene, bright inside the bow and dark outside."""
    scene = as_float(image)
    rows, columns = grid(scene)
    height, width = scene.shape[:2]
    across = (columns - rng.uniform(0.3, 0.7)) * (width / side_of(scene))
    down = (rows - rng.uniform(0.82, 1.0)) * (height / side_of(scene))
    away = np.sqrt(across * across + down * down)
    radius, band = rng.uniform(0.56, 0.68), rng.uniform(0.12, 0.18)
    inside = smoothstep(radius + band, radius - band, away)
    washed = saturate(scene, 1.25) * rgb(0.72 + 0.4 * inside)
    washed = blend(washed, (0.62, 0.74, 0.90), (0.12 + 0.2 * calmness(scene)) * (1 - 0.6 * inside))
    fade = 0.75 + 0.25 * noise(scene, 3, rng)
    bowed = _bow(washed, (away - radius) / band, 0.84 * fade)
    return as_image(_bow(bowed, 1 - (away - radius - 1.75 * band) / (0.8 * band), 0.34 * fade))


def _bow(scene: Plane, position: Plane, strength: Plane) -> Plane:
    soft_edges = smoothstep(0, 0.16, position) * smoothstep(1, 0.84, position)
    shaded = color_ramp(SPECTRUM, position) * rgb(0.62 + 0.5 * luma(scene))
    return blend(scene, np.minimum(shaded, 1), soft_edges * strength)


def aurora(image: Image, rng: np.random.Generator) -> Image:
    """Night over the scene, stars, and folded curtains of green that end in violet."""
    scene = as_float(image)
    rows, _ = grid(scene)
    tone, calm = luma(scene), calmness(scene)
    upper = smoothstep(0.95, 0.35, rows)
    night = blend(color_ramp(NIGHT, 0.85 * tone), times(saturate(scene, 0.8), (0.32, 0.44, 0.55)), 0.45)
    night *= rgb(1 - 0.5 * calm * upper)
    curtains = _curtains(scene, rng)
    lit = screen(night, blur(curtains, 0.08) * rgb(0.35 + 1.3 * tone))
    lit = screen(lit, curtains * rgb(0.62 + 0.3 * tone + 0.3 * calm))
    stars = dots(scene, 170, (0.0012, 0.0042), rng) * upper * (0.35 + 0.65 * calm)
    return as_image(np.maximum(lit, rgb(stars)))


def _curtains(scene: Plane, rng: np.random.Generator) -> Plane:
    """Bright hems drawn as folded lines, then smeared upward: a short way in green, a long way in violet."""
    height, width = scene.shape[:2]
    reduce = CURTAIN_SIDE / side_of(scene)
    small = np.zeros((max(1, round(height * reduce)), max(1, round(width * reduce)), 3), np.float32)
    up = np.linspace(0, 1, max(2, round(0.45 * small.shape[0])), dtype=np.float32)
    onset, end = np.minimum(1, 0.25 + 25 * up), 1 - up
    violet = up * np.exp(-3.2 * up) * end
    red = 1.8 * rng.uniform(0.5, 1.5) * violet
    profiles = (red, np.exp(-5.5 * up) * end, 2.5 * violet + 0.3 * np.exp(-6 * up))
    hems = _hems(small, rng)
    for channel, profile in enumerate(profiles):
        kernel = (profile * onset).reshape(-1, 1).astype(np.float32)
        small[..., channel] = cv2.filter2D(hems, -1, kernel, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    bright = blur(small, 0.005) * np.float32(rng.uniform(90, 135) / side_of(small))
    return resize(np.asarray(1 - np.exp(-bright), np.float32), (height, width), cv2.INTER_CUBIC)


def _hems(like: Plane, rng: np.random.Generator) -> Plane:
    total = np.zeros(like.shape[:2], np.float32)
    at = np.linspace(-0.1, 1.1, 300)
    for row, strength in ((0.46, 1.0), (0.32, 0.7), (0.22, 0.55)):
        phase, swing = rng.uniform(0, 2 * np.pi, (3, 1)), rng.uniform(0.6, 1.1, (3, 1))
        slow, middle, quick = np.sin(2 * np.pi * np.array([[0.9], [2.3], [5.1]]) * at + phase) * swing
        down = row + rng.uniform(-0.05, 0.05) + 0.09 * slow + 0.04 * middle + rng.uniform(-0.2, 0.2) * (at - 0.5)
        across = at + 0.07 * middle + 0.025 * quick
        hem = lines_mask(like, [np.stack([across, down], axis=1)], 0.0125)
        rays = 0.15 + 1.6 * noise(like, (1, 46), rng)[:1] * noise(like, (1, 5), rng)[:1]
        total += hem * rays * np.float32(strength)
    return total
