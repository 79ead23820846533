"""The local engine: worker processes under a supervisor that notices when one dies, and has its work done again."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterable
from functools import partial
from queue import Empty, SimpleQueue

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.events import Supervisor, Worker
from albu_diffusemix.generate.messages import ChildProcess, Message
from albu_diffusemix.generate.plan import Plan
from albu_diffusemix.generate.reports import Reporter

__all__ = ["run_workers"]

_BATCHES_IN_PROGRESS = 6
_LOOK = 0.2  # seconds between looks at the stop signal
_VISIBLE = "CUDA_VISIBLE_DEVICES"

_Inbox = SimpleQueue[tuple[int, Message | None]]


def run_workers(plan: Plan, reporter: Reporter, stop: threading.Event) -> None:
    """Have the plan's sources made by worker processes.

    Args:
        plan: What is to be made, by `options.workers` processes.
        reporter: Is told of each counterpart when the store has acknowledged it.
        stop: When set, the workers finish the batches in progress and seal their parts.

    Raises:
        ValueError: A worker cannot work, or workers die and nothing is made.

    """
    supervisor = _LocalSupervisor(plan, reporter, stop)
    try:
        supervisor.run()
    finally:
        supervisor.kill()
    supervisor.fail_abandoned()


class _LocalWorker(Worker):
    """A worker that is a process of this machine."""

    def __init__(self, number: int, plan: Plan, inbox: _Inbox) -> None:
        super().__init__(number)
        self.alone = False  # with a source that may kill it
        self._flushed = True
        self._ended = False
        self.process = ChildProcess(
            "albu_diffusemix.generate.local_worker", lambda message: inbox.put((number, message)), _environment(number)
        )
        self.process.send("job", plan.options.to_json())

    def give(self, sources: Iterable[SourceFile], *, alone: bool) -> None:
        for source in sources:
            self.in_progress[source.key] = source
            self.process.send("source", *source)
            self._flushed = False
        self.alone = alone
        if alone:
            self.flush()

    def flush(self, *, again: bool = False) -> None:
        if again or not self._flushed:
            self.process.send("flush")
        self._flushed = True

    def end(self, word: str) -> None:
        if not self._ended:
            self.process.send(word)
        self._ended = True


class _LocalSupervisor(Supervisor):
    def __init__(self, plan: Plan, reporter: Reporter, stop: threading.Event) -> None:
        super().__init__(plan, reporter, stop)
        self._inbox: _Inbox = SimpleQueue()
        self._window = _BATCHES_IN_PROGRESS * plan.job.batch_size
        self._start = partial(_LocalWorker, plan=plan, inbox=self._inbox)
        self._workers = {number: self._start(number) for number in range(self.count)}

    def run(self) -> None:
        while self._workers:
            self._hand_out()
            try:
                number, message = self._inbox.get(timeout=_LOOK)
            except Empty:
                continue
            if message is None:
                self._handle_exit(self._workers.pop(number))
            else:
                self.receive(self._workers[number], message)

    def kill(self) -> None:
        """End those that are left when something went wrong; what they acknowledged stays."""
        for worker in self._workers.values():
            worker.process.kill()

    def _hand_out(self) -> None:
        workers = self._workers.values()
        if self.stop.is_set():
            for worker in workers:
                worker.end("stop")
            return
        for worker in workers:
            self._feed(worker)
        if not self.queue and not any(worker.in_progress for worker in workers):
            for worker in workers:
                worker.end("end")

    def _feed(self, worker: _LocalWorker) -> None:
        worker.alone = worker.alone and bool(worker.in_progress)
        room = self._window - len(worker.in_progress)
        if worker.alone or room <= 0:
            return
        sources = self.queue.take(room, idle=not worker.in_progress)
        if sources:
            worker.give(sources, alone=self.queue.suspects(sources[0]))
        else:
            worker.flush()

    def _handle_exit(self, worker: _LocalWorker) -> None:
        """Where a worker died, have its work done again, and start another in its place."""
        status = worker.process.wait()
        if (worker.sealed and not worker.in_progress) or self.stop.is_set():
            return
        cause = f"signal {-status}" if status < 0 else f"exit status {status}"
        self.take_back(worker, f"a worker died ({cause})", cause)
        for other in self._workers.values():
            other.flush(again=True)  # so that they see what was sealed before they are given the rest
        if self.queue:
            self._workers[worker.number] = self._start(worker.number)


def _environment(number: int) -> dict[str, str]:
    """Show each worker one GPU, where there are several; return the variables that differ from those here."""
    devices = [device for device in os.environ.get(_VISIBLE, "").split(",") if device] or _installed_gpus()
    if len(devices) < 2:  # noqa: PLR2004  nothing to share out
        return {}
    return {_VISIBLE: devices[number % len(devices)]}


def _installed_gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None or _VISIBLE in os.environ:
        return []
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)  # noqa: S603  no input of the user's
    return [str(number) for number in range(listed.stdout.count("GPU "))]
