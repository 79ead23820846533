"""Compile numeric kernels with numba; where it is missing, say in one line how to get it."""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast

try:
    import numba

    njit: Any = numba.njit
except ModuleNotFoundError:
    njit = None

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


class NumbaMissingError(ModuleNotFoundError):
    """A kernel was called and numba is not installed."""


def compiled(kernel: Kernel) -> Kernel:
    """Compile a kernel on its first call, without fast-math, so that its numbers stay the same from run to run.

    Args:
        kernel: A function of scalars and arrays, in the part of Python that numba knows.

    Returns:
        The compiled kernel; without numba one that raises `NumbaMissingError` when it is called.
    """
    if njit is None:
        return cast("Kernel", _refuse)
    return cast("Kernel", njit(cache=True, fastmath=False, error_model="numpy")(kernel))


def _refuse(*_: Any) -> NoReturn:
    raise NumbaMissingError("rendering fractals needs numba, which is not installed: pip install numba")
