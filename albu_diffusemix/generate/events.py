"""What workers of both engines tell of their work, and what is made of it.

A worker is a process of the local engine or an actor of Ray. It sends `["outcome", ...]`, `["done", key]` and
`["note", text]` as a reporter hears them, and at the end `["sealed"]` or `["error", text]`.
"""

import threading
from collections.abc import Callable, Iterable

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.job import OpenJob
from albu_diffusemix.generate.messages import Message
from albu_diffusemix.generate.plan import Plan
from albu_diffusemix.generate.reports import Outcome, Reporter
from albu_diffusemix.generate.shard import fail_sources, make_shard
from albu_diffusemix.generate.work_queue import WorkQueue

__all__ = ["ENDINGS", "Supervisor", "Worker", "make_and_send"]

ENDINGS = ("sealed", "error")
"""The words of which one is the last that a worker says."""


def make_and_send(
    open_job: Callable[[], OpenJob],
    sources: Iterable[SourceFile | None],
    send: Callable[..., None],
    stop: threading.Event,
    *,
    place: str = "",
) -> bool:
    """Make what the store lacks of some sources, and send what becomes of them; return whether that ended well.

    Args:
        open_job: Returns the job; what is wrong with it is sent too.
        sources: As for `make_shard`.
        send: Called with the parts of each event, plain values.
        stop: As for `make_shard`.
        place: Begins what is said of an error.

    """
    try:
        make_shard(open_job(), sources, _EventSender(send), stop)
    except Exception as error:  # noqa: BLE001  the supervisor shows it, in one line
        known = isinstance(error, (OSError, ValueError))
        send("error", f"{place}{error if known else f'{type(error).__name__}: {error}'}")
        return False
    send("sealed")
    return True


class _EventSender:
    """A reporter that sends what it hears."""

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send

    def outcome(self, outcome: Outcome) -> None:
        self._send("outcome", *outcome)

    def done(self, key: str) -> None:
        self._send("done", key)

    def note(self, text: str) -> None:
        self._send("note", text)


class Worker:
    """What a supervisor knows of a worker.

    Args:
        number: Its number among all of a run.

    Attributes:
        in_progress: The sources that it was given and has not done, by their keys.
        sealed: Whether all that it wrote is in sealed parts.

    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.in_progress: dict[str, SourceFile] = {}
        self.sealed = False


class Supervisor:
    """Shares the sources of a plan among workers, and passes on what they tell.

    Args:
        plan: What is to be made.
        reporter: Is told of each counterpart when the store has acknowledged it.
        stop: When set, the workers finish the batches in progress and seal their parts.

    """

    def __init__(self, plan: Plan, reporter: Reporter, stop: threading.Event) -> None:
        self.queue = WorkQueue(plan.sources)
        self.count = min(plan.options.workers, len(plan.sources))
        self.plan = plan
        self.reporter = reporter
        self.stop = stop

    def receive(self, worker: Worker, event: Message) -> None:
        """Take in what a worker tells.

        Raises:
            ValueError: It cannot work.

        """
        word, *rest = event
        if word == "outcome":
            outcome = Outcome(*rest)
            if not outcome.reason:
                self.queue.made()
            self.reporter.outcome(outcome)
        elif word == "done":
            worker.in_progress.pop(rest[0], None)
            self.reporter.done(rest[0])
        elif word == "note":
            self.reporter.note(rest[0])
        elif word == "error":
            raise ValueError(rest[0])
        else:
            worker.sealed = True

    def take_back(self, worker: Worker, who: str, cause: str) -> None:
        """Have the work of a dead worker done by others.

        Args:
            worker: Who died.
            who: What to call it in a note.
            cause: How it ended, such as "signal 9".

        Raises:
            ValueError: Workers die one after the other and nothing is made.

        """
        self.reporter.note(f"{who}; another takes its place")
        self.plan.job.recover()  # what it wrote is sealed, so that the workers that look again do not make it twice
        self.queue.died(list(worker.in_progress.values()), cause)

    def fail_abandoned(self) -> None:
        """Write failures for the sources that killed their workers."""
        if self.queue.abandoned:
            self.plan.job.look_again()  # one that was only taken for dead may have sealed a part since
        fail_sources(self.plan.job, self.queue.abandoned, self.reporter)
