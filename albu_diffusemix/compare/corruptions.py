"""Corruptions of validation images: transforms of the host at severities from 1 to 5, of our own, not ImageNet-C."""

from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix._host import HOST
from albu_diffusemix.keys import digest
from albu_diffusemix.pipelines import run_seeded

__all__ = ["CORRUPTIONS", "corrupted"]

_LIMIT = "limit" if HOST == "albumentations" else "range"


def _tint(severity: int) -> Any:
    shifts = {"r": 12 * severity, "g": 0, "b": -12 * severity}
    return A.RGBShift(**{f"{channel}_shift_{_LIMIT}": (shift, shift) for channel, shift in shifts.items()})


CORRUPTIONS: dict[str, Any] = {
    "noise": lambda severity: A.GaussNoise(std_range=(0.04 * severity,) * 2),
    "blur": lambda severity: A.GaussianBlur(**{f"sigma_{_LIMIT}": (0.5 * severity,) * 2}),
    "fog": lambda severity: A.RandomFog(fog_coef_range=(0.15 * severity,) * 2),
    "tint": _tint,
    "jpeg": lambda severity: A.ImageCompression(quality_range=(60 - 11 * severity,) * 2),
    "contrast": lambda severity: A.RandomBrightnessContrast(
        **{f"brightness_{_LIMIT}": (0, 0), f"contrast_{_LIMIT}": (-0.17 * severity,) * 2}
    ),
    "brightness": lambda severity: A.RandomBrightnessContrast(
        **{f"brightness_{_LIMIT}": (0.12 * severity,) * 2, f"contrast_{_LIMIT}": (0, 0)}
    ),
    "pixelate": lambda severity: A.Downscale(scale_range=(0.9 - 0.15 * severity,) * 2),
}


def corrupted(image: NDArray[np.uint8], corruption: tuple[str, int], key: str) -> NDArray[Any]:
    """Return an image changed by a corruption of a severity, channels first, the same each time.

    Args:
        image: (3, H, W) uint8.
        corruption: Its name and severity.
        key: The image's, which decides what is random.

    """
    name, severity = corruption
    transform = CORRUPTIONS[name](severity)
    transform.p = 1.0
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
    return run_seeded(A.Compose([transform]), pixels, key, digest(key, name, severity))
