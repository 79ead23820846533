"""What runs on the cluster: an actor that makes chunks of sources, one after the other, if its node can."""

import os
import threading
import time
from importlib import import_module, metadata
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import cv2

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.generate.plan import open_backend
from albu_diffusemix.generate.reports import Outcome
from albu_diffusemix.generate.shard import make_shard

__all__ = ["IDLE", "ActorJob", "RayWorker", "facts_of"]

IDLE = ["idle"]
"""The last row of a chunk: its part is sealed."""

_ANSWER = 1.0  # seconds after which a call for rows comes back without any
_SILENCE = 10  # seconds without a call: then the driver is gone

Row = list[Any]


class ActorJob(NamedTuple):
    """What an actor is told; plain values.

    Attributes:
        options: The options, as `ResolvedOptions.to_json` gives them.
        prompts: The effects to choose from.
        folder: Working directory of the command, which relative paths in a backend's spec start from; "" to stay.
        facts: `facts_of` the driver.
        paths: What every node must see, the lock of this run in the store among them.

    """

    options: dict[str, Any]
    prompts: list[str]
    folder: str
    facts: dict[str, str]
    paths: list[str]


def facts_of(options: ResolvedOptions) -> dict[str, str]:
    """Return what must be the same on all nodes, or the same source would give other bytes.

    Raises:
        ValueError: As `open_backend`.

    """
    return {
        "albu-diffusemix": metadata.version("albu-diffusemix"),
        "OpenCV": cv2.__version__,
        "backend fingerprint": open_backend(options).fingerprint,
    }


class RayWorker:
    """An actor. `check` comes first; then `make` starts a chunk, and `rows` is called until it gives `IDLE`.

    A driver that is gone stops calling; then the process ends, so that its part can be salvaged.

    Args:
        job: The fields of an `ActorJob`.

    """

    def __init__(self, job: list[Any]) -> None:
        self._job = ActorJob(*job)
        self._options = ResolvedOptions.from_json(self._job.options)
        self._stop = threading.Event()
        self._teller = _EventWriter()
        self._silence = 0

    def check(self) -> str:
        """Say why this node cannot work; empty where it can."""
        if self._job.folder and Path(self._job.folder).is_dir():
            os.chdir(self._job.folder)
        problem = self._unseen() or self._differing()
        return _from_here(problem) if problem else ""

    def make(self, sources: list[list[str]]) -> None:
        """Begin to make what the store lacks of the sources."""
        self._silence = 0
        work = threading.Thread(target=self._work, args=(sources,), daemon=True)
        work.start()
        threading.Thread(target=self._watch, args=(work,), daemon=True).start()

    def rows(self) -> list[Row]:
        """Return what there is to tell: ["outcome", ...], ["done", key], ["note", text], ["error", text] or IDLE."""
        self._silence = 0
        rows = self._teller.some()
        self._silence = 0
        return rows

    def stop(self) -> None:
        """Finish the batch in hand and seal the part."""
        self._stop.set()

    def _unseen(self) -> str:
        for path in self._job.paths:
            if not Path(path).exists():
                return f"there is no {path!r} there: all nodes must share data and store, under the same paths"
        if not os.access(self._options.store, os.W_OK):
            return f"{str(self._options.store)!r} cannot be written to there: check its permissions"
        return ""

    def _differing(self) -> str:
        try:
            found = facts_of(self._options)
        except ValueError as error:
            return str(error)
        for name, expected in self._job.facts.items():
            if found[name] != expected:
                return f"it has {name} {found[name]}, and the driver has {expected}: all nodes must have the same"
        return ""

    def _work(self, sources: list[list[str]]) -> None:
        try:
            prompts = tuple(self._job.prompts)
            make_shard(self._options, prompts, (SourceFile(*source) for source in sources), self._teller, self._stop)
        except Exception as error:  # noqa: BLE001  the driver shows it, in one line
            known = isinstance(error, (OSError, ValueError))
            self._teller.tell("error", _from_here(str(error) if known else f"{type(error).__name__}: {error}"))
        self._teller.tell(*IDLE)

    def _watch(self, work: threading.Thread) -> None:
        """Count seconds in which this process ran: one that was held up does not blame the driver."""
        while work.is_alive():
            time.sleep(1)
            self._silence += 1
            if self._silence > _SILENCE:
                os._exit(1)


def _from_here(problem: str) -> str:
    util: Any = import_module("ray.util")  # an extra, without types
    return f"node {util.get_node_ip_address()}: {problem}"


class _EventWriter:
    """A reporter that keeps what it hears until somebody asks."""

    def __init__(self) -> None:
        self._rows: SimpleQueue[Row] = SimpleQueue()

    def tell(self, *row: Any) -> None:
        self._rows.put(list(row))

    def outcome(self, outcome: Outcome) -> None:
        self.tell("outcome", *outcome)

    def done(self, key: str) -> None:
        self.tell("done", key)

    def note(self, text: str) -> None:
        self.tell("note", text)

    def some(self) -> list[Row]:
        """Wait a moment for a row, and take those that are there with it."""
        rows: list[Row] = []
        try:
            rows.append(self._rows.get(timeout=_ANSWER))
            while True:
                rows.append(self._rows.get_nowait())
        except Empty:
            return rows
