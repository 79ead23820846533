"""The local engine: worker processes under a supervisor that notices when one dies, and has its work done again."""

import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.pipeline import batch_size_of
from albu_diffusemix.generate.plan import Plan, open_backend, recover
from albu_diffusemix.generate.reports import Outcome, Reporter
from albu_diffusemix.generate.shard import fail_sources
from albu_diffusemix.generate.work_queue import WorkQueue
from albu_diffusemix.import_paths import module_command, module_environment

__all__ = ["run_workers"]

_BATCHES_IN_HAND = 6
_LOOK = 0.2  # seconds between looks at the stop signal
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class _Message(NamedTuple):
    number: int
    words: list[Any]  # empty when the worker's output ended


class _Worker:
    """A process, and what it has in hand."""

    def __init__(self, number: int, plan: Plan, messages: "SimpleQueue[_Message]") -> None:
        self.number = number
        self.in_hand: dict[str, SourceFile] = {}
        self.alone = False
        self.flushed = True
        self.ended = False
        self.sealed = False
        self.process = subprocess.Popen(  # noqa: S603  our own module
            module_command("albu_diffusemix.generate.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(number),
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which passes it on
        )
        threading.Thread(target=self._listen, args=(messages,), daemon=True).start()
        self.say("job", plan.options.to_json(), plan.prompts)

    def give(self, sources: Iterable[SourceFile], *, alone: bool) -> None:
        for source in sources:
            self.in_hand[source.key] = source
            self.say("source", *source)
            self.flushed = False
        self.alone = alone
        if alone:
            self.flush()

    def flush(self) -> None:
        if not self.flushed:
            self.say("flush")
        self.flushed = True

    def end(self, word: str) -> None:
        if not self.ended:
            self.say(word)
        self.ended = True

    def done(self, key: str) -> None:
        self.in_hand.pop(key, None)
        self.alone = self.alone and bool(self.in_hand)

    def say(self, *words: Any) -> None:
        assert self.process.stdin is not None  # noqa: S101  a pipe, see above
        try:
            self.process.stdin.write(json.dumps(words) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it is dead, as the end of its output will tell

    def wait(self) -> int:
        """Wait for its end, and return its exit status."""
        status = self.process.wait()
        assert self.process.stdin is not None  # noqa: S101  a pipe, see above
        with contextlib.suppress(OSError):  # something was still to be written
            self.process.stdin.close()
        return status

    def _listen(self, messages: "SimpleQueue[_Message]") -> None:
        assert self.process.stdout is not None  # noqa: S101  a pipe, see above
        with self.process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):
                    messages.put(_Message(self.number, json.loads(line)))
        messages.put(_Message(self.number, []))


def run_workers(plan: Plan, reporter: Reporter, stop: threading.Event) -> None:
    """Have the plan's sources made by worker processes.

    Args:
        plan: What is to be made, by `options.workers` processes.
        reporter: Hears of each counterpart when the store has acknowledged it.
        stop: When set, the workers finish the batches they have in hand and seal their parts.

    Raises:
        ValueError: A worker cannot work, or workers die and nothing is made.

    """
    supervisor = _Supervisor(plan, reporter, stop)
    try:
        supervisor.run()
    finally:
        supervisor.kill()
    fail_sources(plan.options, plan.prompts, supervisor.queue.given_up, reporter)


class _Supervisor:
    def __init__(self, plan: Plan, reporter: Reporter, stop: threading.Event) -> None:
        self.queue = WorkQueue(plan.sources)
        self._plan = plan
        self._reporter = reporter
        self._stop = stop
        self._messages: SimpleQueue[_Message] = SimpleQueue()
        self._window = _BATCHES_IN_HAND * batch_size_of(open_backend(plan.options))
        count = min(plan.options.workers, len(plan.sources))
        self._workers = {number: _Worker(number, plan, self._messages) for number in range(count)}

    def run(self) -> None:
        while self._workers:
            self._hand_out()
            try:
                number, words = self._messages.get(timeout=_LOOK)
            except Empty:
                continue
            if words:
                self._hear(self._workers[number], words)
            else:
                self._handle_exit(self._workers.pop(number))

    def kill(self) -> None:
        """End those that are left when something went wrong; what they acknowledged stays."""
        for worker in self._workers.values():
            worker.process.kill()
            worker.wait()

    def _hand_out(self) -> None:
        workers = self._workers.values()
        if self._stop.is_set():
            for worker in workers:
                worker.end("stop")
            return
        for worker in workers:
            self._feed(worker)
        if not self.queue and not any(worker.in_hand for worker in workers):
            for worker in workers:
                worker.end("end")

    def _feed(self, worker: _Worker) -> None:
        room = self._window - len(worker.in_hand)
        if worker.alone or room <= 0:
            return
        sources = self.queue.take(room, idle=not worker.in_hand)
        if sources:
            worker.give(sources, alone=self.queue.suspects(sources[0]))
        else:
            worker.flush()

    def _hear(self, worker: _Worker, words: list[Any]) -> None:
        word, *rest = words
        if word == "outcome":
            outcome = Outcome(*rest)
            if not outcome.reason:
                self.queue.made()
            self._reporter.outcome(outcome)
        elif word == "done":
            worker.done(rest[0])
            self._reporter.done(rest[0])
        elif word == "note":
            self._reporter.note(rest[0])
        elif word == "sealed":
            worker.sealed = True
        elif word == "error":
            raise ValueError(rest[0])

    def _handle_exit(self, worker: _Worker) -> None:
        """See a worker off; where it died, salvage its part and start another in its place."""
        status = worker.wait()
        if (worker.sealed and not worker.in_hand) or self._stop.is_set():
            return
        cause = f"signal {-status}" if status < 0 else f"exit status {status}"
        self._reporter.note(f"a worker died ({cause}); another takes its place")
        recover(self._plan.options)
        self.queue.died(list(worker.in_hand.values()), cause)
        for other in self._workers.values():
            other.flushed = False
            other.flush()  # so that they see what was salvaged before they are given the rest
        if self.queue:
            self._workers[worker.number] = _Worker(worker.number, self._plan, self._messages)


def _environment(number: int) -> dict[str, str]:
    """Show each worker one GPU, where there are several."""
    devices = [device for device in os.environ.get(_VISIBLE, "").split(",") if device] or _installed_gpus()
    if len(devices) < 2:  # noqa: PLR2004  nothing to share out
        return module_environment()
    return {**module_environment(), _VISIBLE: devices[number % len(devices)]}


def _installed_gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None or _VISIBLE in os.environ:
        return []
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)  # noqa: S603  no input of the user's
    return [str(number) for number in range(listed.stdout.count("GPU "))]
