"""Built-in fractals to measure with."""

import numpy as np

from albu_diffusemix import fractals as fractals_module
from albu_diffusemix.fractals import FractalLibrary, shared_library
from benchmarks.photographs import COUNT


def warm_fractals(*sizes):
    """Let a new shared library meet these sizes, each `(height, width)`, until it remembers what it will of them."""
    fractals_module._shared.clear()  # noqa: SLF001  a training has images of its own
    library = shared_library("builtin")
    for index in [*range(len(library))] * 2:
        for size in sizes:
            library.get(index, *size)


def varied_fractals(height, width):
    """A library that has met so many sizes, all about this one, that it resizes a fractal for each image."""
    library = FractalLibrary()
    for index in range(len(library)):
        library.get(index, height + index, width)
    return library


def fractals(size, dtype="uint8"):
    """As many as there are photographs, square, uint8 or float32 in [0, 1]."""
    library = FractalLibrary()
    resized = [library.get(index, size, size) for index in range(COUNT)]
    return resized if dtype == "uint8" else [np.float32(fractal) / 255 for fractal in resized]
