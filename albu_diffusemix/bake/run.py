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
        made, failed = _go_on(plan, report, stop)
        if plan.recipe["format"] == "coco" and not stop.is_set():
            write_annotations(output, plan.recipe["categories"])
    return BakeSummary(made, failed, stop.is_set())


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


def _go_on(plan: BakePlan, report: Callable[[Sample], object], stop: threading.Event) -> tuple[int, int]:
    """Make what has no row yet, and count it; an image's row is written when its files are in their places."""
    output = (Tars if plan.recipe["format"] == "webdataset" else Files)(plan.options.output)
    numbers, made, failed = range(plan.progress.done, plan.total), 0, plan.progress.failed
    rows: list[str] = []
    with (plan.options.output / ROWS).open("ab") as file:
        for number, sample in zip(numbers, _samples(plan, numbers, stop), strict=False):  # fewer samples when stopped
            output.put(number, sample)
            report(sample)
            made, failed = made + bool(sample.files), failed + (not sample.files)
            rows.append(json.dumps(sample.row, ensure_ascii=False) + "\n")
            if number == numbers[-1]:
                output.end(whole=True)
            if output.is_whole(number):
                file.write("".join(rows).encode())
                file.flush()
                rows.clear()
        output.end(whole=False)
    return made, failed


def _samples(plan: BakePlan, numbers: Iterable[int], stop: threading.Event) -> Iterator[Sample]:
    count = len(plan.versions)
    tasks = (
        (plan.sources[place], [plan.versions[number % count] for number in group])
        for place, group in itertools.groupby(numbers, lambda number: number // count)
    )
    until_stopped = itertools.takewhile(lambda _: not stop.is_set(), tasks)
    if plan.options.workers > 1:
        yield from _made_by_workers(plan, until_stopped)
        return
    baker = Baker(plan.recipe)
    for task in until_stopped:
        yield from baker.bake(*task)


def _made_by_workers(plan: BakePlan, tasks: Iterable[tuple[SourceFile, list[int | None]]]) -> Iterator[Sample]:
    context, workers = multiprocessing.get_context("forkserver"), plan.options.workers
    context.set_forkserver_preload(["albu_diffusemix.bake"])
    waiting: deque[Future[list[Sample]]] = deque()
    pool = ProcessPoolExecutor(workers, context, _start_worker, (plan.recipe, plan.options.modules))
    try:
        for task in tasks:
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
