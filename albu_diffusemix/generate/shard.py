"""The one piece of work that all engines schedule: make what the store lacks of some sources."""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, final

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.datasets.read_ahead import Readers
from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.generate.pipeline import Pipeline, batch_size_of
from albu_diffusemix.generate.plan import existing_store, open_backend, open_store
from albu_diffusemix.generate.prepare import prepare_ahead
from albu_diffusemix.generate.reports import Outcome, Reporter
from albu_diffusemix.generate.variants import Variant, find_missing, variants_of
from albu_diffusemix.store import Writer

__all__ = ["fail_sources", "make_shard"]

_MOST_THREADS = 8


def make_shard(
    options: ResolvedOptions,
    prompts: tuple[str, ...],
    sources: Iterable[SourceFile | None],
    reporter: Reporter,
    stop: threading.Event,
) -> None:
    """Make what the store lacks of some sources, in a part of its own.

    The store is made when the first counterpart is written, so that a backend that does not work leaves none.
    Idempotent: what is in the store is not made again, so it can be called with the same sources again and again, after
    a crash too. What it makes depends on options and keys alone, not on order, neighbours or process.

    Args:
        options: The job.
        prompts: The effects to choose from.
        sources: May come slowly. None among them asks to finish what is in hand and to look at the store again.
        reporter: Hears of each counterpart when the store has acknowledged it.
        stop: When set, the batch in hand is finished and the part sealed.

    Raises:
        ValueError: The backend does not work, or the store cannot be written.

    """
    backend = open_backend(options)
    shelf = _StoreView(options, prompts)
    threads = min(_MOST_THREADS, max(2, _cpus() // options.workers))
    depth = threads + batch_size_of(backend)
    with _Parts(options, prompts) as parts, ThreadPoolExecutor(threads) as pool, Readers(threads) as readers:
        pipeline = Pipeline(backend, options, pool, parts, reporter, stop)
        pipeline.run(prepare_ahead(readers, shelf.watched(sources), shelf.look_up, options.size, depth, stop))


def fail_sources(
    options: ResolvedOptions, prompts: tuple[str, ...], given_up: Iterable[tuple[SourceFile, str]], reporter: Reporter
) -> None:
    """Write failures for all that the store lacks of sources that were given up; where nothing was made, report them.

    Args:
        options: The job.
        prompts: The effects to choose from.
        given_up: Sources, each with the reason.
        reporter: Hears of each failure.

    Raises:
        ValueError: The store cannot be written.

    """
    shelf = _StoreView(options, prompts)
    with _Parts(options, prompts) as parts:
        for source, reason in given_up:
            for variant in shelf.look_up(source):
                if parts.is_begun():
                    parts.fail(source.key, variant.name, reason, prompt=variant.prompt)
                reporter.outcome(Outcome(source.key, variant.name, reason, 0, 0))
            reporter.done(source.key)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@final
class _Parts:
    """The parts that are written here; with the first of what they hold the store is made where there is none."""

    def __init__(self, options: ResolvedOptions, prompts: tuple[str, ...]) -> None:
        self._options = options
        self._prompts = prompts
        self._writer: Writer | None = None
        self._ending = contextlib.ExitStack()

    def put(self, *image: Any, **record: Any) -> None:
        self._written().put(*image, **record)

    def fail(self, *failure: Any, **record: Any) -> None:
        self._written().fail(*failure, **record)

    def is_begun(self) -> bool:
        return self._writer is not None or existing_store(self._options) is not None

    def __enter__(self) -> "_Parts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.__exit__(kind, error, trace)

    def _written(self) -> Writer:
        if self._writer is None:
            store = open_store(self._options, open_backend(self._options), self._prompts)
            self._writer = self._ending.enter_context(store.writer(_label(self._options)))
        return self._writer


class _StoreView:
    """What the store lacks, as it was when last looked at."""

    def __init__(self, options: ResolvedOptions, prompts: tuple[str, ...]) -> None:
        self._options = options
        self._prompts = prompts
        self._store = existing_store(options)

    def watched(self, sources: Iterable[SourceFile | None]) -> Iterator[SourceFile | None]:
        for source in sources:
            yield source
            if source is None:
                self._store = existing_store(self._options)

    def look_up(self, source: SourceFile) -> list[Variant]:
        variants = variants_of(source.key, self._prompts, self._options)
        return find_missing(self._store, source.key, variants, retry_failed=self._options.retry_failed).variants


def _label(options: ResolvedOptions) -> str:
    index, count = options.shard
    return "part" if count == 1 else f"shard-{index}-of-{count}"
