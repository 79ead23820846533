"""Reading items ahead of their use in threads, where some reads may take very long or never return."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from albu_diffusemix.datasets.reader_threads import Readers, Reading

__all__ = ["read_ahead"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_LATE = 5.0  # seconds after which a read no longer delays those behind it
_LOST = 60.0  # seconds after which it is a failure
_LOOK = 0.1  # seconds between looks at the stop signal


def read_ahead(
    readers: Readers,
    items: Iterable[Item | None],
    read: Callable[[Item], Result],
    give_up: Callable[[Item, float], Result],
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
    ahead = _Ahead[Item, Result](readers, give_up, stop)
    for item in items:
        if item is None:
            yield from ahead.all()
            yield None
            continue
        ahead.add(item, readers.submit(read, item))
        yield from ahead.until_left(depth)
    yield from ahead.all()


class _Ahead(Generic[Item, Result]):
    """Reads that have not been yielded: those in their order, and those that were set aside."""

    def __init__(self, readers: Readers, give_up: Callable[[Item, float], Result], stop: threading.Event) -> None:
        self._readers = readers
        self._give_up = give_up
        self._stop = stop
        self._reads: deque[tuple[Item, Reading[Result]]] = deque()
        self._late: list[tuple[Item, Reading[Result]]] = []

    def add(self, item: Item, reading: Reading[Result]) -> None:
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
