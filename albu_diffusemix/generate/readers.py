"""Threads for calls that may never return, such as reading from a disk that does not answer: nobody waits for them.

`concurrent.futures` joins its threads when the process ends, so that one of them that hangs keeps it alive for ever.
"""

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, final

__all__ = ["Readers", "Reading"]

Result = TypeVar("Result")


class Reading(Generic[Result]):
    """A call on its way.

    Args:
        call: What is called in a thread.
        arguments: With what.

    Attributes:
        began: When it was begun, by `time.monotonic`; None while it waits for its turn.
        given_up: Whether its thread was replaced by another one.

    """

    def __init__(self, call: Callable[..., Result], arguments: tuple[Any, ...]) -> None:
        self.began: float | None = None
        self.given_up = False
        self._call = call
        self._arguments = arguments
        self._ended = threading.Event()
        self._result: Result
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make the call; never raises."""
        self.began = time.monotonic()
        try:
            self._result = self._call(*self._arguments)
        except BaseException as error:  # noqa: BLE001  it is raised where the result is wanted
            self._error = error
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Wait so long at the most, and tell whether the call has ended."""
        return self._ended.wait(seconds)

    def age(self) -> float:
        """Return the seconds since it was begun."""
        return 0.0 if self.began is None else time.monotonic() - self.began

    def result(self) -> Result:
        """Return what the call returned, or raise what it raised; only when it has ended."""
        if self._error is not None:
            raise self._error
        return self._result


@final
class Readers:
    """Some threads that make calls in the order in which they are submitted.

    Args:
        count: How many.

    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._closed = False
        self._calls: SimpleQueue[Reading[Any] | None] = SimpleQueue()
        for _ in range(count):
            self._start()

    def submit(self, call: Callable[..., Result], *arguments: Any) -> Reading[Result]:
        """Have a call made by the next thread that is free."""
        reading = Reading(call, arguments)
        self._calls.put(reading)
        return reading

    def give_up(self, reading: Reading[Any]) -> None:
        """Start another thread in place of the one that makes this call; its result may still come."""
        reading.given_up = True
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
        while (reading := self._calls.get()) is not None and not self._closed:
            reading.run()
            if reading.given_up:
                return
