"""What a user would do in place of DiffuseMix: a second image mixed in by hand, MixUp or CutMix of a batch.

MixUp and CutMix are those of torchvision's `transforms.v2`, in torch and without torchvision: they mix a batch with
itself, moved on by one, in a loader's `collate_fn`. They also mix labels, which costs nothing.
"""

import random

import numpy as np
from torch.utils.data import default_collate

ALPHA = 1.0
"""Both parameters of the Beta distribution that weights are drawn from."""


def with_half_of(image, other):
    """The image, and the left half of another one of its size."""
    mixed = image.copy()
    mixed[:, : image.shape[1] // 2] = other[:, : image.shape[1] // 2]
    return mixed


def mixup(batch):
    """Each image of (N, H, W, C) floats blended with the one before it."""
    weight = random.betavariate(ALPHA, ALPHA)
    return batch.roll(1, 0).mul_(1 - weight).add_(batch.mul(weight))


def cutmix(batch):
    """Each image of (N, H, W, C) floats with a random box of the one before it."""
    height, width = batch.shape[1:3]
    ratio = 0.5 * (1 - random.betavariate(ALPHA, ALPHA)) ** 0.5
    x, y = random.randrange(width), random.randrange(height)
    x_min, x_max = (int(np.clip(x + way * ratio * width, 0, width)) for way in (-1, 1))
    y_min, y_max = (int(np.clip(y + way * ratio * height, 0, height)) for way in (-1, 1))
    mixed = batch.clone()
    mixed[:, y_min:y_max, x_min:x_max] = batch.roll(1, 0)[:, y_min:y_max, x_min:x_max]
    return mixed


class Collate:
    """Make a batch, and mix it with probability `p` by one of the two."""

    def __init__(self, p: float) -> None:
        self._p = p

    def __call__(self, items):
        batch = default_collate(items)
        return random.choice((mixup, cutmix))(batch) if random.random() < self._p else batch
