"""Batches of one constant size, and of half of it where they do not fit into memory."""

import warnings
from collections.abc import Callable, Sequence
from typing import Generic, NoReturn, TypeVar

__all__ = ["Batches", "is_out_of_memory"]

Input = TypeVar("Input")
Output = TypeVar("Output")

_CLASSES = {"MemoryError", "OutOfMemoryError"}  # Python's and torch's; neither torch nor onnxruntime is imported here
_MESSAGES = (
    "out of memory",  # torch on CUDA and MPS; onnxruntime on CUDA
    "allocate memory",  # torch on a CPU; onnxruntime's arenas
    "not enough memory",  # torch on a CPU of Windows
    "is smaller than requested bytes",  # onnxruntime's arenas where they have a limit
    "_status_alloc_failed",  # cuBLAS and cuDNN
    "8007000e",  # DirectML
    "bad_alloc",  # C++
)


class Batches(Generic[Input, Output]):
    """Edits any number of images in batches of one size.

    Every batch is filled up to that size, with copies of its last image. A batch that does not fit into memory is
    halved, down to one image. The size that worked is kept: later batches start there.

    Args:
        edit: Edits a batch.
        size: Images at once.
        release: Releases what memory it can, before a smaller batch is tried.

    """

    def __init__(
        self, edit: Callable[[Sequence[Input]], Sequence[Output]], size: int, release: Callable[[], None] = lambda: None
    ) -> None:
        self._edit = edit
        self._size = size
        self._release = release
        self._warned = False

    def __call__(self, inputs: Sequence[Input]) -> list[Output]:
        """Edit all in order.

        Raises:
            Exception: What editing raised. Where there is too little memory for one image, the message says what to do.

        """
        outputs: list[Output] = []
        while len(outputs) < len(inputs):
            outputs += self._edit_next(inputs[len(outputs) :])
        return outputs

    def _edit_next(self, inputs: Sequence[Input]) -> Sequence[Output]:
        """Edit the first of them, as many as fit into memory."""
        size = self._size
        outputs = self._try(inputs[:size], size)
        while outputs is None:
            self._release()
            size //= 2
            outputs = self._try(inputs[:size], size)
        if size < self._size:
            self._keep(size)
        return outputs

    def _try(self, batch: Sequence[Input], size: int) -> Sequence[Output] | None:
        """Edit a batch; return None where it has to be halved, and can be."""
        try:
            return self._edit([*batch, *[batch[-1]] * (size - len(batch))])[: len(batch)]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                _raise_with_hint(error)
            return None  # an error that is handled holds no memory any more

    def _keep(self, size: int) -> None:
        tried, warned = self._size, self._warned
        self._size, self._warned = size, True
        if not warned:
            warnings.warn(
                f"out of memory on a batch of {tried}: going on with batches of {size}; set batch_size to {size}",
                RuntimeWarning,
                stacklevel=6,
            )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of torch, onnxruntime, NumPy or Python says that there is too little memory."""
    if _CLASSES & {cls.__name__ for cls in type(error).__mro__}:
        return True
    message = str(error).lower()
    return any(part in message for part in _MESSAGES)


def _raise_with_hint(error: Exception) -> NoReturn:
    text = f"out of memory on one image: set a smaller size, or free memory on the device ({error})"
    if isinstance(error, MemoryError):
        raise MemoryError(text) from error  # noqa: TRY004  NumPy's kind of it has no other text than its own
    error.args = (text,)
    raise error
