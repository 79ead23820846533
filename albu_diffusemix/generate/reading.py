"""Reading sources ahead of their use, at the size of their counterparts."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.generate.readers import Readers, Reading
from albu_diffusemix.generate.reports import NOT_READ
from albu_diffusemix.generate.scan import SourceFile
from albu_diffusemix.generate.variants import Variant
from albu_diffusemix.images import read_image
from albu_diffusemix.store import Source

__all__ = ["GRID", "UNKNOWN", "UNREADABLE", "Prepared", "read_ahead"]

GRID = 16
"""Stored sides are multiples of it in pixels: then each half of a JPEG has whole blocks, and can be cut out."""

UNKNOWN = Source(0, 0, bytes(16))
"""What a source is that could not be read."""

UNREADABLE = "unreadable: "
"""How the reason begins of a source that cannot be read."""

_LONGEST_REASON = 200
_LATE = 5.0  # seconds after which a read holds up those behind it no longer
_LOST = 60.0  # seconds after which it is a failure
_LOOK = 0.1  # seconds between looks at the stop signal


class Prepared(NamedTuple):
    """A source that was read.

    Attributes:
        key: Its key.
        variants: The counterparts to be made of it.
        image: The source at the size of its counterparts, (H, W, 3) uint8 RGB; None where it cannot be read.
        source: Size and pixel hash of the image as it was before.
        reason: Why it cannot be read.

    """

    key: str
    variants: list[Variant]
    image: NDArray[np.uint8] | None
    source: Source
    reason: str


def read_ahead(
    readers: Readers,
    sources: Iterable[SourceFile | None],
    look_up: Callable[[SourceFile], list[Variant]],
    size: int,
    depth: int,
    stop: threading.Event,
) -> Iterator[Prepared | None]:
    """Read sources in threads, at most `depth` of them ahead, and yield them in order.

    A read that does not come back is set aside after 5 seconds and yielded when it does, or as a failure 60 seconds
    after it began. Before such a one is waited for, an additional None is yielded.

    Args:
        readers: The threads.
        sources: None among them is passed on, after all before it.
        look_up: Says which counterparts a source lacks; where it lacks none, the file is not read.
        size: Shorter side of the counterparts in pixels.
        depth: Sources that may lie read and unused.
        stop: When set, nothing more is yielded.

    """
    ahead = _Ahead(readers, stop)
    for source in sources:
        if source is None:
            yield from ahead.all()
            yield None
            continue
        variants = look_up(source)
        ahead.add(source.key, variants, readers.submit(_prepare, source, variants, size))
        yield from ahead.until_left(depth)
    yield from ahead.all()


class _Read(NamedTuple):
    key: str
    variants: list[Variant]
    reading: Reading[Prepared]


class _Ahead:
    """Reads on their way: those in their order, and those that were set aside."""

    def __init__(self, readers: Readers, stop: threading.Event) -> None:
        self._readers = readers
        self._stop = stop
        self._reads: deque[_Read] = deque()
        self._late: list[_Read] = []

    def add(self, key: str, variants: list[Variant], reading: Reading[Prepared]) -> None:
        self._reads.append(_Read(key, variants, reading))

    def until_left(self, most: int) -> Iterator[Prepared]:
        while len(self._reads) > most and not self._stop.is_set():
            yield from self._settled()
            read = self._reads[0]
            if read.reading.wait(_LOOK):
                self._reads.popleft()
                yield read.reading.result()
            elif read.reading.age() > _LATE:
                self._reads.popleft()
                self._readers.give_up(read.reading)
                self._late.append(read)

    def all(self) -> Iterator[Prepared | None]:
        yield from self.until_left(0)
        if self._late:
            yield None
        while self._late and not self._stop.is_set():
            self._late[0].reading.wait(_LOOK)
            yield from self._settled()

    def _settled(self) -> Iterator[Prepared]:
        """Yield those that were set aside and have come back, or have had their time."""
        for read in list(self._late):
            if read.reading.wait(0):
                self._late.remove(read)
                yield read.reading.result()
            elif read.reading.age() > _LOST:
                self._late.remove(read)
                yield Prepared(read.key, read.variants, None, UNKNOWN, f"{NOT_READ} {_LOST:.0f} seconds")


def _prepare(file: SourceFile, variants: list[Variant], size: int) -> Prepared:
    if not variants:
        return Prepared(file.key, variants, None, UNKNOWN, "")
    try:
        image = read_image(Path(file.path))
        return Prepared(file.key, variants, _at_stored_size(image, size), Source.of(image), "")
    except (OSError, ValueError, MemoryError, cv2.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        return Prepared(file.key, variants, None, UNKNOWN, f"{UNREADABLE}{reason}"[:_LONGEST_REASON])


def _at_stored_size(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = min(1.0, size / min(height, width))
    stored_width, stored_height = (max(GRID, int(side * scale / GRID + 0.5) * GRID) for side in (width, height))
    return np.asarray(cv2.resize(image, (stored_width, stored_height), interpolation=cv2.INTER_AREA), np.uint8)
