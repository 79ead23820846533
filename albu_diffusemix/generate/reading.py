"""Reading sources ahead of their use, at the size of their counterparts."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.generate.scan import SourceFile
from albu_diffusemix.generate.variants import Variant
from albu_diffusemix.images import read_image
from albu_diffusemix.store import Source

__all__ = ["GRID", "UNKNOWN", "Prepared", "read_ahead"]

GRID = 16
"""Stored sides are multiples of it in pixels: then each half of a JPEG has whole blocks, and can be cut out."""

UNKNOWN = Source(0, 0, bytes(16))
"""What a source is that could not be read."""

_LONGEST_REASON = 200


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
    pool: Executor,
    sources: Iterable[SourceFile | None],
    look_up: Callable[[SourceFile], list[Variant]],
    size: int,
    depth: int,
) -> Iterator[Prepared | None]:
    """Read sources in threads, at most `depth` of them ahead, and yield them in order.

    Args:
        pool: The threads.
        sources: None among them is passed on, after all before it.
        look_up: Says which counterparts a source lacks; where it lacks none, the file is not read.
        size: Shorter side of the counterparts in pixels.
        depth: Sources that may lie read and unused.

    """
    reading: deque[Future[Prepared]] = deque()
    for source in sources:
        if source is not None:
            reading.append(pool.submit(_prepare, source, look_up(source), size))
        while len(reading) > (depth if source is not None else 0):
            yield reading.popleft().result()
        if source is None:
            yield None
    while reading:
        yield reading.popleft().result()


def _prepare(file: SourceFile, variants: list[Variant], size: int) -> Prepared:
    if not variants:
        return Prepared(file.key, variants, None, UNKNOWN, "")
    try:
        image = read_image(Path(file.path))
        return Prepared(file.key, variants, _at_stored_size(image, size), Source.of(image), "")
    except (OSError, ValueError, MemoryError, cv2.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        return Prepared(file.key, variants, None, UNKNOWN, f"unreadable: {reason}"[:_LONGEST_REASON])


def _at_stored_size(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = min(1.0, size / min(height, width))
    stored_width, stored_height = (max(GRID, int(side * scale / GRID + 0.5) * GRID) for side in (width, height))
    return np.asarray(cv2.resize(image, (stored_width, stored_height), interpolation=cv2.INTER_AREA), np.uint8)
