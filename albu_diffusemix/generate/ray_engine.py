"""The Ray engine: actors on a cluster, or on this machine, write parts to shared storage and return small rows.

Here is decided which actors there are and what each of them makes; `ray_driver`, in another process, talks to Ray.
"""

import threading
import time
from pathlib import Path
from typing import Any

from albu_diffusemix.datasets import spread
from albu_diffusemix.generate.events import Supervisor, Worker
from albu_diffusemix.generate.job import OpenJob
from albu_diffusemix.generate.plan import Plan
from albu_diffusemix.generate.ray_link import RayLink
from albu_diffusemix.generate.ray_worker import ActorJob, facts_of
from albu_diffusemix.generate.reports import Reporter
from albu_diffusemix.store.run_lock import lock_file

__all__ = ["run_on_ray"]

_ROUNDS = 4  # chunks that each actor gets, so that fast ones can take more
_MOST_IN_CHUNK = 2000  # counterparts; each chunk ends in a sealed part
_LAST_BATCH = 20.0  # seconds for the batches in progress, once told to stop
_SETTLED = 10.0  # seconds that a number of placed actors stands before it is told
_SAMPLES = 3  # sources that each node must see


def run_on_ray(link: RayLink, plan: Plan, reporter: Reporter, stop: threading.Event) -> None:
    """Have the plan's sources made by `options.workers` Ray actors.

    Every node must see data and store under the same paths, and have this package installed.

    Args:
        link: From `ray_link.connected`.
        plan: What is to be made.
        reporter: Is told of each counterpart when the store has acknowledged it.
        stop: When set, the actors finish the batches in progress and seal their parts.

    Raises:
        ValueError: Ray fails, an actor cannot work, or actors die and nothing is made.

    """
    pool = _ActorPool(link, plan, reporter, stop)
    pool.run()
    pool.fail_abandoned()


class _Actor(Worker):
    """A worker that is an actor of Ray."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.placed = False  # it answered
        self.sealed = True  # it was given nothing yet


class _ActorPool(Supervisor):
    """Starts actors, gives chunks to those that answered, and stops those that nothing is left for."""

    def __init__(self, link: RayLink, plan: Plan, reporter: Reporter, stop: threading.Event) -> None:
        super().__init__(plan, reporter, stop)
        self._link = link
        self._chunk = _chunk_size(plan)
        self._started = 0
        self._actors: dict[int, _Actor] = {}
        self._deadline: float | None = None
        self._placement = _Placement(reporter, self.count)
        link.send("job", _actor_job(plan), _gpus(plan.job))

    def run(self) -> None:
        while True:
            if self.stop.is_set():
                self._wind_up()
            else:
                self._hand_out()
            if not self._actors:
                return
            message = self._link.receive()
            if message is not None:
                self._take(*message)

    def _hand_out(self) -> None:
        for actor in self._actors.values():
            if actor.placed and actor.sealed:
                self._give(actor)
        self._placement.tell(sum(actor.placed for actor in self._actors.values()), last=not self.queue)
        if not self.queue:
            self._stop_idle()
            return
        while len(self._actors) < self.count:
            self._started += 1
            self._actors[self._started] = _Actor(self._started)
            self._link.send("start_actor", self._started)

    def _give(self, actor: _Actor) -> None:
        sources = self.queue.take(self._chunk, idle=True)
        if sources:
            actor.sealed = False
            actor.in_progress = {source.key: source for source in sources}
            self._link.send("make", actor.number, [source.absolute() for source in sources])

    def _stop_idle(self) -> None:
        """Leave the room of actors that have nothing to do, placed or not, to others."""
        for actor in [actor for actor in self._actors.values() if actor.sealed]:
            self._link.send("stop_actor", self._actors.pop(actor.number).number)

    def _wind_up(self) -> None:
        self._stop_idle()
        if self._deadline is None:
            self._deadline = time.monotonic() + _LAST_BATCH
            self._link.send("stop")
        elif time.monotonic() > self._deadline and self._actors:
            self.reporter.note(f"{len(self._actors)} actors did not finish their batches in {_LAST_BATCH:.0f} seconds")
            self._actors.clear()

    def _take(self, word: str, number: int, *rest: Any) -> None:
        actor = self._actors.get(number)
        if actor is None:
            return  # stopped meanwhile
        if word == "ready":
            if rest[0]:
                raise ValueError(rest[0])
            actor.placed = True
        elif word == "died":
            self._handle_exit(actor)
        else:
            for event in rest[0]:
                self.receive(actor, event)

    def _handle_exit(self, actor: _Actor) -> None:
        del self._actors[actor.number]
        if not self.stop.is_set():
            self.take_back(actor, "an actor died", "actor lost")


class _Placement:
    """Tells how many actors the cluster has room for: each number once, and not while it is still changing."""

    def __init__(self, reporter: Reporter, count: int) -> None:
        self._reporter = reporter
        self._count = count
        self._placed = 0
        self._told = count  # nothing to tell as long as all have room
        self._since = time.monotonic()
        self._ended = False

    def tell(self, placed: int, *, last: bool) -> None:
        """Take in how many are placed now; with `last` the others are not needed any more."""
        if placed != self._placed:
            self._placed, self._since = placed, time.monotonic()
        settled = last or placed == self._count or time.monotonic() - self._since > _SETTLED
        if settled and not self._ended and placed != self._told:
            self._told = placed
            self._reporter.note(f"{placed} of {self._count} actors placed")
        self._ended = last


def _actor_job(plan: Plan) -> ActorJob:
    options = plan.options
    samples = [source.absolute().path for source in spread(plan.sources, _SAMPLES)]
    # The lock of this run lies in the store: a node that sees it has the same storage.
    paths = [str(Path(options.data).absolute()), str(lock_file(options.store_path.absolute(), options.shard)), *samples]
    return ActorJob(
        options.to_json(),
        "" if "working_dir" in (options.runtime_env or {}) else str(Path.cwd()),
        facts_of(plan.job),
        [path for path in paths if Path(path).exists()],
    )


def _gpus(job: OpenJob) -> float | None:
    """Return how many GPUs an actor takes; None for one where the cluster has some."""
    if job.options.gpus_per_worker is not None:
        return job.options.gpus_per_worker
    return None if getattr(job.backend, "uses_gpu", False) else 0


def _chunk_size(plan: Plan) -> int:
    """Sources in a chunk: enough to fill batches, and few enough for each actor to get one, or several."""
    each = plan.pending_each
    fair = len(plan.sources) // (_ROUNDS * plan.options.workers)
    least = -(-4 * plan.job.batch_size // each)
    most = -(-len(plan.sources) // plan.options.workers)
    return max(1, min(max(fair, least), most, _MOST_IN_CHUNK // each))
