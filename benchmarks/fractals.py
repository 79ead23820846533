"""Built-in fractals to measure with."""

import numpy as np

from albu_diffusemix.fractals import FractalLibrary, shared_library
from benchmarks.photographs import COUNT


def warm_fractals(height, width):
    """Let the shared library meet the size often enough to remember what it will remember of it."""
    library = shared_library("builtin")
    for index in [*range(len(library))] * 2:
        library.get(index, height, width)


def fractals(size, dtype="uint8"):
    """As many as there are photographs, square, uint8 or float32 in [0, 1]."""
    library = FractalLibrary()
    resized = [library.get(index, size, size) for index in range(COUNT)]
    return resized if dtype == "uint8" else [np.float32(fractal) / 255 for fractal in resized]
