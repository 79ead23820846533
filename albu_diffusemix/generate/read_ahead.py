"""Reading ahead in threads, where some reads may never return, such as from a disk that does not answer.

Nobody waits for these threads. `concurrent.futures` joins its threads when the process ends, so that one that hangs
keeps the process alive for ever.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, final

__all__ = ["Readers", "Reading", "read_ahead"]

Element = TypeVar("Element")
Result = TypeVar("Result")

_LATE = 5.0  # seconds after which a read no longer delays those behind it
_LOST = 60.0  # seconds after which it is a failure
_LOOK = 0.1  # seconds between looks at the stop signal


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


def read_ahead(
    readers: Readers,
    items: Iterable[Element | None],
    read: Callable[[Element], Result],
    give_up: Callable[[Element, float], Result],
    depth: int,
    stop: threading.Event,
) -> Iterator[Result | None]:
    """Read items in threads, at most `depth` of them ahead, and yield the results in order.

    A read that does not return is set aside after 5 seconds and yielded when it does, or given up 60 seconds after it
    began. Before the reads that were set aside are waited for, an additional None is yielded.

    Args:
        readers: The threads.
        items: None among them is passed on, after all before it.
        read: What is called in a thread, with an item.
        give_up: Makes the result of an item that was not read in so many seconds.
        depth: Results that may wait unused.
        stop: When set, nothing more is yielded.

    """
    ahead = _Ahead[Element, Result](readers, give_up, stop)
    for item in items:
        if stop.is_set():
            return
        if item is None:
            yield from ahead.all()
            yield None
            continue
        ahead.add(item, readers.submit(read, item))
        yield from ahead.until_left(depth)
    yield from ahead.all()


class _Ahead(Generic[Element, Result]):
    """Reads that have not been yielded: those in their order, and those that were set aside."""

    def __init__(self, readers: Readers, give_up: Callable[[Element, float], Result], stop: threading.Event) -> None:
        self._readers = readers
        self._give_up = give_up
        self._stop = stop
        self._reads: deque[tuple[Element, Reading[Result]]] = deque()
        self._late: list[tuple[Element, Reading[Result]]] = []

    def add(self, item: Element, reading: Reading[Result]) -> None:
        self._reads.append((item, reading))

    def until_left(self, most: int) -> Iterator[Result]:
        while len(self._reads) > most and not self._stop.is_set():
            yield from self._settled()
            _, reading = self._reads[0]
            if reading.wait(_LOOK):
                self._reads.popleft()
                yield reading.result()
            elif reading.age() > _LATE:
                self._readers.replace(reading)
                self._late.append(self._reads.popleft())

    def all(self) -> Iterator[Result | None]:
        yield from self.until_left(0)
        if self._late:
            yield None
        while self._late and not self._stop.is_set():
            self._late[0][1].wait(_LOOK)
            yield from self._settled()

    def _settled(self) -> Iterator[Result]:
        """Yield reads that were set aside and have returned, or that are lost."""
        for late in list(self._late):
            item, reading = late
            if reading.done():
                self._late.remove(late)
                yield reading.result()
            elif reading.age() > _LOST:
                self._late.remove(late)
                yield self._give_up(item, _LOST)
