"""The demonstration: a pipeline file, and the photographs that scikit-image ships."""

from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.contact_sheet import fit
from albu_diffusemix.transforms import DiffuseMix

__all__ = ["demo_photographs", "write_pipeline"]

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
LONGEST_SIDE = 384


def demo_photographs() -> list[tuple[str, NDArray[np.uint8]]]:
    """Return real photographs to try a pipeline on.

    Returns:
        Names and (H, W, 3) uint8 RGB images with a longest side of 384 pixels.

    Raises:
        ValueError: scikit-image, which ships them, is not installed.

    """
    try:
        from skimage import data  # noqa: PLC0415  an extra, needed by the demonstration alone
    except ImportError as error:
        raise ValueError("the demo's photographs come with scikit-image: pip install scikit-image") from error
    return [(name, fit(getattr(data, name)(), LONGEST_SIDE)) for name in PHOTOGRAPHS]


def write_pipeline(path: Path) -> None:
    """Write the demonstration's pipeline: DiffuseMix with its defaults, then classic augmentations.

    Args:
        path: A YAML file; missing folders are made.

    """
    pipeline: Any = A.Compose(
        [
            DiffuseMix(p=1),
            A.HorizontalFlip(p=0.5),
            A.RandomBrightnessContrast(p=0.5),
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    A.save(pipeline, path, data_format="yaml")
