"""The variations of fractal flames (Draves and Reckase): how a point is bent after its affine map."""

import math
from enum import IntEnum

from fractal_assets.rendering.compiled import compiled

HEADS = 0.5


class Warp(IntEnum):
    """The variations by name; the manifest has the names in lower case."""

    LINEAR = 0
    SINUSOIDAL = 1
    CYLINDER = 2
    BENT = 3
    SPHERICAL = 4
    SWIRL = 5
    BUBBLE = 6
    HORSESHOE = 7
    EYEFISH = 8
    POLAR = 9
    HANDKERCHIEF = 10
    HEART = 11
    DISC = 12
    SPIRAL = 13
    HYPERBOLIC = 14
    DIAMOND = 15
    JULIA = 16


@compiled
def warped(kind: int, x: float, y: float, coin: float) -> tuple[float, float]:
    """Bend the point (x, y) by a variation; `coin`, in [0, 1), chooses the root that `Warp.JULIA` takes."""
    if kind == Warp.LINEAR:
        return x, y
    if kind <= Warp.BENT:
        return _by_axes(kind, x, y)
    square = x * x + y * y + 1e-12
    if kind <= Warp.EYEFISH:
        return _by_radius(kind, x, y, square)
    return _by_angle(kind, math.sqrt(square), math.atan2(x, y), coin)


@compiled
def _by_axes(kind: int, x: float, y: float) -> tuple[float, float]:
    if kind == Warp.SINUSOIDAL:
        return math.sin(x), math.sin(y)
    if kind == Warp.CYLINDER:
        return math.sin(x), y
    return (x if x >= 0.0 else 2.0 * x), (y if y >= 0.0 else y / 2.0)


@compiled
def _by_radius(kind: int, x: float, y: float, square: float) -> tuple[float, float]:
    if kind == Warp.SPHERICAL:
        return x / square, y / square
    if kind == Warp.SWIRL:
        sine, cosine = math.sin(square), math.cos(square)
        return x * sine - y * cosine, x * cosine + y * sine
    if kind == Warp.BUBBLE:
        return 4.0 * x / (square + 4.0), 4.0 * y / (square + 4.0)
    radius = math.sqrt(square)
    if kind == Warp.HORSESHOE:
        return (x - y) * (x + y) / radius, 2.0 * x * y / radius
    return 2.0 * x / (radius + 1.0), 2.0 * y / (radius + 1.0)


@compiled
def _by_angle(kind: int, radius: float, angle: float, coin: float) -> tuple[float, float]:  # noqa: PLR0911 - one a warp
    if kind == Warp.POLAR:
        return angle / math.pi, radius - 1.0
    if kind == Warp.HANDKERCHIEF:
        return radius * math.sin(angle + radius), radius * math.cos(angle - radius)
    if kind == Warp.HEART:
        return radius * math.sin(angle * radius), -radius * math.cos(angle * radius)
    if kind == Warp.DISC:
        return angle / math.pi * math.sin(math.pi * radius), angle / math.pi * math.cos(math.pi * radius)
    if kind == Warp.SPIRAL:
        return (math.cos(angle) + math.sin(radius)) / radius, (math.sin(angle) - math.cos(radius)) / radius
    if kind == Warp.HYPERBOLIC:
        return math.sin(angle) / radius, radius * math.cos(angle)
    if kind == Warp.DIAMOND:
        return math.sin(angle) * math.cos(radius), math.cos(angle) * math.sin(radius)
    half = angle / 2.0 + (math.pi if coin < HEADS else 0.0)
    return math.sqrt(radius) * math.cos(half), math.sqrt(radius) * math.sin(half)
