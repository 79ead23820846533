"""What a backend loads once in a process: a model, or the sessions that run its graphs."""

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["LoadedOnce"]

Loaded = TypeVar("Loaded")


class LoadedOnce(Generic[Loaded]):
    """Loads on the first call, once in a process however many threads call.

    What was loaded stays where it is: neither a copy, nor a pickle, nor a forked process has it.

    Args:
        load: What loads it; it has to be picklable.

    """

    def __init__(self, load: Callable[[], Loaded]) -> None:
        self._load = load
        self._loading = threading.Lock()
        self._loaded: tuple[int, Loaded] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._load,)

    def __call__(self) -> Loaded:
        """Return what was loaded; load it first where nothing was."""
        with self._loading:
            if self._loaded is None or self._loaded[0] != os.getpid():
                self._loaded = (os.getpid(), self._load())
            return self._loaded[1]
