"""What is reported of a run: each counterpart as it comes, and the whole in numbers."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

__all__ = ["NOT_READ", "WORKER_DIED", "Outcome", "Reporter", "Summary", "Tally", "describe_size", "is_temporary"]

WORKER_DIED, NOT_READ = "its worker died", "not read within"
"""How the reasons of failures begin that say nothing of the source: the next run tries it again without being asked."""

_SHOWN_FAILURES = 10


class Outcome(NamedTuple):
    """What became of one counterpart.

    Attributes:
        key: The source's key.
        variant: Which of its counterparts.
        reason: Why there is none; empty where there is one.
        rejects: How often it was made and thrown away.
        size: Bytes of the image file.
        prompt: The effect that was asked for, where the backend used another one; else empty.
        used_prompt: That other one.
        remarks: On how the source was read; with one of its outcomes.

    """

    key: str
    variant: str
    reason: str
    rejects: int
    size: int
    prompt: str = ""
    used_prompt: str = ""
    remarks: Sequence[str] = ()


class Reporter(Protocol):
    """Is told how the work goes, by one thread; each call must return soon."""

    def outcome(self, outcome: Outcome) -> None:
        """Take note of a counterpart, or of its failure, that the store has acknowledged."""

    def done(self, key: str) -> None:
        """Take note that a source is done: nothing more will come of it."""

    def note(self, text: str) -> None:
        """Take note of something that a person should know, in a line."""


class Summary(NamedTuple):
    """What a run did.

    Attributes:
        made: Counterparts.
        size: Bytes of these.
        failed: Counterparts of which nothing came.
        rejects: How often one was made and thrown away.
        failures: The first few failures.
        seconds: How long it took.
        interrupted: Whether it was told to stop before its end.
        replaced: Prompts in whose place the backend used another one, each with that one.
        missing: What the store lacks at the end though it was there before or was made.
        remarks: Of how many sources each remark was made, see `albu_diffusemix.image_decoding`.

    """

    made: int
    size: int
    failed: int
    rejects: int
    failures: list[Outcome]
    seconds: float
    interrupted: bool
    replaced: dict[str, str]
    missing: int
    remarks: Mapping[str, int]


class Tally:
    """Counts what passes on its way to a reporter.

    Args:
        reporter: Who is told.

    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._started = time.monotonic()
        self._made = self._size = self._failed = self._rejects = 0
        self._failures: list[Outcome] = []
        self._replaced: dict[str, str] = {}
        self._remarks: Counter[str] = Counter()

    def outcome(self, outcome: Outcome) -> None:
        """Count it and pass it on."""
        self._made += not outcome.reason
        self._failed += bool(outcome.reason)
        self._size += outcome.size
        self._rejects += outcome.rejects
        self._remarks.update(outcome.remarks)
        if outcome.reason and len(self._failures) < _SHOWN_FAILURES:
            self._failures.append(outcome)
        if outcome.used_prompt:
            self._replaced[outcome.prompt] = outcome.used_prompt
        self._reporter.outcome(outcome)

    def done(self, key: str) -> None:
        """Pass it on."""
        self._reporter.done(key)

    def note(self, text: str) -> None:
        """Pass it on."""
        self._reporter.note(text)

    def summary(self, *, interrupted: bool, missing: int = 0) -> Summary:
        """Return what was counted so far."""
        seconds = time.monotonic() - self._started
        counts = (self._made, self._size, self._failed, self._rejects)
        return Summary(*counts, self._failures, seconds, interrupted, self._replaced, missing, self._remarks)


def is_temporary(reason: str) -> bool:
    """Return whether a failure says nothing of its source, because a worker died or a disk did not answer."""
    return reason.startswith((WORKER_DIED, NOT_READ))


def describe_size(size: float) -> str:
    """Return a number of bytes in the unit that makes it readable: 493,000 are "493 kB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004  the next unit
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
