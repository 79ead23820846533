"""Table 17's measures that `compare` has not: consistency, adversaries and anomalies, each in percent.

Sequences and anomalies are made here. They are not CIFAR-100-P nor the data sets of PixMix's paper, so that their
figures compare arms with each other, and not with the paper's column.
"""

import cv2
import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812
from torchmetrics.functional.classification import binary_auroc

FRAMES = 10
NOISE = 0.02
RARE = 0.7  # of the pixels that blobs grow from


def consistency(outcome, frames=FRAMES):
    """How often the answer changes: from frame to frame while an image slowly moves, or from the first under noise.

    Args:
        outcome: What was measured.
        frames: Length of each sequence.

    """
    flips = [changed(outcome, pixels, sequence, frames) for pixels in all_pixels(outcome) for sequence in SEQUENCES]
    return {"flip_probability": 100 * float(torch.cat(flips).float().mean())}


def adversaries(outcome, epsilon=2 / 255, step=0.5 / 255, steps=20):
    """How often the answer is wrong after projected gradient descent.

    Args:
        outcome: What was measured.
        epsilon: How far a pixel may move, in units of [0, 1].
        step: How far it moves at once.
        steps: How often.

    """
    noise, wrong, start = torch.Generator().manual_seed(0), 0, 0
    for pixels in all_pixels(outcome):
        labels = outcome.labels[start : start + len(pixels)].to(pixels.device)
        start += len(pixels)
        moved = pixels + (2 * torch.rand(pixels.shape, generator=noise).to(pixels.device) - 1) * epsilon
        for _ in range(steps):
            moved = moved.detach().requires_grad_()
            loss = F.cross_entropy(outcome.evaluation.logits(outcome.model, moved), labels, reduction="sum")
            [gradient] = torch.autograd.grad(loss, moved)
            moved = torch.clamp(moved + step * gradient.sign(), pixels - epsilon, pixels + epsilon).clamp(0, 1)
        wrong += int((answers(outcome, moved) != labels).sum())
    return {"pgd_error": 100 * wrong / start}


def anomalies(outcome):
    """How well the confidence tells images from what is none: noise, and blobs (the area under the ROC curve)."""
    known = outcome.logits.softmax(1).max(1).values
    shape = next(all_pixels(outcome)).shape[1:]
    rng = np.random.default_rng(0)
    areas = [area(outcome, known, draw(rng, (len(known), *shape))) for draw in ANOMALIES]
    return {"auroc": 100 * float(np.mean(areas))}


def area(outcome, known, images):
    """The area for anomalies of one kind."""
    pixels = torch.from_numpy(images.astype(np.float32)).split(128)
    with torch.inference_mode():
        logits = [outcome.evaluation.logits(outcome.model, each.to(outcome.evaluation.device)).cpu() for each in pixels]
    unknown = torch.cat(logits).softmax(1).max(1).values
    confidences = torch.cat([known, unknown])
    return float(binary_auroc(confidences, torch.arange(len(confidences)) < len(known)))


def gaussian(rng, shape):
    return rng.normal(0.5, 0.5, shape).clip(0, 1)


def rademacher(rng, shape):
    return rng.integers(0, 2, shape)


def blobs(rng, shape):
    """Smooth patches on black, as Hendrycks and Gimpel draw them."""
    grown = [
        cv2.GaussianBlur((rng.random(shape[2:] + shape[1:2]) < RARE).astype(np.float32), (0, 0), 1.5)
        for _ in range(shape[0])
    ]
    return np.stack([np.where(image < 0.75, 0, image).transpose(2, 0, 1) for image in grown])


ANOMALIES = (gaussian, rademacher, blobs)


def brighter(pixels, frame):
    return (pixels + 0.01 * frame).clamp(0, 1)


def moved_by(pixels, frame):
    return affine(pixels, shift=2 * frame / pixels.shape[-1])


def turned(pixels, frame):
    return affine(pixels, degrees=frame)


def enlarged(pixels, frame):
    return affine(pixels, scale=1 - 0.01 * frame)


def noisy(pixels, frame):
    drawn = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(frame)).to(pixels.device)
    return (pixels + NOISE * drawn).clamp(0, 1)


SEQUENCES = (brighter, moved_by, turned, enlarged, noisy)


def affine(pixels, shift=0.0, degrees=0.0, scale=1.0):
    """Images moved, turned and enlarged, as bilinear sampling has them."""
    angle = np.deg2rad(degrees)
    matrix = [[scale * np.cos(angle), -scale * np.sin(angle), shift], [scale * np.sin(angle), scale * np.cos(angle), 0]]
    grid = F.affine_grid(torch.tensor([matrix] * len(pixels), dtype=torch.float32), list(pixels.shape), False)  # noqa: FBT003
    return F.grid_sample(pixels, grid.to(pixels.device), padding_mode="border", align_corners=False)


def changed(outcome, pixels, sequence, frames):
    """Whether each answer differs from the one before it, or under noise from the first."""
    given = torch.stack([answers(outcome, sequence(pixels, frame)) for frame in range(frames)])
    before = given[:1] if sequence is noisy else given[:-1]
    return (given[1:] != before).flatten().cpu()


def answers(outcome, pixels):
    with torch.inference_mode():
        return outcome.evaluation.logits(outcome.model, pixels).argmax(1)


def all_pixels(outcome):
    """Validation images in batches, in [0, 1], before Normalize."""
    return (outcome.evaluation.floats(batch) for batch in outcome.evaluation.batches())
