"""The families of fractals: how many of each there are, how their parameters are drawn, how they are rendered."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fractal_assets.rendering.affine_systems import draw_affine_system, render_affine_system
from fractal_assets.rendering.aliases import Image, Params
from fractal_assets.rendering.flames import draw_flame, render_flame
from fractal_assets.rendering.julia_sets import draw_julia, render_julia
from fractal_assets.rendering.kaleidoscopes import draw_kaleidoscope, render_kaleidoscope
from fractal_assets.rendering.spirals import draw_spiral, render_spiral
from fractal_assets.rendering.zooms import draw_zoom, render_zoom


class Family(NamedTuple):
    """A kind of fractal: its two functions, and for each image the attempt at which its search begins.

    Where that is not 0, a person looked at what the earlier attempts had found and passed them over.
    """

    draw: Callable[[np.random.Generator, int], Params]
    render: Callable[[Params, int], Image]
    first_attempts: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many images of the family the set has."""
        return len(self.first_attempts)


# fmt: off
FAMILIES = {
    "flame": Family(draw_flame, render_flame, (
        1, 0, 3, 8, 2, 1, 2, 5, 6, 1, 2, 3, 2, 7, 6, 5, 1, 4, 3, 3,
        3, 3, 3, 0, 5, 0, 5, 2, 5, 3, 1, 4, 2, 0, 2, 0, 3, 5, 0, 5,
    )),
    "ifs": Family(draw_affine_system, render_affine_system, (
        0, 1, 1, 2, 4, 0, 1, 4, 1, 1, 2, 1, 1, 1, 2, 0, 4, 2, 2, 0,
    )),
    "julia": Family(draw_julia, render_julia, (
        1, 1, 0, 1, 1, 1, 0, 0, 5, 7, 0, 1, 3, 1, 3, 3, 1, 0, 1, 0,
    )),
    "zoom": Family(draw_zoom, render_zoom, (3, 4, 0, 2, 4, 5, 1, 0, 1, 1)),
    "spiral": Family(draw_spiral, render_spiral, (0, 0, 7, 1, 5)),
    "kaleidoscope": Family(draw_kaleidoscope, render_kaleidoscope, (1, 14, 13, 5, 37)),
}
# fmt: on
