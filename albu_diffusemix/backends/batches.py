"""Batches of one constant size, and of half of it where they do not fit into memory."""

import warnings
from collections.abc import Callable, Sequence
from typing import Generic, NoReturn, TypeVar

__all__ = ["Batches", "is_out_of_memory"]

Wanted = TypeVar("Wanted")
Drawn = TypeVar("Drawn")

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


class Batches(Generic[Wanted, Drawn]):
    """Draws any number of images in batches of one size.

    Every batch is filled up to that size, with copies of its last image. A batch that does not fit into memory is
    halved, down to one image. The size that worked is kept: later batches start there.

    Args:
        draw: Draws a batch.
        size: Images at once.
        release: Gives back what memory it can, before a smaller batch is tried.

    """

    def __init__(
        self, draw: Callable[[Sequence[Wanted]], Sequence[Drawn]], size: int, release: Callable[[], None] = lambda: None
    ) -> None:
        self._draw = draw
        self._size = size
        self._release = release
        self._warned = False

    def __call__(self, wanted: Sequence[Wanted]) -> list[Drawn]:
        """Draw all in order.

        Raises:
            Exception: What drawing raised. Where the memory does not suffice for one image, the message says what to
                do.

        """
        drawn: list[Drawn] = []
        while len(drawn) < len(wanted):
            drawn += self._draw_next(wanted[len(drawn) :])
        return drawn

    def _draw_next(self, wanted: Sequence[Wanted]) -> Sequence[Drawn]:
        """Draw the first batch of them, as large a one as fits."""
        size = self._size
        drawn = self._try(wanted[:size], size)
        while drawn is None:
            self._release()
            size //= 2
            drawn = self._try(wanted[:size], size)
        if size < self._size:
            self._keep(size)
        return drawn

    def _try(self, batch: Sequence[Wanted], size: int) -> Sequence[Drawn] | None:
        """Draw a batch; None where it can be halved and has to be."""
        try:
            return self._draw([*batch, *[batch[-1]] * (size - len(batch))])[: len(batch)]
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
    """Tell whether an error of torch, onnxruntime, NumPy or Python says that there is too little memory."""
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
