"""What runs on the cluster: an actor that makes chunks of sources, one after the other, if its node can."""

import os
import threading
import time
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module, metadata
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import cv2

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.events import make_and_send
from albu_diffusemix.generate.job import OpenJob, open_job
from albu_diffusemix.generate.messages import Message
from albu_diffusemix.generate.options import ResolvedOptions

__all__ = ["ActorJob", "RayWorker", "facts_of"]

_ANSWER = 1.0  # seconds after which a call for events comes back without any
_SILENCE = 10  # seconds without a call: then the driver is gone


class ActorJob(NamedTuple):
    """What an actor is told; plain values.

    Attributes:
        options: The options, as `ResolvedOptions.to_json` gives them.
        folder: Working directory of the command, which relative paths in a backend's spec start from; "" to stay.
        facts: `facts_of` the driver's job.
        paths: What every node must see, the lock of this run in the store among them.

    """

    options: dict[str, Any]
    folder: str
    facts: dict[str, str]
    paths: list[str]


def facts_of(job: OpenJob) -> dict[str, str]:
    """Return what must be the same on all nodes, or the same source would give other bytes."""
    return {
        "albu-diffusemix": metadata.version("albu-diffusemix"),
        "OpenCV": cv2.__version__,
        "backend fingerprint": job.backend.fingerprint,
    }


class RayWorker:
    """An actor. `check` comes first; then `make` starts a chunk, and `events` is called until it gives the last one.

    A driver that is gone stops calling; then the process ends, so that its part can be salvaged.

    Args:
        setup: The fields of an `ActorJob`.

    """

    def __init__(self, setup: list[Any]) -> None:
        self._setup = ActorJob(*setup)
        self._options = ResolvedOptions.from_json(self._setup.options)
        self._stop = threading.Event()
        self._events: SimpleQueue[Message] = SimpleQueue()
        self._chunks = 0
        self._silence = 0

    def check(self) -> str:
        """Return why this node cannot work; empty where it can."""
        if self._setup.folder and Path(self._setup.folder).is_dir():
            os.chdir(self._setup.folder)
        problem = self._unseen() or self._differing()
        return f"{_here()}{problem}" if problem else ""

    def make(self, sources: list[list[Any]]) -> None:
        """Begin to make what the store lacks of the sources."""
        self._silence = 0
        work = threading.Thread(target=self._work, args=(sources,), daemon=True)
        work.start()
        threading.Thread(target=self._watch, args=(work,), daemon=True).start()

    def events(self) -> list[Message]:
        """Wait a moment for an event, and return those that are there; see `albu_diffusemix.generate.events`."""
        self._silence = 0
        events = list(self._take_events())
        self._silence = 0
        return events

    def stop(self) -> None:
        """Finish the batch in progress and seal the part."""
        self._stop.set()

    @cached_property
    def _job(self) -> OpenJob:
        return open_job(self._options)

    def _unseen(self) -> str:
        for path in self._setup.paths:
            if not Path(path).exists():
                return f"there is no {path!r} there: all nodes must share data and store, under the same paths"
        if not os.access(self._options.store_path, os.W_OK):
            return f"{str(self._options.store_path)!r} cannot be written to there: check its permissions"
        return ""

    def _differing(self) -> str:
        try:
            found = facts_of(self._job)
        except ValueError as error:
            return str(error)
        for name, expected in self._setup.facts.items():
            if found[name] != expected:
                return f"it has {name} {found[name]}, and the driver has {expected}: all nodes must have the same"
        return ""

    def _work(self, sources: list[list[Any]]) -> None:
        self._chunks += 1
        files = (SourceFile(*source) for source in sources)
        # What a dead actor had in progress comes in a later chunk: what it did write was sealed meanwhile.
        chunk = files if self._chunks == 1 else (None, *files)
        make_and_send(lambda: self._job, chunk, lambda *event: self._events.put(list(event)), self._stop, place=_here())

    def _watch(self, work: threading.Thread) -> None:
        """Count seconds in which this process ran: one that was held up does not blame the driver."""
        while work.is_alive():
            time.sleep(1)
            self._silence += 1
            if self._silence > _SILENCE:
                os._exit(1)

    def _take_events(self) -> Iterator[Message]:
        try:
            yield self._events.get(timeout=_ANSWER)
            while True:
                yield self._events.get_nowait()
        except Empty:
            return


def _here() -> str:
    util: Any = import_module("ray.util")  # an extra, without types
    return f"node {util.get_node_ip_address()}: "
