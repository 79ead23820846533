"""The images that arms train on and are measured on: opened, split by seed, checked for leaks, held in memory."""

import random
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.compare.spec import Data, Spec, Split
from albu_diffusemix.datasets import Columns, Selection, SourceFile, find_sources
from albu_diffusemix.keys import digest, hash_pixels

__all__ = ["MOST_BYTES", "Pixels", "Sets", "open_sets", "refuse_leaks"]

MOST_BYTES = 1 << 30
"""A process holds decoded images up to this size, and reads the others again whenever it needs them."""

_THREADS = 8
_NAMED = 5


@dataclass(frozen=True)
class Sets:
    """All images of a comparison, and its classes in order.

    Attributes:
        validation: None where validation images are those that `split` leaves out of training.

    """

    data: list[SourceFile]
    validation: list[SourceFile] | None
    split: Split | None
    classes: list[str]

    def labels(self, sources: list[SourceFile]) -> list[int]:
        """Return the classes of images, as numbers."""
        return [self.classes.index(str(source.label)) for source in sources]

    def files(self) -> int | None:
        """Return a number that changes when an image file is added, left out or written again; None without files."""
        sources = [*self.data, *(self.validation or ())]
        if not all(Path(source.path).is_file() for source in sources):
            return None
        states = [(source, Path(source.path).stat()) for source in sources]
        listed = [(source.key, source.position, state.st_size, state.st_mtime_ns) for source, state in states]
        return digest(listed, len(self.data))

    def of_seed(self, seed: int) -> tuple[list[SourceFile], list[SourceFile]]:
        """Return what is trained on and what is validated on; the same for all arms of a seed.

        Raises:
            ValueError: A class has no image on one of the sides.

        """
        training, rest = _divided(self.data, self.split, seed) if self.split else (self.data, [])
        validation = rest if self.validation is None else self.validation
        for what, side in (("training", training), ("validation", validation)):
            absent = set(self.classes) - {str(source.label) for source in side}
            if absent:
                raise ValueError(f"class {min(absent)!r} has no {what} image: add some, or leave the class out")
        return training, validation


def open_sets(spec: Spec) -> Sets:
    """Find all images; none is read.

    Raises:
        OSError: A data set cannot be read.
        ValueError: There is no such data set, it has no images, or images without a class.

    """
    data = _sources(spec.data)
    validation = None if spec.validation is None else _sources(spec.validation)
    classes = sorted({str(source.label) for source in (*data, *(validation or ()))})
    if len(classes) < 2:  # noqa: PLR2004
        raise ValueError(f"{spec.data.path!r} has one class, {classes[0]!r}: to compare, models must tell two or more")
    return Sets(data, validation, spec.split, classes)


def refuse_leaks(sets: Sets, pixels: "Pixels") -> None:
    """Refuse an image, by its pixels, that is trained on and validated on too.

    With a split all images count, since another seed would put the two on different sides.

    Raises:
        OSError: An image cannot be opened.
        ValueError: There is such an image, or one cannot be read.

    """
    first: dict[bytes, SourceFile] = {}
    pairs = [(source, first.setdefault(pixel_hash, source)) for source, pixel_hash in pixels.hashes(sets.data)]
    if sets.validation is not None:
        pairs = [(source, first.get(pixel_hash, source)) for source, pixel_hash in pixels.hashes(sets.validation)]
    named = [f"{one.path!r} ({one.key}) is {twin.path!r} ({twin.key})" for one, twin in pairs if one is not twin]
    if named:
        begin = f"images are trained on and validated on too, {len(named):,} in all; leave out one of each two: "
        raise ValueError(begin + "; ".join([*named[:_NAMED], *["..."] * (len(named) > _NAMED)]))


@dataclass
class Pixels:
    """Decoded images, read at most once where they fit in memory."""

    _held: dict[SourceFile, NDArray[np.uint8]] = field(default_factory=dict)
    _bytes: int = 0

    def read(self, source: SourceFile) -> NDArray[np.uint8]:
        """Return an image, (H, W, 3) uint8 RGB, which must not be changed."""
        image = self._held.get(source)
        if image is None:
            image = source.read()
            if self._bytes + image.nbytes <= MOST_BYTES:
                self._held[source] = image
                self._bytes += image.nbytes
        return image

    def hashes(self, sources: list[SourceFile]) -> Iterable[tuple[SourceFile, bytes]]:
        """Yield each source with the hash of its pixels, in order."""
        with ThreadPoolExecutor(_THREADS) as threads:
            yield from zip(sources, threads.map(lambda source: hash_pixels(self.read(source)), sources), strict=True)


def _sources(data: Data) -> list[SourceFile]:
    columns = Columns(data.images, data.key, data.label, data.image, data.split)
    sources = find_sources(data.path, Path(data.path), columns, Selection(data.exclude))
    for source in sources:
        if source.label is None:
            raise ValueError(f"{source.key!r} of {data.path!r} has no class: put it into a folder of its class")
    return sources


def _divided(sources: list[SourceFile], split: Split, seed: int) -> tuple[list[SourceFile], list[SourceFile]]:
    def label(source: SourceFile) -> str:
        return str(source.label)

    taken: list[SourceFile] = []
    rest: list[SourceFile] = []
    for name, group in groupby(sorted(sources, key=lambda source: (label(source), source.key)), label):
        members = list(group)
        random.Random(f"{seed}:{name}").shuffle(members)
        kept = split.per_class or len(members) - max(1, round(len(members) * (split.validation or 0)))
        taken += members[:kept]
        rest += members[kept:]
    return taken, rest
