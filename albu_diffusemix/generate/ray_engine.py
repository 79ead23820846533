"""The Ray engine: actors on a cluster, or on this machine, write parts to shared storage and return small rows.

Here is decided which actors there are and what each of them makes; `ray_driver`, in another process, talks to Ray.
"""

import threading
import time
from pathlib import Path
from typing import Any

from albu_diffusemix.datasets import SourceFile, spread
from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.generate.pipeline import batch_size_of
from albu_diffusemix.generate.plan import Plan, open_backend, recover
from albu_diffusemix.generate.ray_link import RayLink
from albu_diffusemix.generate.ray_worker import ActorJob, facts_of
from albu_diffusemix.generate.reports import Outcome, Reporter
from albu_diffusemix.generate.shard import fail_sources
from albu_diffusemix.generate.work_queue import WorkQueue
from albu_diffusemix.store.run_lock import lock_file

__all__ = ["run_on_ray"]

_ROUNDS = 4  # chunks that each actor gets, so that fast ones can take more
_MOST_IN_CHUNK = 2000  # counterparts; each chunk ends in a sealed part
_LAST_BATCH = 20.0  # seconds for what is in hand, once told to stop
_SETTLED = 10.0  # seconds that a number of placed actors stands before it is told
_SAMPLES = 3  # sources that each node must see


def run_on_ray(link: RayLink, plan: Plan, reporter: Reporter, stop: threading.Event) -> None:
    """Have the plan's sources made by `options.workers` Ray actors.

    Every node must see data and store under the same paths, and have this package installed.

    Args:
        link: From `ray_link.connected`.
        plan: What is to be made.
        reporter: Hears of each counterpart when the store has acknowledged it.
        stop: When set, the actors finish the batches they have in hand and seal their parts.

    Raises:
        ValueError: Ray fails, an actor cannot work, or actors die and nothing is made.

    """
    crew = _ActorPool(link, plan, reporter, stop)
    crew.run()
    fail_sources(plan.options, plan.prompts, crew.queue.given_up, reporter)


class _Actor:
    """An actor, and the chunk it works on."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.placed = False  # it answered
        self.busy = False
        self.in_hand: dict[str, SourceFile] = {}


class _ActorPool:
    """Hires actors, gives chunks to those that answered, and lets go of those that nothing is left for."""

    def __init__(self, link: RayLink, plan: Plan, reporter: Reporter, stop: threading.Event) -> None:
        self.queue = WorkQueue(plan.sources)
        self._link = link
        self._plan = plan
        self._reporter = reporter
        self._stop = stop
        self._chunk = _chunk_size(plan)
        self._count = min(plan.options.workers, len(plan.sources))
        self._hired = 0
        self._hands: dict[int, _Actor] = {}
        self._deadline: float | None = None
        self._placement = _Placement(reporter, self._count)
        link.say("job", _actor_job(plan), _gpus(plan.options))

    def run(self) -> None:
        while True:
            if self._stop.is_set():
                self._wind_up()
            else:
                self._staff()
            if not self._hands:
                return
            message = self._link.hear()
            if message is not None:
                self._hear(*message)

    def _staff(self) -> None:
        for hand in list(self._hands.values()):
            if hand.placed and not hand.busy:
                self._give(hand)
        self._placement.tell(sum(hand.placed for hand in self._hands.values()), last=not self.queue)
        if not self.queue:
            self._dismiss_idle()
            return
        while len(self._hands) < self._count:
            self._hired += 1
            self._hands[self._hired] = _Actor(self._hired)
            self._link.say("hire", self._hired)

    def _give(self, hand: _Actor) -> None:
        sources = self.queue.take(self._chunk, idle=True)
        if sources:
            hand.busy = True
            hand.in_hand = {source.key: source for source in sources}
            self._link.say("make", hand.number, [_absolute(source) for source in sources])

    def _dismiss_idle(self) -> None:
        """Leave the room of actors that have nothing to do, placed or not, to others."""
        for hand in list(self._hands.values()):
            if not hand.busy:
                self._link.say("dismiss", self._hands.pop(hand.number).number)

    def _wind_up(self) -> None:
        self._dismiss_idle()
        if self._deadline is None:
            self._deadline = time.monotonic() + _LAST_BATCH
            self._link.say("stop")
        elif time.monotonic() > self._deadline and self._hands:
            self._reporter.note(f"{len(self._hands)} actors did not finish their batches in {_LAST_BATCH:.0f} seconds")
            self._hands.clear()

    def _hear(self, word: str, number: int, *rest: Any) -> None:
        hand = self._hands.get(number)
        if hand is None:
            return  # dismissed meanwhile
        if word == "ready":
            self._place(hand, *rest)
        elif word == "died":
            self._replace(hand)
        else:
            for row in rest[0]:
                self._hear_row(hand, *row)

    def _place(self, hand: _Actor, problem: str) -> None:
        if problem:
            raise ValueError(problem)
        hand.placed = True

    def _hear_row(self, hand: _Actor, word: str, *rest: Any) -> None:
        if word == "outcome":
            outcome = Outcome(*rest)
            if not outcome.reason:
                self.queue.made()
            self._reporter.outcome(outcome)
        elif word == "done":
            hand.in_hand.pop(rest[0], None)
            self._reporter.done(rest[0])
        elif word == "note":
            self._reporter.note(rest[0])
        elif word == "error":
            raise ValueError(rest[0])
        else:
            hand.busy = False
            hand.in_hand = {}

    def _replace(self, hand: _Actor) -> None:
        del self._hands[hand.number]
        if self._stop.is_set():
            return
        self._reporter.note("an actor died; another takes its place")
        recover(self._plan.options)
        self.queue.died(list(hand.in_hand.values()), "actor lost")


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
        """Hear how many are placed now; with `last` the others are not needed any more."""
        if placed != self._placed:
            self._placed, self._since = placed, time.monotonic()
        settled = last or placed == self._count or time.monotonic() - self._since > _SETTLED
        if settled and not self._ended and placed != self._told:
            self._told = placed
            self._reporter.note(f"{placed} of {self._count} actors placed")
        self._ended = last


def _actor_job(plan: Plan) -> ActorJob:
    options = plan.options
    samples = [_absolute(source).path for source in spread(plan.sources, _SAMPLES)]
    # The lock of this run lies in the store: a node that sees it has the same storage.
    paths = [str(options.data.absolute()), str(lock_file(options.store.absolute(), options.shard)), *samples]
    return ActorJob(
        options.to_json(),
        list(plan.prompts),
        "" if "working_dir" in (options.runtime_env or {}) else str(Path.cwd()),
        facts_of(options),
        [path for path in paths if Path(path).exists()],
    )


def _absolute(source: SourceFile) -> SourceFile:
    """Nodes have working directories of their own."""
    return source._replace(path=str(Path(source.path).absolute()))


def _gpus(options: ResolvedOptions) -> float | None:
    """Say how many GPUs an actor takes; None for one where the cluster has some."""
    if options.gpus_per_worker is not None:
        return options.gpus_per_worker
    return None if getattr(open_backend(options), "uses_gpu", False) else 0


def _chunk_size(plan: Plan) -> int:
    """Sources in a chunk: enough to fill batches, and few enough for each actor to get one, or several."""
    each = max(1, plan.pending // max(1, len(plan.sources)))
    fair = len(plan.sources) // (_ROUNDS * plan.options.workers)
    least = -(-4 * batch_size_of(open_backend(plan.options)) // each)
    most = -(-len(plan.sources) // plan.options.workers)
    return max(1, min(max(fair, least), most, _MOST_IN_CHUNK // each))
