"""The generation job: counterparts for a whole data set, made once, into a store.

`make_plan` finds the sources and compares them with the store, `run` makes what is missing, `estimate` says beforehand
what that will cost. A run can be killed at any moment and started again: done means present in the store. The same
options give the same counterparts whatever the engine, the number of workers, the order or the interruptions.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

from albu_diffusemix.generate.costs import Estimate, estimate
from albu_diffusemix.generate.encoding import ENCODINGS
from albu_diffusemix.generate.local import run_workers
from albu_diffusemix.generate.options import GenerateOptions
from albu_diffusemix.generate.plan import Plan, make_plan, open_backend, open_store, recover, refuse_other_writers
from albu_diffusemix.generate.ray_engine import run_on_ray
from albu_diffusemix.generate.ray_link import RayLink, connected
from albu_diffusemix.generate.reports import Outcome, Reporter, Summary, Tally, describe_size
from albu_diffusemix.generate.shard import make_shard
from albu_diffusemix.generate.sheet import contact_sheet
from albu_diffusemix.store import Store

__all__ = [
    "ENCODINGS",
    "Estimate",
    "GenerateOptions",
    "Outcome",
    "Plan",
    "Reporter",
    "Summary",
    "describe_size",
    "estimate",
    "make_plan",
    "recover",
    "run",
    "stop_on_signals",
]


def run(plan: Plan, reporter: Reporter, stop: threading.Event | None = None) -> Summary:
    """Make what the plan says, then write the store's merged index and README.

    Args:
        plan: From `make_plan`.
        reporter: Hears of each counterpart when the store has acknowledged it.
        stop: When set, the batches in hand are finished and sealed, and that is all. Default: never.

    Raises:
        ValueError: The backend does not work, another process is writing to the store without `shard` on both sides,
            Ray is missing, or the store cannot be written. What was acknowledged stays.

    """
    stop = stop or threading.Event()
    if plan.options.engine != "ray":
        return _run(plan, reporter, stop, None)
    with connected(plan.options, stop) as link:
        return _run(plan, reporter, stop, link)


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event, announce: Callable[[], object]) -> Iterator[None]:
    """Set `stop` at the first Ctrl-C or SIGTERM (Slurm's, too) within the block; a second one raises KeyboardInterrupt.

    Args:
        stop: What to set.
        announce: Called at the first one, inside of a signal handler.

    """

    def handle(_number: int, _frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        announce()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(plan: Plan, reporter: Reporter, stop: threading.Event, link: RayLink | None) -> Summary:
    options = plan.options
    tally = Tally(reporter)
    if stop.is_set():
        return tally.summary(interrupted=True)
    store = open_store(options, open_backend(options), plan.prompts)
    if options.shard[1] == 1:
        refuse_other_writers(store, "wait for it, or share the work out with --shard i/n in each process")
    if link is not None:
        run_on_ray(link, plan, tally, stop)
    elif options.workers > 1:
        run_workers(plan, tally, stop)
    else:
        make_shard(options, plan.prompts, plan.sources, tally, stop)
    if not stop.is_set():
        _complete(plan)
    return tally.summary(interrupted=stop.is_set())


def _complete(plan: Plan) -> None:
    """Salvage what a dead worker left, merge the indexes, and write the README."""
    open_store(plan.options, open_backend(plan.options), plan.prompts).merge()
    store = Store.open(plan.options.store)
    status = store.status()
    failures = f" {status.failures:,} could not be made." if status.failures else ""
    text = (
        f"{status.images:,} counterparts of {status.sources:,} sources, {describe_size(status.size)}.{failures} "
        f"Written by albu-diffusemix {metadata.version('albu-diffusemix')} on {datetime.now(timezone.utc):%Y-%m-%d}."
    )
    store.write_readme(text, contact_sheet(store, plan.shown))
