"""What happens to a batch after the pipeline: CutMix, Mixup, and the loss of AugMix over three views."""

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812  as everywhere

__all__ = ["jsd_loss", "mix_batch"]


def mix_batch(
    kind: Literal["cutmix", "mixup"],
    images: torch.Tensor,
    targets: torch.Tensor,
    alpha: float,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix the images of a batch with each other, and their targets in the same ratio.

    Args:
        kind: "mixup" blends two images (Zhang et al. 2018); "cutmix" pastes a box of the other (Yun et al. 2019).
        images: (views, N, C, H, W); all views are mixed alike.
        targets: (N, classes), each row a distribution.
        alpha: Both parameters of the Beta distribution that the ratio comes from.
        rng: Draws the ratio, the partners and the box.

    """
    ratio = float(rng.beta(alpha, alpha))
    partners = torch.from_numpy(rng.permutation(len(targets))).to(images.device)
    others = images[:, partners]
    if kind == "mixup":
        mixed = ratio * images + (1 - ratio) * others
    else:
        height, width = images.shape[-2:]
        rows, columns = _span(height, ratio, rng), _span(width, ratio, rng)
        mixed = images.clone()
        mixed[..., rows, columns] = others[..., rows, columns]
        ratio = 1 - others[0, 0, 0, rows, columns].numel() / (height * width)
    return mixed, ratio * targets + (1 - ratio) * targets[partners]


def _span(side: int, ratio: float, rng: np.random.Generator) -> slice:
    """Return a part of a side around a random center: so long that a box of both covers 1 - ratio, before clipping."""
    length, center = side * (1 - ratio) ** 0.5, int(rng.integers(side))
    return slice(max(round(center - length / 2), 0), min(round(center + length / 2), side))


def jsd_loss(logits: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence of what a model says of several views of the same images.

    Args:
        logits: (views, N, classes).

    """
    chances = logits.softmax(-1)
    mean = chances.mean(0).clamp(1e-7, 1).log()
    return torch.stack([F.kl_div(mean, view, reduction="batchmean") for view in chances]).mean()
