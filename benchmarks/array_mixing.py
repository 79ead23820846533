"""Other ways to mix two arrays, in plain NumPy and written from their papers: PixMix, mixup and CutMix.

Each takes two images of one shape and dtype and gives a new one of the same; weights are drawn beforehand.
"""

import numpy as np

FULL = {np.dtype(np.uint8): np.float32(255), np.dtype(np.float32): np.float32(1)}


def pixmix_add(image, other, weight, other_weight):
    """A weighted sum in [-1, 1], cut off (PixMix, https://arxiv.org/abs/2112.05135)."""
    summed = weight * (unit(image) * 2 - 1) + other_weight * (unit(other) * 2 - 1)
    return restored((summed + 1) / 2, image.dtype)


def pixmix_multiply(image, other, weight, other_weight):
    """A weighted geometric mean of images in [0, 2], cut off (PixMix)."""
    product = (unit(image) * 2) ** weight * np.maximum(unit(other) * 2, np.float32(1e-3)) ** other_weight
    return restored(product / 2, image.dtype)


def mixup(image, other, weight):
    """A convex combination in floating point (mixup, https://arxiv.org/abs/1710.09412)."""
    mixed = image.astype(np.float32)
    mixed *= 1 - weight
    mixed += other.astype(np.float32) * weight
    return mixed.astype(image.dtype)


def cutmix(image, other, box):
    """A copy with a box of the other image (CutMix, https://arxiv.org/abs/1905.04899)."""
    x_min, y_min, x_max, y_max = box
    mixed = image.copy()
    mixed[y_min:y_max, x_min:x_max] = other[y_min:y_max, x_min:x_max]
    return mixed


def unit(image):
    """The image as float32 in [0, 1]."""
    return image.astype(np.float32) / FULL[image.dtype]


def restored(image, dtype):
    """The image cut off at [0, 1] and brought back to its dtype."""
    return (np.clip(image, 0, 1) * FULL[dtype]).astype(dtype)
