"""Scoring what a store lacks figures of: images are read ahead in threads, scored in batches, and written in files."""

import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.curate.score_files import ScoreWriter, check_scorer_name, scored
from albu_diffusemix.curate.scorers import Figures, ScoreOptions, Scorer, View
from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.plan import belongs
from albu_diffusemix.generate.read_ahead import Readers, read_ahead
from albu_diffusemix.generate.sheet import decode_record
from albu_diffusemix.image_decoding import reading
from albu_diffusemix.store import Record, Source, Store
from albu_diffusemix.text import in_one_line, unknown

__all__ = ["SCORERS", "ScorePlan", "ScoreSummary", "plan_scores", "run_scores"]

_ROOM = "albu_diffusemix.curate"
SCORERS = {
    "clip": f"{_ROOM}.model_scorers:ClipScorer",
    "dino": f"{_ROOM}.model_scorers:EmbeddingScorer",
    "classifier": f"{_ROOM}.model_scorers:ClassifierScorer",
    "pixels": f"{_ROOM}.free_scorers:PixelScorer",
    "edges": f"{_ROOM}.free_scorers:EdgeScorer",
}
"""Where the class of each scorer is; those with models import torch."""

_WITHOUT_MODEL = ("pixels", "edges")
_ROWS_IN_FILE, _SECONDS_OF_FILE = 50_000, 60.0
_MOST_THREADS = 8
_UNREADABLE = (OSError, ValueError, MemoryError, cv2.error)


class ScorePlan(NamedTuple):
    """What is to be scored.

    Attributes:
        store: The store.
        scorer: Who scores.
        name: What the figures' names begin with.
        shard: Index and count of this share of the work.
        sources: The sources that have counterparts without figures, with these.
        present: Counterparts of the share that have figures already.

    """

    store: Store
    scorer: Scorer
    name: str
    shard: tuple[int, int]
    sources: list[tuple[SourceFile, list[Record]]]
    present: int

    @property
    def pending(self) -> int:
        """Counterparts without figures."""
        return sum(len(records) for _, records in self.sources)


class ScoreSummary(NamedTuple):
    """What a run did: how many counterparts it scored, and why it could not score others, by key and variant."""

    scored: int
    failures: list[tuple[Record, str]]
    interrupted: bool


def plan_scores(
    store: Store, sources: list[SourceFile], options: ScoreOptions, shard: tuple[int, int] = (0, 1)
) -> ScorePlan:
    """Load the scorer, and find the counterparts that have no figures of it.

    Args:
        store: Whose counterparts are scored.
        sources: What they were made from.
        options: What to measure, and with what.
        shard: Index and count: only this share of the keys.

    Raises:
        StoreError: The store or its figures cannot be read.
        ValueError: The scorer cannot be loaded, or does not fit the labels.

    """
    name = check_scorer_name(options.name or options.kind)
    scorer = _create(options, {source.label for source in sources if source.label is not None})
    done = scored(store, name, scorer.fingerprint)
    pending, present = [], 0
    for source in sources:
        if not belongs(source.key, shard):
            continue
        records = store.variants(source.key)
        left = [record for record in records if (record.key, record.variant, record.location.check) not in done]
        present += len(records) - len(left)
        pending += [(source, left)] if left else []
    return ScorePlan(store, scorer, name, shard, pending, present)


def run_scores(plan: ScorePlan, report: Callable[[Record, str], object], stop: threading.Event) -> ScoreSummary:
    """Score what the plan says; what was scored is on disk at the latest after a minute.

    Args:
        plan: From `plan_scores`.
        report: Told of each counterpart, with the reason where it could not be scored.
        stop: When set, what was begun is finished and written, and the rest left for another run.

    Raises:
        StoreError: The figures cannot be written, or another process scores the same share.
        ValueError: The scorer fails.

    """
    writer = ScoreWriter(plan.store, plan.name, plan.scorer, plan.shard)
    rows: list[tuple[Record, str | None, Figures]] = []
    failures: list[tuple[Record, str]] = []
    count, written = 0, time.monotonic()
    with writer.alone():
        try:
            for batch in _batches(_looked_at(plan, stop), plan.scorer.batch_size):
                whole = [looked for looked in batch if not looked.reason]
                figures = plan.scorer.score([looked.prepared for looked in whole]) if whole else []
                rows += [(looked.record, looked.label, row) for looked, row in zip(whole, figures, strict=True)]
                failures += [(looked.record, looked.reason) for looked in batch if looked.reason]
                count += len(whole)
                for looked in batch:
                    report(looked.record, looked.reason)
                if len(rows) >= _ROWS_IN_FILE or time.monotonic() - written > _SECONDS_OF_FILE:
                    writer.write(rows)
                    rows, written = [], time.monotonic()
        finally:
            writer.write(rows)
    return ScoreSummary(count, failures, stop.is_set())


def _create(options: ScoreOptions, labels: set[str]) -> Scorer:
    if options.kind not in SCORERS:
        raise ValueError(unknown("scorer", options.kind, list(SCORERS)))
    if options.kind not in _WITHOUT_MODEL:
        try:
            import torch  # noqa: F401, PLC0415  optional
            import transformers  # noqa: F401, PLC0415  optional
        except ImportError as error:
            advice = "pip install torch transformers"
            raise ValueError(f"the scorer {options.kind!r} needs torch and transformers: {advice}") from error
    module, _, name = SCORERS[options.kind].partition(":")
    given = () if options.kind in _WITHOUT_MODEL else (options, labels)
    made: Scorer = getattr(importlib.import_module(module), name)(*given)
    return made


class _Looked(NamedTuple):
    """A counterpart, what the scorer prepared of it, and its source's label; or the reason why there is nothing."""

    record: Record
    label: str | None
    prepared: Any
    reason: str = ""


def _looked_at(plan: ScorePlan, stop: threading.Event) -> Iterator[_Looked]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(2, min(_MOST_THREADS, cores))
    with Readers(threads) as readers:
        for group in read_ahead(readers, plan.sources, partial(_look, plan), _give_up, 4 * threads, stop):
            yield from group or ()


def _look(plan: ScorePlan, work: tuple[SourceFile, list[Record]]) -> list[_Looked]:
    source, records = work
    looked: list[_Looked] = []
    counterparts = []
    try:
        with reading(plan.store.recipe.background):
            image = source.read()
        of = Source.of(image)
        for record in records:
            try:
                counterparts.append((record, _counterpart(plan.store, record, of)))
            except _UNREADABLE as error:
                looked.append(_Looked(record, source.label, None, _reason(error)))
        prepared = plan.scorer.prepare(View(source, image, counterparts)) if counterparts else ()
    except _UNREADABLE as error:
        return [_Looked(record, source.label, None, _reason(error)) for record in records]
    measured = zip(counterparts, prepared, strict=True)
    return looked + [_Looked(record, source.label, row) for (record, _), row in measured]


def _counterpart(store: Store, record: Record, of: Source) -> NDArray[np.uint8]:
    if record.source != of:
        raise ValueError("its source has other pixels now than when it was made: run generate with --changed")
    return decode_record(store, record)


def _reason(error: BaseException) -> str:
    return in_one_line(error) or type(error).__name__


def _give_up(work: tuple[SourceFile, list[Record]], seconds: float) -> list[_Looked]:
    source, records = work
    return [_Looked(record, source.label, None, f"not read in {seconds:.0f} s") for record in records]


def _batches(looked_at: Iterator[_Looked], size: int) -> Iterator[list[_Looked]]:
    batch: list[_Looked] = []
    for looked in looked_at:
        batch.append(looked)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
