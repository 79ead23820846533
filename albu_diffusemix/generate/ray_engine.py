"""The Ray engine: actors on a cluster, or on this machine, write parts to shared storage and return small rows."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

from albu_diffusemix.generate.handout import Handout
from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.generate.pipeline import batch_size_of
from albu_diffusemix.generate.plan import Plan, open_backend, recover
from albu_diffusemix.generate.reports import Outcome, Reporter
from albu_diffusemix.generate.scan import SourceFile
from albu_diffusemix.generate.shard import fail_sources, make_shard

__all__ = ["import_ray", "run_on_ray"]

_LOOK = 0.2  # seconds between looks at the stop signal
_PATIENCE = 5  # seconds for a cluster to answer
_ROUNDS = 4  # chunks that each actor gets, so that fast ones can take more
_MOST_IN_CHUNK = 2000  # counterparts; each chunk ends in a sealed part

Row = list[Any]


def import_ray() -> Any:
    """Import Ray, with its usage reporting off.

    Raises:
        ValueError: It is not installed.

    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray  # noqa: PLC0415  an extra
    except ImportError as error:
        raise ValueError("the ray engine needs Ray: pip install 'albu-diffusemix[ray]'") from error
    return ray


def run_on_ray(plan: Plan, reporter: Reporter, stop: threading.Event) -> None:
    """Have the plan's sources made by `options.workers` Ray actors.

    Each takes a GPU where the cluster has some. Every node must see data and store under the same paths, and have this
    package installed.

    Args:
        plan: What is to be made.
        reporter: Hears of each counterpart when the store has acknowledged it.
        stop: When set, the actors finish the batches they have in hand and seal their parts.

    Raises:
        ValueError: Ray is not installed or cannot be reached, an actor cannot work, or actors die and nothing is made.

    """
    ray = import_ray()
    with _callers_sigterm():
        started = _connect(ray, plan.options)
    driver = _Driver(ray, plan, reporter, stop)
    try:
        driver.run()
    finally:
        driver.dismiss()
        if started:
            ray.shutdown()
    fail_sources(plan.options, plan.prompts, driver.handout.given_up, reporter)


class Maker:
    """What runs on the cluster: an actor that makes chunks of sources, one after the other.

    Args:
        fields: The options as plain values.
        prompts: The effects to choose from.

    """

    def __init__(self, fields: dict[str, Any], prompts: tuple[str, ...]) -> None:
        self._options = ResolvedOptions.from_json(fields)
        self._prompts = prompts
        self._stop = threading.Event()

    def make(self, sources: list[SourceFile]) -> Iterator[list[Row]]:
        """Make what the store lacks of the sources, and yield rows as they come: ["outcome", ...] or ["done", key]."""
        teller = _Teller()
        thread = threading.Thread(target=self._work, args=(sources, teller), daemon=True)
        thread.start()
        open_ = True
        while open_:
            rows = teller.some()
            open_ = None not in rows
            yield [row for row in rows if row is not None]
        thread.join()

    def stop(self) -> None:
        """Finish the batch in hand and seal the part."""
        self._stop.set()

    def _work(self, sources: list[SourceFile], teller: "_Teller") -> None:
        try:
            make_shard(self._options, self._prompts, map(SourceFile._make, sources), teller, self._stop)
        except Exception as error:  # noqa: BLE001  the driver shows it, in one line
            known = isinstance(error, (OSError, ValueError))
            teller.rows.put(["error", str(error) if known else f"{type(error).__name__}: {error}"])
        teller.rows.put(None)


class _Teller:
    def __init__(self) -> None:
        self.rows: SimpleQueue[Row | None] = SimpleQueue()

    def outcome(self, outcome: Outcome) -> None:
        self.rows.put(["outcome", *outcome])

    def done(self, key: str) -> None:
        self.rows.put(["done", key])

    def note(self, text: str) -> None:
        self.rows.put(["note", text])

    def some(self) -> list[Row | None]:
        """Wait for a row, and take those that are there with it."""
        rows = [self.rows.get()]
        try:
            while rows[-1] is not None:
                rows.append(self.rows.get_nowait())
        except Empty:
            pass
        return rows


