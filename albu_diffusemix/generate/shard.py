"""The one piece of work that all engines schedule: make what the store lacks of some sources."""

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from albu_diffusemix.generate.options import GenerateOptions
from albu_diffusemix.generate.pipeline import Pipeline, batch_size_of
from albu_diffusemix.generate.plan import open_backend, open_store
from albu_diffusemix.generate.reading import read_ahead
from albu_diffusemix.generate.reports import Outcome, Reporter
from albu_diffusemix.generate.scan import SourceFile
from albu_diffusemix.generate.variants import Variant, find_missing, variants_of
from albu_diffusemix.store import Store

__all__ = ["fail_sources", "make_shard"]

_MOST_THREADS = 8


def make_shard(
    options: GenerateOptions,
    prompts: tuple[str, ...],
    sources: Iterable[SourceFile | None],
    reporter: Reporter,
    stop: threading.Event,
) -> None:
    """Make what the store lacks of some sources, in a part of its own.

    Idempotent: what is in the store is not made again, so it can be called with the same sources again and again, after
    a crash too. What it makes depends on options and keys alone, not on order, neighbours or process.

    Args:
        options: The job.
        prompts: The effects to choose from.
        sources: May come slowly. None among them asks to finish what is in hand and to look at the store anew.
        reporter: Hears of each counterpart when the store has acknowledged it.
        stop: When set, the batch in hand is finished and the part sealed.

    Raises:
        ValueError: The backend does not work, or the store cannot be written.

    """
    backend = open_backend(options)
    shelf = _Shelf(open_store(options, backend, prompts), options, prompts)
    threads = min(_MOST_THREADS, max(2, _cpus() // options.workers))
    depth = threads + batch_size_of(backend)
    with shelf.store.writer(_label(options)) as writer, ThreadPoolExecutor(threads) as pool:
        pipeline = Pipeline(backend, options, pool, writer, reporter, stop)
        pipeline.run(read_ahead(pool, shelf.watched(sources), shelf.look_up, options.size, depth))


def fail_sources(
    options: GenerateOptions, prompts: tuple[str, ...], given_up: Iterable[tuple[SourceFile, str]], reporter: Reporter
) -> None:
    """Write failures for all that the store lacks of sources that were given up.

    Args:
        options: The job.
        prompts: The effects to choose from.
        given_up: Sources, each with the reason.
        reporter: Hears of each failure.

    Raises:
        ValueError: The store cannot be written.

    """
    shelf = _Shelf(open_store(options, open_backend(options), prompts), options, prompts)
    with shelf.store.writer(_label(options)) as writer:
        for source, reason in given_up:
            for variant in shelf.look_up(source):
                writer.fail(source.key, variant.name, reason, prompt=variant.prompt)
                reporter.outcome(Outcome(source.key, variant.name, reason, 0, 0))
            reporter.done(source.key)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Shelf:
    """What the store lacks, as it was when last looked at."""

    def __init__(self, store: Store, options: GenerateOptions, prompts: tuple[str, ...]) -> None:
        self.store = store
        self._options = options
        self._prompts = prompts

    def watched(self, sources: Iterable[SourceFile | None]) -> Iterator[SourceFile | None]:
        for source in sources:
            yield source
            if source is None:
                self.store = Store.open(self.store.path)

    def look_up(self, source: SourceFile) -> list[Variant]:
        variants = variants_of(source.key, self._prompts, self._options)
        return find_missing(self.store, source.key, variants, retry_failed=self._options.retry_failed).variants


def _label(options: GenerateOptions) -> str:
    index, count = options.shard
    return "part" if count == 1 else f"shard-{index}-of-{count}"
