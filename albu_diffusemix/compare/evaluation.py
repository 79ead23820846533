"""What a trained model is measured by; FGSM and corruptions change pixels before Normalize."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import albumentations as A
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  as everywhere
from torch.utils.data import DataLoader, Dataset

from albu_diffusemix.compare.corruptions import corrupted
from albu_diffusemix.compare.data import MOST_BYTES, Pixels
from albu_diffusemix.compare.models import imported
from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.keys import digest
from albu_diffusemix.pipelines import run_seeded

__all__ = ["Evaluation", "Outcome", "accuracy", "divided_at_normalize", "measure", "metric_function"]

_BATCH = 128


class Seen(NamedTuple):
    """How a model sees an image: a pipeline up to `Normalize`, and what that does, in units of [0, 1]."""

    before: Any
    mean: tuple[float, ...]
    std: tuple[float, ...]


def divided_at_normalize(pipeline: Any) -> Seen:
    """Divide a pipeline at its Normalize, so that pixels can be changed before it.

    Raises:
        ValueError: It does not end in one Normalize of the standard kind, alone or before ToTensorV2.

    """
    steps = [step for step in pipeline.transforms if type(step).__name__ != "ToTensorV2"]
    last = steps[-1] if steps else None
    if not isinstance(last, A.Normalize) or last.normalization != "standard" or last.p < 1:
        raise ValueError("it must end in A.Normalize() of the kind 'standard', before ToTensorV2 if that is there")
    scale = 255 / (last.max_pixel_value or 255)
    mean, std = (tuple(np.broadcast_to(np.asarray(value, float) / scale, 3)) for value in (last.mean, last.std))
    return Seen(A.Compose(steps[:-1]), mean, std)


@dataclass
class Evaluation(Dataset[torch.Tensor]):
    """The validation images of a seed, as models see them; prepared once for all arms where they fit in memory.

    Attributes:
        sources: The images.
        labels: Their classes, as numbers.
        seen: The pipeline up to Normalize.
        pixels: Reads them.
        device: Where models lie.
        loader_workers: Processes that prepare images which do not fit.

    """

    sources: list[SourceFile]
    labels: torch.Tensor
    seen: Seen
    pixels: Pixels
    device: torch.device
    loader_workers: int = 0
    corruption: tuple[str, int] | None = None
    _held: dict[Any, list[torch.Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, number: int) -> torch.Tensor:
        source = self.sources[number]
        image = run_seeded(self.seen.before, self.pixels.read(source), source.key, digest(source.key))
        if self.corruption:
            image = corrupted(image, self.corruption, source.key)
        return torch.from_numpy(np.ascontiguousarray(image))

    def batches(self, corruption: tuple[str, int] | None = None) -> Iterator[torch.Tensor]:
        """Yield the images in batches, (N, 3, H, W) uint8, changed by a corruption of a severity."""
        if corruption in self._held:
            yield from self._held[corruption]
            return
        self.corruption = corruption
        own = torch.Generator()  # so that what is random in training does not depend on what was measured before
        batches = DataLoader(self, _BATCH, num_workers=self.loader_workers, generator=own)
        if (len(self._held) + 1) * len(self) * self[0].nbytes <= MOST_BYTES:
            self._held[corruption] = list(batches)
        yield from self._held.get(corruption, batches)

    def floats(self, batch: torch.Tensor) -> torch.Tensor:
        """Return pixels in [0, 1] on the device."""
        return batch.to(self.device).float() / 255

    def logits(self, model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        """Return what a model says of pixels in [0, 1]: Normalize comes here."""
        mean, std = (torch.tensor(value, device=self.device).float().view(3, 1, 1) for value in self.seen[1:])
        return torch.as_tensor(model((pixels - mean) / std)).float()

    def predict(self, model: nn.Module, corruption: tuple[str, int] | None = None) -> torch.Tensor:
        """Return the logits of all images, on the CPU."""
        model.eval()
        with torch.inference_mode():
            return torch.cat([self.logits(model, self.floats(batch)).cpu() for batch in self.batches(corruption)])


@dataclass(frozen=True)
class Outcome:
    """What a metric is given: `module:metric` is called with this and its options, and returns a number or a dict.

    Attributes:
        logits: (N, classes), of the validation images.
        labels: (N,), their classes as numbers.
        classes: The names of the classes.
        model: The trained model.
        evaluation: The images, and how the model sees them.

    """

    logits: torch.Tensor
    labels: torch.Tensor
    classes: list[str]
    model: nn.Module
    evaluation: Evaluation


def measure(outcome: Outcome, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return every metric, by its name in the report."""
    measured: dict[str, float] = {}
    for name, options in metrics.items():
        value = metric_function(name)(outcome, **options)
        measured |= value if isinstance(value, Mapping) else {name.rpartition(":")[2]: value}
    return {name: float(number) for name, number in measured.items()}


def metric_function(name: str) -> Any:
    """Return the function of a metric.

    Raises:
        ValueError: There is no such function.

    """
    return imported(name) if ":" in name else _METRICS[name]


def accuracy(logits: torch.Tensor, labels: torch.Tensor, best: int = 1) -> float:
    """Return in percent how often the label is among the best answers."""
    answers = logits.topk(min(best, logits.shape[1])).indices
    return 100 * float((answers == labels[:, None]).any(1).float().mean())


def _calibration(outcome: Outcome, bins: int) -> dict[str, float]:
    """Return in percent how far confidence is from accuracy, over bins of equal width: expected (ECE) and RMS."""
    from torchmetrics.functional.classification import multiclass_calibration_error as error  # noqa: PLC0415  slow

    given = outcome.logits.softmax(1), outcome.labels, outcome.logits.shape[1], bins
    return {"ece": 100 * float(error(*given, "l1")), "rms_calibration": 100 * float(error(*given, "l2"))}


def _fgsm(outcome: Outcome, epsilon: float) -> dict[str, float]:
    """Return in percent the errors on images moved by epsilon, in units of [0, 1], along the sign of the gradient."""
    evaluation, wrong, start = outcome.evaluation, 0, 0
    for batch in evaluation.batches():
        labels = outcome.labels[start : start + len(batch)].to(evaluation.device)
        start += len(batch)
        pixels = evaluation.floats(batch).requires_grad_()
        loss = F.cross_entropy(evaluation.logits(outcome.model, pixels), labels)
        [gradient] = torch.autograd.grad(loss, pixels)
        with torch.inference_mode():
            moved = (pixels + epsilon * gradient.sign()).clamp(0, 1)
            wrong += int((evaluation.logits(outcome.model, moved).argmax(1) != labels).sum())
    return {"fgsm_error": 100 * wrong / start}


def _corruptions(outcome: Outcome, names: list[str], severities: list[int]) -> dict[str, float]:
    """Return in percent the errors under each corruption, over its severities, and their mean."""
    errors = {}
    for name in names:
        predicted = [outcome.evaluation.predict(outcome.model, (name, severity)) for severity in severities]
        errors[f"error_{name}"] = 100 - float(np.mean([accuracy(logits, outcome.labels) for logits in predicted]))
    return {"corruption_error": float(np.mean(list(errors.values()))), **errors}


_METRICS = {
    "top1": lambda outcome: accuracy(outcome.logits, outcome.labels),
    "top5": lambda outcome: accuracy(outcome.logits, outcome.labels, 5),
    "nll": lambda outcome: float(F.cross_entropy(outcome.logits, outcome.labels)),
    "calibration": _calibration,
    "fgsm": _fgsm,
    "corruptions": _corruptions,
}
