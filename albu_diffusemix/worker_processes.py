"""Work done by several processes, and handed over in the order in which it was asked for."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2

__all__ = ["follow_parent", "map_in_order"]

Task = TypeVar("Task")
Made = TypeVar("Made")

_AHEAD = 3  # tasks for each worker that wait or are worked on


def map_in_order(
    start: Callable[..., Callable[[Task], Made]], arguments: tuple[Any, ...], tasks: Iterable[Task], workers: int
) -> Iterator[Made]:
    """Work on tasks in new processes, which end with this one, even where it is killed.

    Args:
        start: Called in each process: returns what works on a task. A function that other processes can import.
        arguments: What it is called with.
        tasks: A few are taken in advance, so that little of them is in memory.
        workers: Number of processes. OpenCV has one thread in each.

    Yields:
        What was made of each task, in their order.

    Raises:
        ValueError: A process died.

    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([start.__module__])
    waiting: deque[Future[Made]] = deque()
    try:
        with ProcessPoolExecutor(workers, context, _start_worker, (start, arguments)) as pool:
            for task in tasks:
                waiting.append(pool.submit(_work, task))
                if len(waiting) > _AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise ValueError("a worker died, perhaps for want of memory: run again, with fewer --workers") from error


def follow_parent() -> None:
    """Let this worker process end with the one that hands out the work, even where that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that hands it out
    threading.Thread(target=_end_with_parent, daemon=True).start()


_started: list[Callable[[Any], Any]] = []
"""What works on a task, in a worker process."""


def _start_worker(start: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    follow_parent()
    cv2.setNumThreads(1)
    _started[:] = [start(*arguments)]


def _work(task: Any) -> Any:
    return _started[0](task)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
