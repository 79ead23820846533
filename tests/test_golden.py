"""What was once released stays: pipeline files load, and their pixels do not move."""

from pathlib import Path

import albumentations as A
import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"
ROUNDING = 2
"""Grey levels that OpenCV's versions may differ by."""


def picture():
    """A picture made of whole numbers alone, the same on every machine."""
    y, x = np.mgrid[:48, :64]
    return np.stack([x * 4, y * 5, (x * y) % 256], axis=-1).astype(np.uint8)


def cells(image):
    """Mean of each of 6x8 cells: it moves with any change that a person would see."""
    return image.reshape(6, 8, 8, 8, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("data_format", ["yaml", "json"])
@pytest.mark.parametrize("name", ["diffusemix", "half_concat", "fractal_blend"])
def test_a_pipeline_file_of_0_1_0_loads_and_gives_its_pixels(name, data_format):
    pipeline = A.load(GOLDEN / f"0.1.0_{name}.{data_format}", data_format=data_format)
    transform = pipeline.transforms[0]
    params = {"mask_type": "right", "mask_params": {}, "prompt": "mosaic", "seed": 5, "key": None}
    params |= {"alpha": 0.2, "fractal_index": 7}
    mixed = transform.apply(picture(), **params)
    expected = np.loadtxt(GOLDEN / f"0.1.0_{name}.csv", delimiter=",").reshape(6, 8, 3)
    assert np.abs(cells(mixed) - expected).max() < ROUNDING
