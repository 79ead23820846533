"""A loaded model: draws any number of wanted images, in batches."""

import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from albu_diffusemix.backends.batches import Batches

__all__ = ["Drawn", "Editor", "Model", "Wanted", "generators", "to_unit"]


class Wanted(NamedTuple):
    """An image to edit, (size, size, 3) uint8 RGB; the whole prompt, template and all; the seed."""

    image: NDArray[np.uint8]
    prompt: str
    seed: int


class Drawn(NamedTuple):
    """An edited image, (H, W, 3) float32, in [0, 1] or not finite; and whether the safety checker flagged it."""

    image: NDArray[np.float32]
    flagged: bool


class Editor(Protocol):
    """A way to call a pipeline."""

    batches: bool

    def edit(self, wanted: Sequence[Wanted]) -> list[Drawn]:
        """Edit some images at once; just one where it does not take batches."""


class Model:
    """An editor, its lock, and how many images it is given at once."""

    def __init__(self, editor: Editor, batch_size: int) -> None:
        self._editor = editor
        self._batches = Batches(editor.edit, batch_size if editor.batches else 1, _release_memory)
        self._lock = threading.Lock()  # samplers keep state

    def draw(self, wanted: Sequence[Wanted]) -> list[Drawn]:
        """Draw all in order, in batches that fit into memory."""
        with self._lock:
            return self._batches(wanted)


def _release_memory() -> None:
    """Give back what torch holds for later, so that it can be had in other pieces."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def generators(wanted: Sequence[Wanted]) -> list[torch.Generator]:
    """Give each image a source of noise of its own, on the CPU: the same for every device and dtype."""
    return [torch.Generator("cpu").manual_seed(one.seed) for one in wanted]


def to_unit(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Stack images as pipelines understand them without doubt: (N, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
