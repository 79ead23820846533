"""The demonstration: a pipeline file, and what it makes of the photographs that scikit-image ships."""

from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.transforms import DiffuseMix

__all__ = ["demo_photographs", "write_pipeline"]

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
LONGEST_SIDE = 384


def demo_photographs() -> list[tuple[str, NDArray[np.uint8]]]:
    """Give real photographs to try a pipeline on.

    Returns:
        list[tuple[str, np.ndarray]]: Names and (H, W, 3) uint8 RGB images with a longest side of 384 pixels.

    Raises:
        ValueError: scikit-image, which ships them, is not installed.

    """
    try:
        from skimage import data  # noqa: PLC0415  an extra, needed by the demonstration alone
    except ImportError as error:
        raise ValueError(
            "the demo's photographs come with scikit-image: pip install 'albu-diffusemix[demo]'"
        ) from error
    return [(name, _shrink(getattr(data, name)())) for name in PHOTOGRAPHS]


def write_pipeline(path: Path) -> None:
    """Write the demonstration's pipeline: DiffuseMix with its defaults, then classic augmentations.

    Args:
        path (Path): A YAML file; missing folders are made.

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


def _shrink(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = photograph.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(photograph, size, interpolation=cv2.INTER_AREA), np.uint8)
