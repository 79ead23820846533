"""Generating and writing at the same time, for any number of sources in bounded memory.

While the backend makes a batch, threads judge and encode the last one. Batches fill across sources and prompts, and a
rejected counterpart that is to be made again joins the next batch.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from albu_diffusemix.backends import BackendSpec, BackendUnavailableError, Counterpart, Request
from albu_diffusemix.clip_filter import SimilarityFilter
from albu_diffusemix.generate.encoding import Encoding, encode
from albu_diffusemix.generate.job import OpenJob
from albu_diffusemix.generate.prepare import Prepared
from albu_diffusemix.generate.reports import Outcome, Reporter
from albu_diffusemix.generate.variants import Variant
from albu_diffusemix.keys import UNKNOWN_SOURCE, derive_seed
from albu_diffusemix.quality import find_flaw
from albu_diffusemix.store import Source
from albu_diffusemix.text import in_one_line

__all__ = ["ATTEMPTS", "GIVE_UP_AFTER", "Pipeline", "Sink", "useless_backend_error"]

ATTEMPTS = 3
"""How often a counterpart is made, each time from another seed, before its rejection is final."""

GIVE_UP_AFTER = 8
"""Images on which a backend fails before it ever made one: then it is the backend, not the images."""

_LONGEST_REASON = 200
_MOST_DEFERRED = 1000


class Sink(Protocol):
    """Where counterparts and failures go: a store's writer, or something that takes its place."""

    def put(
        self, key: str, variant: str, data: bytes, *, prompt: str, seed: int, source: Source, used_prompt: str = ""
    ) -> None:
        """Keep an image."""

    def fail(
        self, key: str, variant: str, reason: str, *, prompt: str = "", seed: int = 0, source: Source = UNKNOWN_SOURCE
    ) -> None:
        """Keep that there is none."""

    def is_begun(self) -> bool:
        """Return whether there is a store: failures of a backend that never worked do not begin one."""


class _Attempt(NamedTuple):
    """One try at a counterpart."""

    prepared: Prepared
    variant: Variant
    seed: int
    number: int


class _Encoded(NamedTuple):
    """An image file, or why there is none; what was rejected may turn out well from another seed."""

    data: bytes
    reason: str
    rejected: bool
    used_prompt: str = ""  # where it is not the one that was asked for


def useless_backend_error(backend: BackendSpec, count: int, reason: str) -> ValueError:
    """Return the error for a backend that failed on all that it was asked for, so many images."""
    images = "the first image" if count == 1 else f"each of the first {count} images"
    return ValueError(f"backend {backend!r} failed on {images}: {reason}")