class _Hand:
    """An actor, and the chunk it works on."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.rows: Any = None  # the stream of its rows, while it works
        self.in_hand: dict[str, SourceFile] = {}

    def give(self, sources: list[SourceFile]) -> None:
        self.in_hand = {source.key: source for source in sources}
        self.rows = self.actor.make.options(num_returns="streaming").remote(sources)


class _Driver:
    def __init__(self, ray: Any, plan: Plan, reporter: Reporter, stop: threading.Event) -> None:
        self.handout = Handout(plan.sources)
        self._ray = ray
        self._plan = plan
        self._reporter = reporter
        self._stop = stop
        self._chunk = _chunk_size(plan)
        self._hands: list[_Hand] = []

    def run(self) -> None:
        count = min(self._plan.options.workers, len(self._plan.sources))
        self._hands += [_Hand(self._hire()) for _ in range(count)]
        stopping = False
        while self._hand_out():
            if self._stop.is_set() and not stopping:
                stopping = True
                for hand in self._hands:
                    hand.actor.stop.remote()
            busy = {hand.rows: hand for hand in self._hands if hand.rows is not None}
            for stream in self._ray.wait(list(busy), timeout=_LOOK)[0]:
                self._listen(busy[stream])

    def dismiss(self) -> None:
        """Give the actors' places back; what they acknowledged stays."""
        for hand in self._hands:
            self._ray.kill(hand.actor)

    def _hire(self) -> Any:
        gpus = 1 if self._ray.cluster_resources().get("GPU") else 0
        remote = self._ray.remote(max_concurrency=2, num_cpus=1, num_gpus=gpus)(Maker)  # two: stop comes beside make
        return remote.remote(self._plan.options.to_json(), self._plan.prompts)

    def _hand_out(self) -> bool:
        """Give idle actors a chunk; tell whether any works."""
        for hand in self._hands:
            if hand.rows is None and not self._stop.is_set():
                sources = self.handout.take(self._chunk, idle=True)
                if sources:
                    hand.give(sources)
        return any(hand.rows is not None for hand in self._hands)

    def _listen(self, hand: _Hand) -> None:
        try:
            rows = self._ray.get(next(hand.rows))
        except StopIteration:
            self._end_chunk(hand)
        except self._ray.exceptions.RayActorError:
            self._replace(hand)
        else:
            for row in rows:
                self._hear(hand, row)

    def _hear(self, hand: _Hand, row: Row) -> None:
        word, *rest = row
        if word == "outcome":
            outcome = Outcome(*rest)
            if not outcome.reason:
                self.handout.made()
            self._reporter.outcome(outcome)
        elif word == "done":
            hand.in_hand.pop(rest[0], None)
            self._reporter.done(rest[0])
        elif word == "note":
            self._reporter.note(rest[0])
        elif word == "error":
            raise ValueError(rest[0])

    def _end_chunk(self, hand: _Hand) -> None:
        hand.rows = None
        hand.in_hand = {}

    def _replace(self, hand: _Hand) -> None:
        hand.rows = None
        if self._stop.is_set():
            return
        self._reporter.note("an actor died; another takes its place")
        recover(self._plan.options)
        self.handout.died(list(hand.in_hand.values()), "actor lost")
        hand.in_hand = {}
        hand.actor = self._hire()


def _connect(ray: Any, options: ResolvedOptions) -> bool:
    """Connect to the cluster, or start one; False where the caller was connected already."""
    if ray.is_initialized():
        return False
    where = f"at {options.ray_address!r}" if options.ray_address else "on this machine"
    try:
        _knock(options.ray_address or "")
        ray.init(
            address=options.ray_address or "local",
            num_cpus=None if options.ray_address else options.workers,
            include_dashboard=False if not options.ray_address else None,
            log_to_driver=False,
            logging_level="error",
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"no Ray cluster {where}: {' '.join(str(error).split())}") from error
    return True


@contextmanager
def _callers_sigterm() -> Iterator[None]:
    """Leave SIGTERM to whom it belonged: Ray would have it end the process, and a caller may finish what is in hand."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _knock(address: str) -> None:
    """See whether anybody listens at `host:port`: Ray itself would try for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), _PATIENCE).close()


def _chunk_size(plan: Plan) -> int:
    """Sources in a chunk: enough to fill batches, and few enough for each actor to get several."""
    each = max(1, plan.pending // max(1, len(plan.sources)))
    fair = len(plan.sources) // (_ROUNDS * plan.options.workers)
    least = -(-4 * batch_size_of(open_backend(plan.options)) // each)
    return max(1, min(max(fair, least), _MOST_IN_CHUNK // each))
