"""Which sources are still to be handed out to workers, and which of them are suspected of killing workers."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.reports import WORKER_DIED

__all__ = ["WorkQueue"]

_ALONE_AFTER = 2
_ABANDONED_AFTER = 3
_MOST_IN_A_ROW = 8


class WorkQueue:
    """The sources of a run, for workers that may die.

    What a dead worker had in progress is handed out again. A source that was in progress at two deaths is handed out
    alone, so that a third death has one culprit, which is abandoned.

    Args:
        sources: What is to be handed out.

    Attributes:
        abandoned: Sources that killed their workers, each with the reason.

    """

    def __init__(self, sources: Iterable[SourceFile]) -> None:
        self.abandoned: list[tuple[SourceFile, str]] = []
        self._queue = deque(sources)
        self._deaths: Counter[str] = Counter()
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._queue)

    def take(self, most: int, *, idle: bool) -> list[SourceFile]:
        """Hand out the next sources.

        Args:
            most: How many at the most.
            idle: Whether the worker has nothing else in progress; a suspect goes to such a worker only, and alone.

        """
        if self._queue and self.suspects(self._queue[0]):
            return [self._queue.popleft()] if idle else []
        taken: list[SourceFile] = []
        while self._queue and len(taken) < most and not self.suspects(self._queue[0]):
            taken.append(self._queue.popleft())
        return taken

    def suspects(self, source: SourceFile) -> bool:
        """Return whether a source must be handed out alone."""
        return self._deaths[source.key] >= _ALONE_AFTER

    def died(self, in_progress: Sequence[SourceFile], cause: str) -> None:
        """Take back what a dead worker had in progress.

        Args:
            in_progress: Sources that it was given and had not done.
            cause: How it ended, such as "signal 9".

        Raises:
            ValueError: Workers die one after the other and nothing is made.

        """
        self._in_a_row += 1
        if self._in_a_row > _MOST_IN_A_ROW:
            raise ValueError(
                f"workers died {self._in_a_row} times ({cause}) and nothing was made in between: "
                "is there enough memory? Try fewer --workers or a smaller batch_size in --backend"
            )
        for source in reversed(in_progress):
            self._deaths[source.key] += 1
            if len(in_progress) == 1 and self._deaths[source.key] >= _ABANDONED_AFTER:
                self.abandoned.append((source, f"{WORKER_DIED} {_ABANDONED_AFTER} times ({cause})"))
            else:
                self._queue.appendleft(source)

    def made(self) -> None:
        """Count that something was made: workers do live."""
        self._in_a_row = 0