class Pipeline:
    """Makes counterparts of prepared sources, and passes them to the sink.

    Args:
        job: The job, and the backend that makes them.
        pool: Threads for judging and encoding.
        sink: Where they go.
        reporter: Is told of them.
        stop: Set from outside when only the batch in progress is to be finished.

    Attributes:
        worked: Whether the backend ever made something of a request.
        faults: Why the backend failed, on each image before it ever worked.

    """

    def __init__(self, job: OpenJob, pool: Executor, sink: Sink, reporter: Reporter, stop: threading.Event) -> None:
        self._backend = job.backend
        self._options = options = job.options
        self._pool = pool
        self._sink = sink
        self._reporter = reporter
        self._stop = stop
        self._batch_size = job.batch_size
        self._similarity = SimilarityFilter(**options.similarity) if options.similarity else None
        self._waiting: deque[_Attempt] = deque()
        self._encoding: deque[tuple[_Attempt, Future[_Encoded]]] = deque()
        self._open: Counter[str] = Counter()  # counterparts of each source that are on their way
        self._remarks: dict[str, tuple[str, ...]] = {}  # on sources, until the first outcome of each
        self.worked = False
        self._deferred: list[tuple[_Attempt, str]] = []  # failures before the backend ever worked
        self.faults: list[str] = []  # why it failed then
        self._loaded = False

    def run(self, sources: Iterable[Prepared | None]) -> None:
        """Make the counterparts of all sources; None among them asks to finish all batches before going on.

        Raises:
            ValueError: The backend does not work at all, or gives something else than it was asked for.
            StoreError: The sink cannot write.

        """
        for prepared in sources:
            if self._stop.is_set():
                break
            if prepared is None:
                self._finish()
                continue
            self._take(prepared)
            while len(self._waiting) >= self._batch_size and not self._stop.is_set():
                self._generate()
                self._write(self._batch_size)
        self._finish()

    def _take(self, prepared: Prepared) -> None:
        if not prepared.variants:
            self._reporter.done(prepared.key)
            return
        self._open[prepared.key] = len(prepared.variants)
        self._remarks[prepared.key] = prepared.remarks
        for variant in prepared.variants:
            attempt = self._attempt(prepared, variant, variant.attempt)
            if prepared.image is None:
                self._defer(attempt, prepared.reason)
            else:
                self._waiting.append(attempt)

    def _attempt(self, prepared: Prepared, variant: Variant, number: int) -> _Attempt:
        seed = derive_seed(self._options.base_seed, prepared.key, variant.prompt, variant.name, number)
        return _Attempt(prepared, variant, seed, number)

    def _finish(self) -> None:
        while self._waiting or self._encoding:
            if self._stop.is_set():
                self._waiting.clear()
            if self._waiting:
                self._generate()
            self._write(self._batch_size if self._waiting else 0)
        if not self._stop.is_set():
            self._report_deferred()

    def _generate(self) -> None:
        self._load()
        batch = [self._waiting.popleft() for _ in range(min(self._batch_size, len(self._waiting)))]
        made = self._ask(batch)
        for attempt, counterpart, unlike in zip(batch, made, self._unlike(batch, made), strict=True):
            if counterpart is not None:
                future = self._pool.submit(_judge_and_encode, attempt, counterpart, unlike, self._options.encoding)
                self._encoding.append((attempt, future))

    def _load(self) -> None:
        """Let the backend load what it needs before the first image, so that what fails then is said once."""
        load = None if self._loaded else getattr(self._backend, "load", None)
        self._loaded = True
        if load is None:
            return
        try:
            load()
        except ValueError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {in_one_line(error)}"
            raise BackendUnavailableError(f"backend {self._options.backend!r} cannot be loaded: {reason}") from error

    def _unlike(self, batch: list[_Attempt], made: list[Counterpart | None]) -> list[str]:
        """Return why the similarity filter rejects each counterpart; empty where it does not, or there is none."""
        reasons = [""] * len(batch)
        if self._similarity is None:
            return reasons
        pairs = {
            place: (counterpart.image, attempt.prepared.image)
            for place, (attempt, counterpart) in enumerate(zip(batch, made, strict=True))
            if counterpart is not None and counterpart.image is not None and attempt.prepared.image is not None
        }
        flaws = self._similarity.find_flaws([image for image, _ in pairs.values()], [of for _, of in pairs.values()])
        for place, flaw in zip(pairs, flaws, strict=True):
            reasons[place] = flaw or ""
        return reasons

    def _ask(self, batch: list[_Attempt]) -> list[Counterpart | None]:
        """Ask the backend; where it fails on a batch, for each image alone. None is one that it failed on."""
        requests = [_request(attempt) for attempt in batch]
        try:
            counterparts = self._backend.generate(requests)
        except BackendUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  a backend is anybody's code, and one image must not end the run
            reason = f"{type(error).__name__}: {in_one_line(error)}"[:_LONGEST_REASON]
            if len(batch) > 1:
                self._reporter.note(f"the backend failed on a batch of {len(batch)} ({reason}); trying one at a time")
                return [made for attempt in batch for made in self._ask([attempt])]
            self._note_fault(reason)
            self._defer(batch[0], reason)
            return [None]
        self._check(requests, counterparts)
        self._note_work(counterparts)
        return [self._unless_failed(*made) for made in zip(batch, counterparts, strict=True)]

    def _note_work(self, counterparts: list[Counterpart]) -> None:
        if any(counterpart.status != "failed" for counterpart in counterparts):
            self.worked = True
            self._report_deferred()

    def _unless_failed(self, attempt: _Attempt, counterpart: Counterpart) -> Counterpart | None:
        if counterpart.status != "failed":
            return counterpart
        reason = counterpart.reason[:_LONGEST_REASON]
        self._note_fault(reason)
        self._defer(attempt, reason)
        return None

    def _check(self, requests: list[Request], counterparts: list[Counterpart]) -> None:
        who = f"backend {self._options.backend!r}"
        if len(counterparts) != len(requests):
            raise ValueError(f"{who} gave {len(counterparts)} counterparts for {len(requests)} requests")
        for request, (image, status, *_) in zip(requests, counterparts, strict=True):
            if status != "ok":
                continue
            if not isinstance(image, np.ndarray) or image.shape != request.image.shape or image.dtype != np.uint8:
                gave = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else repr(image)
                raise ValueError(f"{who} gave {gave} where uint8 {request.image.shape} was asked for")

    def _note_fault(self, reason: str) -> None:
        if self.worked:
            return
        self.faults.append(reason)
        if len(self.faults) >= GIVE_UP_AFTER:
            raise useless_backend_error(self._options.backend, len(self.faults), self.faults[0])

    def _defer(self, attempt: _Attempt, reason: str) -> None:
        self._deferred.append((attempt, reason))
        if self.worked or len(self._deferred) >= _MOST_DEFERRED:
            self._report_deferred()

    def _report_deferred(self) -> None:
        """Let failures go to the sink; of a backend that never worked they would begin a store for nothing."""
        keep = self.worked or not self.faults or self._sink.is_begun()
        for attempt, reason in self._deferred:
            self._fail(attempt, reason, keep=keep)
        self._deferred.clear()

    def _write(self, most: int) -> None:
        """Write what is encoded, and wait until no more than `most` are left."""
        while self._encoding and (len(self._encoding) > most or self._encoding[0][1].done()):
            attempt, future = self._encoding.popleft()
            self._settle(attempt, future.result())

    def _settle(self, attempt: _Attempt, encoded: _Encoded) -> None:
        prepared, variant = attempt.prepared, attempt.variant
        before = attempt.number - variant.attempt  # attempts of this run that came to nothing
        if encoded.data:
            self._sink.put(
                prepared.key,
                variant.name,
                encoded.data,
                prompt=variant.prompt,
                seed=attempt.seed,
                source=prepared.source,
                used_prompt=encoded.used_prompt,
            )
            prompts = (variant.prompt, encoded.used_prompt) if encoded.used_prompt else ()
            self._close(Outcome(prepared.key, variant.name, "", before, len(encoded.data), *prompts))
        elif not encoded.rejected:
            self._fail(attempt, encoded.reason)
        elif before + 1 == ATTEMPTS:
            self._fail(attempt, f"{encoded.reason}, {ATTEMPTS} attempts", rejects=ATTEMPTS)
        else:
            self._waiting.append(self._attempt(prepared, variant, attempt.number + 1))

    def _fail(self, attempt: _Attempt, reason: str, rejects: int = 0, *, keep: bool = True) -> None:
        key, variant, source = attempt.prepared.key, attempt.variant, attempt.prepared.source
        if keep:
            self._sink.fail(key, variant.name, reason, prompt=variant.prompt, seed=attempt.seed, source=source)
        self._close(Outcome(key, variant.name, reason, rejects, 0))

    def _close(self, outcome: Outcome) -> None:
        self._reporter.outcome(outcome._replace(remarks=self._remarks.pop(outcome.key, ())))
        self._open[outcome.key] -= 1
        if not self._open[outcome.key]:
            del self._open[outcome.key]
            self._reporter.done(outcome.key)


def _request(attempt: _Attempt) -> Request:
    image = attempt.prepared.image
    assert image is not None  # noqa: S101  only sources that were read are asked for
    height, width = image.shape[:2]
    return Request(image, attempt.variant.prompt, attempt.seed, attempt.prepared.key, (0, 0, width, height))


def _judge_and_encode(attempt: _Attempt, counterpart: Counterpart, unlike: str, encoding: Encoding) -> _Encoded:
    if counterpart.image is None:
        return _Encoded(b"", counterpart.status, counterpart.status != "missing")
    assert attempt.prepared.image is not None  # noqa: S101  as in _request
    flaw = find_flaw(counterpart.image, attempt.prepared.image) or unlike
    if flaw:
        return _Encoded(b"", flaw, rejected=True)
    used = counterpart.prompt if counterpart.prompt != attempt.variant.prompt else ""
    try:
        data = encode(counterpart.image, encoding)
    except (ValueError, cv2.error) as error:  # a side is too long for the format
        return _Encoded(b"", f"cannot be encoded: {in_one_line(error)}"[:_LONGEST_REASON], rejected=False)
    return _Encoded(data, "", rejected=False, used_prompt=used or "")
