"""The generation job: counterparts for a whole data set, made once, into a store.

`make_plan` opens the job, finds the sources and compares them with the store, `run` makes what is missing,
`estimate_cost` says beforehand what that will cost. A run can be killed at any moment and started again: done means
present in the store.
The same options give the same counterparts whatever the engine, the number of workers, the order or the interruptions.
"""

import contextlib
import threading
from datetime import datetime, timezone
from importlib import metadata

from albu_diffusemix.datasets import Selection, find_sources
from albu_diffusemix.generate.encoding import ENCODINGS, describe_encoding
from albu_diffusemix.generate.estimate import Estimate, estimate_cost, memory_size
from albu_diffusemix.generate.exclusive_runs import exclusive_run
from albu_diffusemix.generate.job import OpenJob, open_job
from albu_diffusemix.generate.local_engine import run_workers
from albu_diffusemix.generate.moved_rows import refuse_moved_rows
from albu_diffusemix.generate.options import DRAWS, GenerateOptions, ResolvedOptions
from albu_diffusemix.generate.pipeline import useless_backend_error
from albu_diffusemix.generate.plan import ClassCounts, Plan, compare
from albu_diffusemix.generate.prepare import UNREADABLE
from albu_diffusemix.generate.ray_engine import run_on_ray
from albu_diffusemix.generate.ray_link import RayLink, connected
from albu_diffusemix.generate.read_ahead import Readers
from albu_diffusemix.generate.reports import Outcome, Reporter, Summary, Tally, describe_size
from albu_diffusemix.generate.shard import make_shard
from albu_diffusemix.generate.sheet import contact_sheet
from albu_diffusemix.generate.signals import stop_on_signals
from albu_diffusemix.image_decoding import reading
from albu_diffusemix.store import Store
from albu_diffusemix.text import in_one_line

__all__ = [
    "DRAWS",
    "ENCODINGS",
    "ClassCounts",
    "Estimate",
    "GenerateOptions",
    "Outcome",
    "Plan",
    "Reporter",
    "ResolvedOptions",
    "Summary",
    "describe_encoding",
    "describe_size",
    "estimate_cost",
    "make_plan",
    "memory_size",
    "run",
    "stop_on_signals",
]

_SHEET_SECONDS = 20.0


def make_plan(options: GenerateOptions, *, recover: bool = False) -> Plan:
    """Open the job, find the sources and compare them with the store. Nothing is written but with `recover`.

    Args:
        options: The job.
        recover: First seal what a killed run left in the store, so that it counts as present.

    Raises:
        OSError: The data cannot be read.
        ValueError: Data, options or store are wrong, among others because the store was made with other parameters.

    """
    job = open_job(options, recover=recover)
    selection = Selection(job.options.exclude)
    sources = find_sources(job.options.data, job.options.store_path, job.options.columns, selection)
    job.look_at_sources(sources)
    if job.store is not None and not job.options.changed:
        with reading(job.options.background):
            refuse_moved_rows(job.store, sources)
    return compare(job, sources, selection)


def run(plan: Plan, reporter: Reporter, stop: threading.Event | None = None) -> Summary:
    """Make what the plan says, then write the store's merged index and README.

    Args:
        plan: From `make_plan`.
        reporter: Is told of each counterpart when the store has acknowledged it.
        stop: When set, the batches in progress are finished and sealed, and that is all. Default: never.

    Raises:
        ValueError: The backend does not work, another process is writing to the store without `shard` on both sides,
            Ray is missing, or the store cannot be written. What was acknowledged stays.

    """
    stop = stop or threading.Event()
    job, options = plan.job, plan.options
    tally = Tally(reporter)
    missing = 0
    with contextlib.ExitStack() as held:
        advice = "wait for it, or share the work out with --shard i/n in each process"
        held.enter_context(exclusive_run(options.store_path, options.shard, advice))
        link = held.enter_context(connected(options, stop)) if options.engine == "ray" else None
        job.recover()  # since the plan was made another run may have written, and may have been killed
        if not stop.is_set():
            _make(plan, tally, stop, link)
        _refuse_useless_backend(job, tally, stop)
        if not stop.is_set():
            missing = _complete(plan, reporter)
    return tally.summary(interrupted=stop.is_set(), missing=missing)


def _make(plan: Plan, tally: Tally, stop: threading.Event, link: RayLink | None) -> None:
    if link is not None:
        run_on_ray(link, plan, tally, stop)
    elif plan.options.workers > 1:
        run_workers(plan, tally, stop)
    else:
        make_shard(plan.job, plan.sources, tally, stop)


def _refuse_useless_backend(job: OpenJob, tally: Tally, stop: threading.Event) -> None:
    """Raise ValueError where all failed and no store came of it."""
    found = tally.summary(interrupted=stop.is_set())
    if found.interrupted or not found.failed or job.store_exists():
        return
    reasons = [failure.reason for failure in found.failures]
    of_backend = [reason for reason in reasons if not reason.startswith(UNREADABLE)]
    raise useless_backend_error(job.options.backend, found.failed, (of_backend or reasons)[0])


def _complete(plan: Plan, reporter: Reporter) -> int:
    """Seal what a dead worker left, merge the indexes, write the README; return how much the store lacks."""
    plan.job.recover()  # what was made is in parts that were sealed since the store was opened
    store = plan.job.store
    if store is None:  # a shard without sources
        return 0
    store.merge()
    try:
        _write_readme(store, plan)
    except Exception as error:  # noqa: BLE001  all was made, and a page about it can be done without
        reporter.note(f"the store's README and its picture cannot be written: {in_one_line(error)}")
    return _count_missing(store, plan, reporter) if plan.sources else 0


def _write_readme(store: Store, plan: Plan) -> None:
    status = store.status()
    failures = f" {status.failures:,} could not be made." if status.failures else ""
    failures += f" {status.rejected:,} are rejected." if status.rejected else ""
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
        f"{source.key} {variant.name}"
        for source in plan.expected
        for variant in plan.job.variants_of(source)
        if store.find(source.key, variant.name) is None
    )
    first = next(absent, "")
    if not first:
        return 0
    count = 1 + sum(1 for _ in absent)
    reporter.note(f"{count:,} counterparts are not in {store.path} at the end, such as {first}: run the same again")
    return count
