"""How long a run will take and how large its store will be, measured on a few of its images."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from albu_diffusemix.datasets import SourceFile, spread
from albu_diffusemix.generate.pipeline import GIVE_UP_AFTER, Pipeline, useless_backend_error
from albu_diffusemix.generate.plan import Plan
from albu_diffusemix.generate.prepare import prepare_ahead
from albu_diffusemix.generate.ray_link import require_ray
from albu_diffusemix.generate.read_ahead import Readers
from albu_diffusemix.generate.reports import Outcome

__all__ = ["Estimate", "estimate_cost", "memory_size"]

_BATCHES = 4
_SECONDS = 10.0  # after so long no more sources are begun
_OVERHEAD = 1400  # bytes of headers, record, padding and index that an image has beside it
_THREADS = 2


class Estimate(NamedTuple):
    """What a run will cost.

    Attributes:
        measured: Counterparts that were made to find out.
        failed: Those of them of which nothing came.
        seconds: Time for all that is pending, in one worker.
        size: Bytes of all that is pending.

    """

    measured: int
    failed: int
    seconds: float
    size: float


def estimate_cost(plan: Plan) -> Estimate:
    """Make some of the pending counterparts, from sources spread over the data set, and throw them away.

    The first batch is made twice and timed the second time, since backends load what they need on their first use.

    Raises:
        ValueError: The backend does not work: it failed on all of these, and would end the run. Or Ray is missing.

    """
    job = plan.job
    if job.options.engine == "ray":
        require_ray()
    batch, each = job.batch_size, plan.pending_each
    trial = _Trial(spread(plan.sources, -(-_BATCHES * batch // each)), -(-batch // each))
    stop = threading.Event()
    with ThreadPoolExecutor(_THREADS) as pool, Readers(_THREADS) as readers:
        pipeline = Pipeline(job, pool, trial, trial, stop)
        pipeline.run(
            prepare_ahead(readers, trial.sources(), lambda source, _: job.variants_of(source), job.options, batch, stop)
        )
    seconds = time.perf_counter() - trial.started
    if not pipeline.worked and pipeline.faults and (plan.pending >= GIVE_UP_AFTER or job.store is None):
        raise useless_backend_error(job.options.backend, min(plan.pending, GIVE_UP_AFTER), pipeline.faults[0])
    measured = len(trial.sizes) + trial.failures
    mean_size = sum(trial.sizes) / max(1, len(trial.sizes)) + _OVERHEAD
    scale = plan.pending / max(1, measured)
    return Estimate(measured, trial.failures, seconds * scale, mean_size * len(trial.sizes) * scale)


def memory_size() -> int:
    """Return the bytes of memory that this machine has, 0 where that is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0


class _Trial:
    """Feeds a pipeline, takes what comes of it, and throws it away."""

    def __init__(self, files: list[SourceFile], warm_up: int) -> None:
        self.started = 0.0
        self.sizes: list[int] = []
        self.failures = 0
        self._files = files
        self._warm_up = warm_up

    def sources(self) -> Iterator[SourceFile | None]:
        yield from self._files[: self._warm_up]
        yield None
        self.sizes.clear()
        self.failures = 0
        self.started = time.perf_counter()
        for file in self._files:
            if time.perf_counter() - self.started > _SECONDS:
                return
            yield file

    def put(self, key: str, variant: str, data: bytes, **_: object) -> None:  # noqa: ARG002  a sink's
        self.sizes.append(len(data))

    def fail(self, *_: object, **__: object) -> None:
        self.failures += 1

    def is_begun(self) -> bool:
        """Nothing is kept, so that it does not matter."""
        return True

    def outcome(self, outcome: Outcome) -> None:
        """Nothing to tell anybody."""

    def done(self, key: str) -> None:
        """Nothing to tell anybody."""

    def note(self, text: str) -> None:
        """Nothing to tell anybody."""
