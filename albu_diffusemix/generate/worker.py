"""A worker process of the local engine: takes sources on its standard input, tells what becomes of them on its output.

Both ways go lines of JSON. In: `["job", options, prompts]`, then `["source", path, key]`, `["flush"]` and at last
`["end"]` or `["stop"]`. Out: `["ready"]`, `["outcome", ...]`, `["done", key]`, `["note", text]`, and at last
`["sealed"]` or `["error", text]`. Where the input breaks off, also after its last word, the supervisor is dead, and so
is the worker at once; what it had acknowledged stays.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any, TextIO

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.generate.reports import Outcome
from albu_diffusemix.generate.shard import make_shard

__all__ = ["main"]


_IDLE = 1.0  # seconds


class _End:
    """After it no more sources come."""


def main() -> int:
    """Work until told to end; returns the exit status."""
    told = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a backend prints must not get between the messages
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor passes it on
    inbox: SimpleQueue[SourceFile | _End | None] = SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: _halt(stop, inbox))
    # Not sys.stdin: the thread holds its lock when the interpreter ends, which is a fatal error there.
    orders = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")
    _, fields, prompts = json.loads(orders.readline())
    threading.Thread(target=_listen, args=(orders, inbox, stop), daemon=True).start()
    with told:
        teller = _EventWriter(told)
        teller.say("ready")
        try:
            make_shard(ResolvedOptions.from_json(fields), tuple(prompts), _sources(inbox), teller, stop)
        except Exception as error:  # noqa: BLE001  the supervisor shows it, in one line
            known = isinstance(error, (OSError, ValueError))
            teller.say("error", str(error) if known else f"{type(error).__name__}: {error}")
            return 1
        teller.say("sealed")
    return 0


def _halt(stop: threading.Event, inbox: "SimpleQueue[SourceFile | _End | None]") -> None:
    stop.set()
    inbox.put(_End())


def _listen(orders: TextIO, inbox: "SimpleQueue[SourceFile | _End | None]", stop: threading.Event) -> None:
    for line in orders:
        word, *rest = json.loads(line)
        if word == "source":
            inbox.put(SourceFile(*rest))
        elif word == "flush":
            inbox.put(None)
        elif word == "stop":
            _halt(stop, inbox)
        else:
            inbox.put(_End())
    os._exit(1)


def _sources(inbox: "SimpleQueue[SourceFile | _End | None]") -> Iterator[SourceFile | None]:
    """Yield what comes; where nothing comes for a while, ask for what is in hand to be finished."""
    finished = False
    while True:
        try:
            item = inbox.get(timeout=None if finished else _IDLE)
        except Empty:
            item = None
        if isinstance(item, _End):
            return
        finished = item is None
        yield item


class _EventWriter:
    def __init__(self, told: TextIO) -> None:
        self._told = told

    def say(self, *words: Any) -> None:
        try:
            self._told.write(json.dumps(words) + "\n")
            self._told.flush()
        except OSError:  # nobody listens any more
            os._exit(1)

    def outcome(self, outcome: Outcome) -> None:
        self.say("outcome", *outcome)

    def done(self, key: str) -> None:
        self.say("done", key)

    def note(self, text: str) -> None:
        self.say("note", text)


if __name__ == "__main__":
    sys.exit(main())
