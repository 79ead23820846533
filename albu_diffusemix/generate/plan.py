"""What a run is going to do: its sources, compared with what the store has."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from albu_diffusemix.datasets import Selection, SourceFile, spread
from albu_diffusemix.generate.changed import Changed, find_changed
from albu_diffusemix.generate.job import OpenJob
from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.generate.shapes import sort_by_shape
from albu_diffusemix.generate.sheet import SHOWN
from albu_diffusemix.generate.variants import Missing
from albu_diffusemix.keys import hash_key

__all__ = ["ClassCounts", "Plan", "belongs", "compare"]


@dataclass
class ClassCounts:
    """What there is of a class, and what is to be.

    Attributes:
        sources: Its sources.
        wanted: Counterparts that these are to have.
        present: Those of them that the store has.
        failed: Those that failed before and are left alone.
        rejected: Those of the present ones that are rejected, and stay so.

    """

    sources: int = 0
    wanted: int = 0
    present: int = 0
    failed: int = 0
    rejected: int = 0

    def add(self, source: Missing) -> None:
        """Count a source."""
        self.sources += 1
        self.wanted += source.total
        self.present += source.present
        self.failed += source.failed
        self.rejected += source.rejected

    @property
    def together(self) -> int:
        """Images and counterparts, once all are made that can be."""
        return self.sources + self.wanted - self.failed


class Plan(NamedTuple):
    """What a run is going to do.

    Attributes:
        job: What is to be made, into which store, by which backend.
        sources: The sources for which something is to be made.
        found: Sources in the data set.
        in_shard: Those of this shard.
        wanted: Counterparts that these are to have.
        present: Those of them that the store has.
        failed: Those that failed before and are left alone.
        pending: Those that are to be made.
        shown: Some sources of the shard, spread over it, for the README.
        expected: The sources whose counterparts the store is to have when the run has ended, made or failed.
        classes: Counts of each class of the shard, by label; None is the label of sources without.
        labels: Those of all sources in the data set.
        selection: What was passed over when the sources were looked for.
        changed: Which sources have other pixels than the store's counterparts were made from, among those looked at.

    """

    job: OpenJob
    sources: list[SourceFile]
    found: int
    in_shard: int
    wanted: int
    present: int
    failed: int
    pending: int
    shown: list[SourceFile]
    expected: list[SourceFile]
    classes: dict[str | None, ClassCounts]
    labels: frozenset[str]
    selection: Selection
    changed: Changed

    @property
    def options(self) -> ResolvedOptions:
        """All options of the job."""
        return self.job.options

    @property
    def rejected(self) -> int:
        """Counterparts that are present and rejected."""
        return sum(counts.rejected for counts in self.classes.values())

    @property
    def pending_each(self) -> int:
        """Counterparts to be made of a source, on average, and at least one."""
        return max(1, self.pending // max(1, len(self.sources)))


def compare(job: OpenJob, everything: Sequence[SourceFile], selection: Selection) -> Plan:
    """Compare the sources of a data set with the job's store.

    Raises:
        ValueError: A source has other prompts of its own now than those that its counterparts were made from.

    """
    in_shard = [source for source in everything if belongs(source.key, job.options.shard)]
    changed = find_changed(job, in_shard)
    left: list[SourceFile] = []
    expected: list[SourceFile] = []
    classes: defaultdict[str | None, ClassCounts] = defaultdict(ClassCounts)
    pending = 0
    for source in in_shard:
        _refuse_other_prompts(job, source)
        missing = job.find_missing(source, changed.images.get(source.key))
        classes[source.label].add(missing)
        if missing.variants and len(left) >= (job.options.limit or sys.maxsize):
            continue
        expected.append(source)
        if missing.variants:
            left.append(source)
            pending += len(missing.variants)
    labels = frozenset(source.label for source in everything if source.label is not None)
    shown = spread(in_shard, SHOWN)
    wanted, present, failed = (sum(map(attrgetter(name), classes.values())) for name in ("wanted", "present", "failed"))
    left = sort_by_shape(left, job.backend)
    counts = (len(everything), len(in_shard), wanted, present, failed, pending)
    return Plan(job, left, *counts, shown, expected, dict(classes), labels, selection, changed)


def belongs(key: str, shard: tuple[int, int]) -> bool:
    """Return whether a key is in a share of the work, `(index, count)`."""
    index, count = shard
    return count == 1 or int.from_bytes(hash_key(key), "big") % count == index


def _refuse_other_prompts(job: OpenJob, source: SourceFile) -> None:
    if job.store is None or job.options.allow_mixed or not source.prompts:
        return
    for variant in job.variants_of(source):
        stored = job.store.find(source.key, variant.name)
        if stored is not None and stored.prompt != variant.prompt:
            raise ValueError(
                f"source {source.key!r} has other prompts of its own now, and {variant.prompt!r} is asked for where "
                f"{str(job.store.path)!r} has {stored.prompt!r}: make a new store, or leave what is there with "
                "--allow-mixed"
            )
