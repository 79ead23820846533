"""What a scorer is: it looks at counterparts beside their sources and gives figures, which decide nothing yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.store import Record

__all__ = ["Figures", "ScoreOptions", "Scorer", "View"]

Figures = tuple[float | None, ...]
"""Of one counterpart, in the order of the scorer's names; None where there is nothing to measure."""


class View(NamedTuple):
    """A source and some of its counterparts, as images (H, W, 3) uint8 RGB."""

    source: SourceFile
    image: NDArray[np.uint8]
    counterparts: Sequence[tuple[Record, NDArray[np.uint8]]]


class Scorer(Protocol):
    """Measures counterparts; what it gives depends on its settings and on the images alone."""

    figures: Mapping[str, str]
    """Names of its figures, and their types in pyarrow."""
    fingerprint: str
    """Of everything that changes a figure, apart from the images."""
    batch_size: int

    def prepare(self, view: View) -> Sequence[Any]:
        """Return, for each counterpart, what `score` takes. Called in several threads at a time."""

    def score(self, prepared: Sequence[Any]) -> list[Figures]:
        """Return the figures of a batch of what `prepare` returned."""


@dataclass(frozen=True)
class ScoreOptions:
    """What to measure, and with what.

    Attributes:
        kind: A name in `albu_diffusemix.curate.SCORERS`.
        name: What the figures' names begin with; None takes the kind.
        model: The id of a model on the Hugging Face Hub or in timm, its folder, or `module:factory`; None takes the
            kind's own.
        revision: Branch, tag or commit on the Hub.
        device: "cuda", "cuda:1", "mps", "cpu", or "auto", the first of them that there is.
        batch_size: Counterparts that a model sees at once.
        text: What CLIP compares a counterpart with; `{prompt}` and `{label}` stand for its own.
        label_map: A YAML file that names the outputs of a classifier for each label.

    """

    kind: str
    name: str | None = None
    model: str | None = None
    revision: str | None = None
    device: str = "auto"
    batch_size: int = 32
    text: str = "{prompt}"
    label_map: Path | None = None
