"""One run: a model trained by one arm with one seed. The whole loop is `train`."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  as everywhere
from torch.utils.data import DataLoader, Dataset

from albu_diffusemix.compare.data import Pixels
from albu_diffusemix.compare.spec import Arm, Train
from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.keys import digest
from albu_diffusemix.pipelines import run_seeded

__all__ = ["Views", "batches_of", "jsd_loss", "mix_batch", "settled", "train"]

Batch = list[tuple[int, int]]
"""Images of one step, each by its epoch and its number."""


@contextmanager
def settled(threads: int) -> Iterator[torch.device]:
    """Make this process repeat its numbers within the block; give the device that it computes on."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_num_threads(), cv2.getNumThreads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield torch.device("cuda" if torch.cuda.is_available() else "cpu")
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
        torch.use_deterministic_algorithms(before[2])


@dataclass
class Views(Dataset[tuple[torch.Tensor, int]]):
    """The images of an arm, as its pipeline makes them in an epoch; an index is `(epoch, number of the image)`.

    Attributes:
        sources: What is trained on.
        labels: Their classes, as numbers.
        classes: Number of classes.
        pixels: Reads them.
        pipelines: One for each view of an image.
        seed: Of the run.

    """

    sources: list[SourceFile]
    labels: list[int]
    classes: int
    pixels: Pixels
    pipelines: list[Any]
    seed: int

    def __getitem__(self, index: tuple[int, int]) -> tuple[torch.Tensor, int]:
        epoch, number = index
        source = self.sources[number]
        image = self.pixels.read(source)
        views = [
            run_seeded(pipeline, image, source.key, digest(self.seed, epoch, source.key, view))
            for view, pipeline in enumerate(self.pipelines)
        ]
        return torch.from_numpy(np.stack(views)), self.labels[number]


def batches_of(count: int, batch_size: int, epochs: int, seed: int) -> list[Batch]:
    """Return the batches of all epochs, the same for every arm; a last batch of one image is left out."""
    batches: list[Batch] = []
    for epoch in range(epochs):
        order = np.random.default_rng(digest(seed, epoch, "order")).permutation(count)
        indices = [(epoch, int(number)) for number in order]
        cut = [indices[start : start + batch_size] for start in range(0, count, batch_size)]
        batches += [batch for batch in cut if len(batch) > 1]
    return batches


def train(
    model: nn.Module, views: Views, batches: list[Batch], arm: Arm, options: Train, device: torch.device
) -> Iterator[dict[str, float]]:
    """Train a model.

    Args:
        model: Changed in place.
        views: Images of the arm.
        batches: What each step is taken on.
        arm: How batches are mixed, and the loss.
        options: How long and how fast.
        device: Where the model lies.

    Yields:
        At the end of each epoch its number, from 1, its mean loss, and the seconds that it took.

    Raises:
        FloatingPointError: The loss is not finite at the end of an epoch.

    """
    optimizer = _optimizer(model, options)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / len(batches), options))
    amp = options.amp and device.type == "cuda"
    scaler = torch.amp.GradScaler(device.type, enabled=amp)
    torch.manual_seed(digest(views.seed, "training") >> 1)
    loaded = iter(DataLoader(views, batch_sampler=batches, num_workers=options.loader_workers))
    in_epoch = [epoch for (epoch, _), *_ in batches]
    for epoch in dict.fromkeys(in_epoch):
        model.train()
        began = time.perf_counter()
        losses: list[torch.Tensor] = []
        for images, labels in islice(loaded, in_epoch.count(epoch)):
            pictures = images.to(device).transpose(0, 1)  # views first
            targets = F.one_hot(labels.to(device), views.classes).float()
            rng = np.random.default_rng(digest(views.seed, epoch, len(losses), "mix"))
            if arm.mix and rng.random() < arm.mix_p:
                pictures, targets = mix_batch(arm.mix, pictures, targets, arm.mix_alpha, rng)
            with torch.autocast(device.type, torch.float16, enabled=amp):
                logits = model(pictures.flatten(0, 1)).float().unflatten(0, pictures.shape[:2])
            loss = F.cross_entropy(logits[0], targets, label_smoothing=options.label_smoothing)
            if arm.loss == "jsd":
                loss = loss + arm.jsd_weight * jsd_loss(logits)
            optimizer.zero_grad()
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            losses.append(loss.detach())
        mean = float(torch.stack(losses).mean())
        if not math.isfinite(mean):
            raise FloatingPointError(f"the loss became {mean} in epoch {epoch + 1} of {options.epochs}: lower train.lr")
        yield {"epoch": epoch + 1, "loss": mean, "seconds": time.perf_counter() - began}


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


def _optimizer(model: nn.Module, options: Train) -> torch.optim.Optimizer:
    sgd = partial(torch.optim.SGD, momentum=options.momentum, nesterov=options.nesterov)
    kinds: dict[str, Any] = {"sgd": sgd, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    made: torch.optim.Optimizer = kinds[options.optimizer](
        model.parameters(), lr=options.lr, weight_decay=options.weight_decay
    )
    return made


def _rate(done: float, options: Train) -> float:
    """Return the factor of the learning rate when a fraction of the training is done."""
    warmup = options.warmup_epochs / options.epochs
    if done < warmup:
        return max(done, 1e-3) / warmup
    if options.schedule == "cosine":
        return (1 + math.cos(math.pi * (done - warmup) / max(1 - warmup, 1e-9))) / 2
    passed = sum(done >= milestone for milestone in options.milestones)
    return options.gamma**passed if options.schedule == "step" else 1.0
