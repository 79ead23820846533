"""A worker process of the local engine: takes sources on its standard input, tells what becomes of them on its output.

In: `["job", options]`, then `["source", ...]` with the fields of each, `["flush"]` and at last `["end"]` or `["stop"]`.
Out: the events of `albu_diffusemix.generate.events`. Where the input breaks off, also after its last word, the
supervisor is dead, and so is the worker at once; what it had acknowledged stays.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.events import make_and_send
from albu_diffusemix.generate.job import open_job
from albu_diffusemix.generate.messages import Message, ParentProcess
from albu_diffusemix.generate.options import ResolvedOptions

__all__ = ["main"]

_IDLE = 1.0  # seconds


def main() -> int:
    """Work until told to end; returns the exit status."""
    stop = threading.Event()
    inbox: SimpleQueue[Message] = SimpleQueue()

    def receive(message: Message) -> None:
        if message == ["stop"]:
            stop.set()
        inbox.put(message)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor passes it on
    signal.signal(signal.SIGTERM, lambda *_: receive(["stop"]))
    supervisor = ParentProcess(receive)
    options = ResolvedOptions.from_json(inbox.get()[1])
    return not make_and_send(lambda: open_job(options), _sources(inbox), supervisor.send, stop)


def _sources(inbox: "SimpleQueue[Message]") -> Iterator[SourceFile | None]:
    """Yield what comes; where nothing comes for a while, ask for all batches to be finished."""
    flushed = False
    while True:
        try:
            word, *rest = inbox.get(timeout=None if flushed else _IDLE)
        except Empty:
            word = "flush"
        if word not in ("source", "flush"):
            return
        flushed = word == "flush"
        yield None if flushed else SourceFile.from_json(rest)


if __name__ == "__main__":
    sys.exit(main())
