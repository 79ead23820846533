"""Every system call by which a store changes files, one step after the other: to end the process at one, or fail it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from albu_diffusemix import atomic_files

CHANGING = ("pwrite", "ftruncate", "fsync", "rename", "replace", "unlink", "link", "mkdir")


class Steps:
    """Counts the steps, and does something in place of one of them.

    Args:
        at: The step, from 0.
        act: Called with the step's real work; returns what that would.
    """

    def __init__(self, at: int, act: Callable[[str, Callable[[], Any]], Any]) -> None:
        self.count = 0
        self._at, self._act = at, act

    def take(self, name: str, work: Callable[[], Any]) -> Any:
        number, self.count = self.count, self.count + 1
        return self._act(name, work) if number == self._at else work()


class WatchedFile:
    """A new file whose writes are steps."""

    def __init__(self, file: Any, steps: Steps) -> None:
        self._file, self._steps = file, steps

    def write(self, data: bytes) -> int:
        return self._steps.take("write", lambda: self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


@contextmanager
def watched(steps: Steps) -> Iterator[None]:
    """Make each changing call a step, within the block."""
    with ExitStack() as patches:
        for name in CHANGING:
            real = getattr(os, name)

            def call(*given: Any, name: str = name, real: Callable[..., Any] = real, **named: Any) -> Any:
                return steps.take(name, lambda: real(*given, **named))

            patches.enter_context(mock.patch.object(os, name, call))
        new_file = atomic_files._new_file
        patches.enter_context(
            mock.patch.object(atomic_files, "_new_file", lambda path: WatchedFile(new_file(path), steps))
        )
        yield
