"""Which sources have changed since their counterparts were made."""

import os
import threading
from collections.abc import Sequence
from typing import NamedTuple

import cv2

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.job import OpenJob
from albu_diffusemix.generate.read_ahead import Readers, read_ahead
from albu_diffusemix.image_decoding import reading
from albu_diffusemix.store import Source

__all__ = ["Changed", "find_changed"]

_MOST_THREADS = 8


class Changed(NamedTuple):
    """What was found when the sources that a store knows were looked at.

    Attributes:
        images: What those are now that have changed, by their keys.
        looked_at: How many were looked at.
        unreadable: How many of them cannot be read, whose counterparts stay as they are.

    """

    images: dict[str, Source]
    looked_at: int
    unreadable: int


def find_changed(job: OpenJob, files: Sequence[SourceFile]) -> Changed:
    """Read the sources that the job looks at again and the store knows, and compare their pixels with the store's."""
    known = {file.key: file for file in files if job.looks_again_at(file) and _sources(job, file)}
    images: dict[str, Source] = {}
    unreadable = 0
    threads = min(_MOST_THREADS, os.cpu_count() or 1)

    def look(file: SourceFile) -> tuple[str, Source | None]:
        try:
            with reading(job.options.background):
                return file.key, Source.of(file.read())
        except (OSError, ValueError, MemoryError, cv2.error):
            return file.key, None

    with Readers(threads) as readers:
        for found in read_ahead(
            readers, known.values(), look, lambda file, _: (file.key, None), threads, threading.Event()
        ):
            if found is None:
                continue
            key, image = found
            if image is None:
                unreadable += 1
            elif any(source != image for source in _sources(job, known[key])):
                images[key] = image
    return Changed(images, len(known), unreadable)


def _sources(job: OpenJob, file: SourceFile) -> list[Source]:
    """Return what the counterparts of a source were made from, and those that were asked for and failed."""
    if job.store is None:
        return []
    asked = (job.store.find(file.key, variant.name) for variant in job.variants_of(file))
    return [record.source for record in (*job.store.variants(file.key), *asked) if record is not None]
