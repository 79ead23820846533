"""A loaded model: draws any number of wanted images in batches of one constant size."""

import threading
import warnings
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

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
    """An editor, its lock, and how many images it is given at once.

    Every batch is filled up to that number, with copies of its last image: on a CPU the bytes of an image depend on
    the size of the batch, but on nothing else of it.
    """

    def __init__(self, editor: Editor, batch_size: int) -> None:
        self._editor = editor
        self._batch_size = batch_size if editor.batches else 1
        self._halved = False
        self._lock = threading.Lock()  # samplers keep state

    def draw(self, wanted: Sequence[Wanted]) -> list[Drawn]:
        """Draw all in order, in batches.

        Raises:
            ValueError: There is too little memory, also for half a batch.

        """
        drawn: list[Drawn] = []
        with self._lock:
            while len(drawn) < len(wanted):
                batch = wanted[len(drawn) : len(drawn) + self._batch_size]
                made = self._draw_batch(batch)
                if made is None:
                    self._halve()
                else:
                    drawn += made
        return drawn

    def _draw_batch(self, batch: Sequence[Wanted]) -> list[Drawn] | None:
        """Draw one batch; None where the memory does not suffice."""
        filled = [*batch, *[batch[-1]] * (self._batch_size - len(batch))]
        try:
            return self._editor.edit(filled)[: len(batch)]
        except torch.OutOfMemoryError:
            return None

    def _halve(self) -> None:
        """Go on with half the batch, once: if that does not help, the batch is not what is too large."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._halved or self._batch_size == 1:
            raise ValueError(
                f"out of memory on a batch of {self._batch_size}: set a smaller batch_size or size, or dtype 'float16'"
            )
        self._halved = True
        self._batch_size //= 2
        warnings.warn(
            f"out of memory: going on with batches of {self._batch_size}; set batch_size to it",
            RuntimeWarning,
            stacklevel=4,
        )


def generators(wanted: Sequence[Wanted]) -> list[torch.Generator]:
    """Give each image a source of noise of its own, on the CPU: the same for every device and dtype."""
    return [torch.Generator("cpu").manual_seed(one.seed) for one in wanted]


def to_unit(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Stack images as pipelines understand them without doubt: (N, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
