"""Threads for calls that may never return, such as reading from a disk that does not answer.

Nobody waits for them. `concurrent.futures` joins its threads when the process ends, so that one that hangs keeps the
process alive for ever.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar, final

__all__ = ["Readers", "Reading"]

Result = TypeVar("Result")


class Reading(Future[Result]):
    """A call that a thread makes.

    Attributes:
        began: When it began, by `time.monotonic`; None while it waits for its turn.
        replaced: Whether another thread has taken the place of the one that makes the call.

    """

    began: float | None = None
    replaced = False

    def wait(self, seconds: float) -> bool:
        """Wait for at most so many seconds, and return whether the call has ended."""
        return bool(wait([self], seconds).done)

    def age(self) -> float:
        """Return the seconds since it began."""
        return 0.0 if self.began is None else time.monotonic() - self.began


@final
class Readers:
    """Some threads that make calls in the order in which they are submitted.

    Args:
        count: How many.

    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._closed = False
        self._calls: SimpleQueue[tuple[Reading[Any], Callable[[], Any]] | None] = SimpleQueue()
        for _ in range(count):
            self._start()

    def submit(self, call: Callable[..., Result], *arguments: Any) -> Reading[Result]:
        """Let the next thread that is free make a call."""
        reading: Reading[Result] = Reading()
        self._calls.put((reading, partial(call, *arguments)))
        return reading

    def replace(self, reading: Reading[Any]) -> None:
        """Start another thread in place of the one that makes this call, whose result may still come."""
        reading.replaced = True
        self._start()

    def __enter__(self) -> "Readers":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for _thread in range(self._count):
            self._calls.put(None)

    def _start(self) -> None:
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while (submitted := self._calls.get()) is not None and not self._closed:
            reading, call = submitted
            reading.began = time.monotonic()
            try:
                reading.set_result(call())
            except BaseException as error:  # noqa: BLE001  it is raised where the result is wanted
                reading.set_exception(error)
            if reading.replaced:
                return
