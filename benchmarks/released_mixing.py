"""The mixing stage as the authors' released code does it, written from a description of its steps.

PIL images in, a PIL image out; the counterpart goes right or bottom behind a linear seam of 20 px; masks and blends in
floating point; the fractal resized for every image; values cut off, not rounded. Where the description leaves a choice
the cheaper one is taken: float32, and no resizing of images that have the right size.
"""

import numpy as np
from PIL import Image

SEAM = 20
ALPHA = 0.2
SIDES = ("right", "bottom")


def mix(image, counterpart, fractal, side):
    """Concatenate and blend, all of them PIL images."""
    hybrid = concatenate(image, counterpart, side)
    return blend(hybrid, fractal.convert("RGB").resize(hybrid.size))


def mix_from_file(image, counterpart, fractal_path, side):
    """The same, with the fractal read from its file."""
    with Image.open(fractal_path) as fractal:
        return mix(image, counterpart, fractal, side)


def concatenate(image, counterpart, side):
    width, height = image.size
    mask = ramp(width)[np.newaxis, :] if side == "right" else ramp(height)[:, np.newaxis]
    mask = np.broadcast_to(mask, (height, width))[..., np.newaxis]
    mixed = np.asarray(image, np.float32) * (1 - mask) + np.asarray(counterpart, np.float32) * mask
    return Image.fromarray(mixed.astype(np.uint8))


def blend(hybrid, fractal):
    mixed = np.asarray(hybrid, np.float32) * (1 - ALPHA) + np.asarray(fractal, np.float32) * ALPHA
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def ramp(side):
    start = side // 2 - SEAM // 2
    return np.clip((np.arange(side, dtype=np.float32) - start) / (SEAM - 1), 0, 1)
