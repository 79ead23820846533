"""Every system call by which a store changes files, one step after the other: to end the process at one, or fail it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from albu_diffusemix import atomic_files

CHANGING = ("pwrite", "ftruncate", "fsync", "rename", "replace", "unlink", "link", "mkdir")


class Steps:
    """Counts the steps, and does something in place of one of them, or of each.

    Args:
        act: Called with the step's real work; returns what that would. What it changes itself is not a step.
        at: The step, from 0; None: each.
    """

    def __init__(self, act: Callable[[Callable[[], Any]], Any], at: int | None = None) -> None:
        self.count = 0
        self._act, self._at, self._acting = act, at, False

    def take(self, work: Callable[[], Any]) -> Any:
        if self._acting:
            return work()
        number, self.count = self.count, self.count + 1
        if self._at not in (None, number):
            return work()
        self._acting = True
        try:
            return self._act(work)
        finally:
            self._acting = False


class WatchedFile:
    """A new file whose writes are steps."""

    def __init__(self, file: Any, steps: Steps) -> None:
        self._file, self._steps = file, steps

    def write(self, data: bytes) -> int:
        return self._steps.take(lambda: self._file.write(data))

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

            def call(*given: Any, real: Callable[..., Any] = real, **named: Any) -> Any:
                return steps.take(lambda: real(*given, **named))

            patches.enter_context(mock.patch.object(os, name, call))
        new_file = atomic_files._new_file
        patches.enter_context(
            mock.patch.object(atomic_files, "_new_file", lambda path: WatchedFile(new_file(path), steps))
        )
        yield
