"""Baking what a plan says: processes make the images, one writes them, in the order of the plan."""

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.bake.baker import Baker, Sample
from albu_diffusemix.bake.output import RECIPE, ROWS, Files, Tars, write_annotations, write_data_yaml
from albu_diffusemix.bake.plan import BakePlan
from albu_diffusemix.datasets import SourceFile, spread
from albu_diffusemix.datasets.yolo import is_yolo, yolo_folders
from albu_diffusemix.import_paths import import_asked_for
from albu_diffusemix.store.locks import EXCLUSIVE, try_lock

__all__ = ["BakeSummary", "estimate", "run"]

_AHEAD = 3  # sources for each worker that wait or are made
_MEASURED = 6


class BakeSummary(NamedTuple):
    """What a run did.

    Attributes:
        made: Images.
        failed: Images that are missing in the set, those of earlier runs too.
        interrupted: Whether it was told to stop before its end.

    """

    made: int
    failed: int
    interrupted: bool


def run(plan: BakePlan, report: Callable[[Sample], object], stop: threading.Event) -> BakeSummary:
    """Bake what is missing.

    Args:
        plan: From `make_plan`.
        report: Told of each image.
        stop: When set, what was begun is finished, and the rest left for another run.

    Raises:
        OSError: Something cannot be written.
        ValueError: Another process bakes the same set, or a worker died.

    """
    output = plan.options.output
    output.mkdir(parents=True, exist_ok=True)
    with _alone(output):
        _begin(plan)
        baking = _Run(plan, report, stop)
        baking.go_on()
        if plan.recipe["format"] == "coco" and not stop.is_set():
            write_annotations(output, plan.recipe["categories"])
    return BakeSummary(baking.made, baking.failed, stop.is_set())


def estimate(plan: BakePlan) -> tuple[float, float]:
    """Return the seconds and bytes of one image, measured on a few; nothing is written."""
    baker, started = Baker(plan.recipe), time.monotonic()
    made = [sample for source in spread(plan.sources, _MEASURED) for sample in baker.bake(source, plan.versions[-1:])]
    size = sum(len(data) for sample in made for data in sample.files.values())
    return (time.monotonic() - started) / len(made), size / len(made)


@contextlib.contextmanager
def _alone(output: Path) -> Iterator[None]:
    handle = os.open(output, os.O_RDONLY)
    try:
        if try_lock(handle, EXCLUSIVE) == "alive":
            raise ValueError(f"another process bakes {str(output)!r}: wait until it has ended")
        yield
    finally:
        os.close(handle)


def _begin(plan: BakePlan) -> None:
    output, recipe, data = plan.options.output, plan.recipe, Path(plan.options.data)
    text = json.dumps(recipe, indent=2, ensure_ascii=False) + "\n"
    write_atomically(output / RECIPE, lambda file: file.write(text.encode()))
    with (output / ROWS).open("ab") as rows:
        rows.truncate(plan.progress.size)
    if recipe["format"] == "yolo":
        validation = yolo_folders(data, "val") if is_yolo(data) else []
        write_data_yaml(output, [name for _, name in recipe["categories"]], validation)


class _Run:
    """Has images made, writes them and their rows, and counts them."""

    def __init__(self, plan: BakePlan, report: Callable[[Sample], object], stop: threading.Event) -> None:
        self._plan, self._report, self._stop = plan, report, stop
        self._rows = plan.options.output / ROWS
        in_tars = plan.recipe["format"] == "webdataset"
        self._output = Tars(plan.options.output) if in_tars else Files(plan.options.output)
        self.made = 0
        self.failed = plan.progress.failed

    def go_on(self) -> None:
        """Make what has no row yet; an image's row is written when its files are in their places."""
        rows: list[str] = []
        numbers = range(self._plan.progress.done, self._plan.total)
        with self._rows.open("ab") as file:
            for number, sample in zip(numbers, self._samples(numbers), strict=False):  # fewer samples when stopped
                self._output.put(number, sample)
                self._report(sample)
                self.made, self.failed = self.made + bool(sample.files), self.failed + (not sample.files)
                rows.append(json.dumps(sample.row, ensure_ascii=False) + "\n")
                if number == numbers[-1]:
                    self._output.end(whole=True)
                if self._output.is_whole(number):
                    file.write("".join(rows).encode())
                    file.flush()
                    rows.clear()
            self._output.end(whole=False)

    def _samples(self, numbers: Iterable[int]) -> Iterator[Sample]:
        versions, sources = self._plan.versions, self._plan.sources
        tasks = (
            (sources[place], [versions[number % len(versions)] for number in group])
            for place, group in itertools.groupby(numbers, lambda number: number // len(versions))
        )
        if self._plan.options.workers > 1:
            yield from _made_by_workers(self._plan, tasks, self._stop)
            return
        baker = Baker(self._plan.recipe)
        for task in tasks:
            if self._stop.is_set():
                return
            yield from baker.bake(*task)


def _made_by_workers(
    plan: BakePlan, tasks: Iterable[tuple[SourceFile, list[int | None]]], stop: threading.Event
) -> Iterator[Sample]:
    context, workers = multiprocessing.get_context("forkserver"), plan.options.workers
    context.set_forkserver_preload(["albu_diffusemix.bake"])
    waiting: deque[Future[list[Sample]]] = deque()
    pool = ProcessPoolExecutor(workers, context, _start_worker, (plan.recipe, plan.options.modules))
    try:
        for task in tasks:
            if stop.is_set():
                break
            waiting.append(pool.submit(_bake, *task))
            if len(waiting) > _AHEAD * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise ValueError(
            "a worker died, perhaps for want of memory: run again, with fewer --workers; what has a row stays"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_baker: Baker | None = None
"""That of a worker process."""


def _start_worker(recipe: dict[str, Any], modules: tuple[str, ...]) -> None:
    global _baker  # noqa: PLW0603  how a pool's processes keep something
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that writes
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    for module in modules:
        import_asked_for(module)
    _baker = Baker(recipe)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _bake(source: SourceFile, versions: list[int | None]) -> list[Sample]:
    assert _baker is not None  # noqa: S101  the pool starts its workers so
    return _baker.bake(source, versions)
