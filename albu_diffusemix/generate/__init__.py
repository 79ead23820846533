"""The generation job: counterparts for a whole data set, made once, into a store.

`make_plan` finds the sources and compares them with the store, `run` makes what is missing, `estimate_cost` says
beforehand what that will cost. A run can be killed at any moment and started again: done means present in the store.
The same options give the same counterparts whatever the engine, the number of workers, the order or the interruptions.
"""

import contextlib
import threading
from datetime import datetime, timezone
from importlib import metadata

from albu_diffusemix.datasets.read_ahead import Readers
from albu_diffusemix.generate.encoding import ENCODINGS
from albu_diffusemix.generate.estimate import Estimate, estimate_cost
from albu_diffusemix.generate.local import run_workers
from albu_diffusemix.generate.options import DRAWS, GenerateOptions, ResolvedOptions
from albu_diffusemix.generate.pipeline import refusal_of
from albu_diffusemix.generate.plan import Plan, alone, existing_store, make_plan, recover, resolve
from albu_diffusemix.generate.prepare import UNREADABLE
from albu_diffusemix.generate.ray_engine import run_on_ray
from albu_diffusemix.generate.ray_link import RayLink, connected
from albu_diffusemix.generate.reports import Outcome, Reporter, Summary, Tally, describe_size
from albu_diffusemix.generate.shard import make_shard
from albu_diffusemix.generate.sheet import contact_sheet
from albu_diffusemix.generate.signals import stop_on_signals
from albu_diffusemix.generate.variants import variants_of
from albu_diffusemix.store import Store

__all__ = [
    "DRAWS",
    "ENCODINGS",
    "Estimate",
    "GenerateOptions",
    "Outcome",
    "Plan",
    "Reporter",
    "ResolvedOptions",
    "Summary",
    "describe_size",
    "estimate_cost",
    "make_plan",
    "recover",
    "resolve",
    "run",
    "stop_on_signals",
]

_SHEET_SECONDS = 20.0


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
    options = plan.options
    tally = Tally(reporter)
    missing = 0
    with contextlib.ExitStack() as held:
        doing = "wait for it, or share the work out with --shard i/n in each process"
        held.enter_context(alone(options.store, options.shard, doing))
        link = held.enter_context(connected(options, stop)) if options.engine == "ray" else None
        recover(options)
        if not stop.is_set():
            _make(plan, tally, stop, link)
        _refuse_useless_backend(options, tally, stop)
        if not stop.is_set():
            missing = _complete(plan, reporter)
    return tally.summary(interrupted=stop.is_set(), missing=missing)


def _make(plan: Plan, tally: Tally, stop: threading.Event, link: RayLink | None) -> None:
    options = plan.options
    if link is not None:
        run_on_ray(link, plan, tally, stop)
    elif options.workers > 1:
        run_workers(plan, tally, stop)
    else:
        make_shard(options, plan.prompts, plan.sources, tally, stop)


def _refuse_useless_backend(options: ResolvedOptions, tally: Tally, stop: threading.Event) -> None:
    """Raise ValueError where all failed and no store came of it."""
    found = tally.summary(interrupted=stop.is_set())
    if found.interrupted or not found.failed or existing_store(options) is not None:
        return
    reasons = [failure.reason for failure in found.failures]
    told = [reason for reason in reasons if not reason.startswith(UNREADABLE)]
    raise refusal_of(options.backend, found.failed, (told or reasons)[0])


def _complete(plan: Plan, reporter: Reporter) -> int:
    """Salvage what a dead worker left, merge the indexes, write the README; return how much the store lacks."""
    store = recover(plan.options)
    if store is None:  # a shard without sources
        return 0
    store.merge()
    store = Store.open(plan.options.store)
    try:
        _write_readme(store, plan)
    except Exception as error:  # noqa: BLE001  all was made, and a page about it can be done without
        reporter.note(f"the store's README and its picture cannot be written: {' '.join(str(error).split())}")
    return _count_missing(store, plan, reporter) if plan.sources else 0


def _write_readme(store: Store, plan: Plan) -> None:
    status = store.status()
    failures = f" {status.failures:,} could not be made." if status.failures else ""
    text = (
        f"{status.images:,} counterparts of {status.sources:,} sources, {describe_size(status.size)}.{failures} "
        f"Written by albu-diffusemix {metadata.version('albu-diffusemix')} on {datetime.now(timezone.utc):%Y-%m-%d}."
    )
    with Readers(1) as readers:  # the sources may lie on a disk that does not answer
        sheet = readers.submit(contact_sheet, store, plan.shown)
        if not sheet.wait(_SHEET_SECONDS):
            raise ValueError(f"the sources could not be read within {_SHEET_SECONDS:.0f} seconds")
        store.write_readme(text, sheet.result())


def _count_missing(store: Store, plan: Plan, reporter: Reporter) -> int:
    """Count what the store neither has nor knows to have failed, and name the first."""
    absent = (
        f"{key} {variant.name}"
        for key in plan.keys
        for variant in variants_of(key, plan.prompts, plan.options)
        if store.find(key, variant.name) is None
    )
    first = next(absent, "")
    if not first:
        return 0
    count = 1 + sum(1 for _ in absent)
    reporter.note(f"{count:,} counterparts are not in {store.path} at the end, such as {first}: run the same again")
    return count
