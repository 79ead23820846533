"""Preparing sources ahead of their use: which counterparts each lacks, and its image at their size."""

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.encoding import at_stored_size
from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.generate.read_ahead import Readers, read_ahead
from albu_diffusemix.generate.reports import NOT_READ
from albu_diffusemix.generate.variants import Variant
from albu_diffusemix.image_decoding import reading
from albu_diffusemix.keys import UNKNOWN_SOURCE
from albu_diffusemix.store import Source
from albu_diffusemix.text import in_one_line

__all__ = ["UNREADABLE", "LookUp", "Prepared", "prepare_ahead"]

LookUp: TypeAlias = Callable[[SourceFile, Source | None], list[Variant]]
"""Returns the counterparts that a source lacks, given what its image is; with None, those that it may lack."""

UNREADABLE = "unreadable: "
"""How the reason begins of a source that cannot be read."""

_LONGEST_REASON = 200


class Prepared(NamedTuple):
    """A source that was read.

    Attributes:
        key: Its key.
        variants: The counterparts to be made of it.
        image: The source at the size of its counterparts, (H, W, 3) uint8 RGB; None where it cannot be read.
        source: Size and pixel hash of the image as it was before.
        reason: Why it cannot be read.
        remarks: On how it was read, see `albu_diffusemix.image_decoding`.

    """

    key: str
    variants: list[Variant]
    image: NDArray[np.uint8] | None
    source: Source
    reason: str
    remarks: tuple[str, ...] = ()


def prepare_ahead(
    readers: Readers,
    sources: Iterable[SourceFile | None],
    look_up: LookUp,
    options: ResolvedOptions,
    depth: int,
    stop: threading.Event,
) -> Iterator[Prepared | None]:
    """Prepare sources in threads, in order, see `albu_diffusemix.generate.read_ahead.read_ahead`.

    Args:
        readers: The threads.
        sources: None among them is passed on, after all before it.
        look_up: Where it says that a source lacks nothing, the file is not read.
        options: Say how sources are read.
        depth: Sources that may lie read and unused.
        stop: When set, nothing more is yielded.

    """
    wanted = (None if source is None else (source, look_up(source, None)) for source in sources)
    return read_ahead(readers, wanted, partial(_prepare, options, look_up), _give_up, depth, stop)


def _prepare(options: ResolvedOptions, look_up: LookUp, wanted: tuple[SourceFile, list[Variant]]) -> Prepared:
    file, variants = wanted
    if not variants:
        return _failed(wanted, "")
    try:
        with reading(options.background) as remarks:
            image = file.read()
        source = Source.of(image)
        variants = look_up(file, source)
        return Prepared(
            file.key,
            variants,
            at_stored_size(image, options.size, options.encoding),
            source,
            "",
            tuple(sorted(remarks)),
        )
    except (OSError, ValueError, MemoryError, cv2.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else in_one_line(error)
        return _failed(wanted, f"{UNREADABLE}{reason}"[:_LONGEST_REASON])


def _give_up(wanted: tuple[SourceFile, list[Variant]], seconds: float) -> Prepared:
    return _failed(wanted, f"{NOT_READ} {seconds:.0f} seconds")


def _failed(wanted: tuple[SourceFile, list[Variant]], reason: str) -> Prepared:
    file, variants = wanted
    return Prepared(file.key, variants, None, UNKNOWN_SOURCE, reason)
