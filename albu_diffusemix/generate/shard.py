"""The one piece of work that all engines schedule: make what the store lacks of some sources."""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.job import OpenJob
from albu_diffusemix.generate.pipeline import Pipeline
from albu_diffusemix.generate.prepare import prepare_ahead
from albu_diffusemix.generate.read_ahead import Readers
from albu_diffusemix.generate.reports import Outcome, Reporter
from albu_diffusemix.store import Writer

__all__ = ["fail_sources", "make_shard"]

_MOST_THREADS = 8


def make_shard(job: OpenJob, sources: Iterable[SourceFile | None], reporter: Reporter, stop: threading.Event) -> None:
    """Make what the store lacks of some sources, in a part of its own.

    The store is made when the first counterpart is written, so that a backend that does not work leaves no store.
    Idempotent: what is in the store is not made again, so it can be called with the same sources again and again, after
    a crash too. What it makes depends on options and keys alone, not on order, neighbors or process.

    Args:
        job: What is to be made.
        sources: May come slowly. None among them asks to finish all batches and to look at the store again.
        reporter: Is told of each counterpart when the store has acknowledged it.
        stop: When set, the batch in progress is finished and the part sealed.

    Raises:
        ValueError: The backend does not work, or the store cannot be written.

    """
    threads = min(_MOST_THREADS, max(2, _cpus() // job.options.workers))
    depth = threads + job.batch_size
    with _Parts(job) as parts, ThreadPoolExecutor(threads) as pool, Readers(threads) as readers:
        ahead = prepare_ahead(
            readers,
            _looked_at_again(job, sources),
            job.look_up,
            job.options,
            depth,
            stop,
        )
        Pipeline(job, pool, parts, reporter, stop).run(ahead)


def fail_sources(job: OpenJob, sources: Iterable[tuple[SourceFile, str]], reporter: Reporter) -> None:
    """Write failures for all that the store lacks of some sources; where nothing was made, only report them.

    Args:
        job: What was to be made.
        sources: Those that nothing will come of, each with the reason.
        reporter: Is told of each failure.

    Raises:
        ValueError: The store cannot be written.

    """
    with _Parts(job) as parts:
        for source, reason in sources:
            for variant in job.find_missing(source).variants:
                if parts.is_begun():
                    parts.fail(source.key, variant.name, reason, prompt=variant.prompt)
                reporter.outcome(Outcome(source.key, variant.name, reason, 0, 0))
            reporter.done(source.key)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _looked_at_again(job: OpenJob, sources: Iterable[SourceFile | None]) -> Iterator[SourceFile | None]:
    """Look at the store again after each None, if a source still comes: another worker may have made a part of it."""
    asked = False
    for source in sources:
        if asked and source is not None:
            job.look_again()
        asked = source is None
        yield source


class _Parts(contextlib.ExitStack):
    """The parts that are written here; with the first of what they hold the store is made where there is none."""

    def __init__(self, job: OpenJob) -> None:
        super().__init__()
        self._job = job
        self._writer: Writer | None = None

    def put(self, *image: Any, **record: Any) -> None:
        self._opened().put(*image, **record)

    def fail(self, *failure: Any, **record: Any) -> None:
        self._opened().fail(*failure, **record)

    def is_begun(self) -> bool:
        return self._writer is not None or self._job.store_exists()

    def _opened(self) -> Writer:
        if self._writer is None:
            self._writer = self.enter_context(self._job.writer())
        return self._writer
