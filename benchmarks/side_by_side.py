"""Candidates timed side by side: their calls alternate, so that a busy machine disturbs them alike.

A turn calls every candidate once, in an order of its own, each with the next of its inputs and no two with the same
place among them. A round is many turns, and a candidate's time in a round is the mean of the middle half of its calls:
steady where calls have several prices (halves, prompts), and deaf to interruptions. Ratios are taken round by round.
"""

import itertools
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CALIBRATING_TURNS = 3
CLOCK_READINGS = 200


class Spread(NamedTuple):
    """A figure's median over the rounds, and the lowest and the highest round."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, rounds: Iterable[float]) -> "Spread":
        """Spread of one figure a round."""
        figures = np.asarray(list(rounds), float)
        return cls(float(np.median(figures)), float(figures.min()), float(figures.max()))


class Times(NamedTuple):
    """Seconds a call of each candidate, one figure a round."""

    rounds: dict[str, NDArray[np.float64]]

    def seconds(self, name: str, scale: float = 1.0) -> Spread:
        """Spread of a candidate's time, multiplied by `scale`."""
        return Spread.of(self.rounds[name] * scale)

    def ratio(self, ours: str, theirs: str) -> Spread:
        """Spread of the ratio of two candidates' times, each pair from the same round."""
        return Spread.of(self.rounds[ours] / self.rounds[theirs])


class SideBySide:
    """Measures rounds until it is asked for the times.

    Args:
        candidates: Name and function; the function takes the number of the turn, to choose its input by.
        round_seconds: About how long a round takes.
        clock: `time.thread_time` for work of one thread, which other processes disturb least; `time.perf_counter` where
            threads or processes take part.
        calls: Turns a round in place of as many as fit into `round_seconds`.

    """

    def __init__(
        self,
        candidates: Mapping[str, Callable[[int], Any]],
        round_seconds: float,
        clock: Callable[[], float] = time.thread_time,
        calls: int | None = None,
    ) -> None:
        self._candidates = dict(candidates)
        self._clock = clock
        self._order = random.Random(0)
        self._turns = itertools.count()
        self._rounds: list[dict[str, float]] = []
        self._calls = calls or self._calls_that_fit(round_seconds)

    def round(self) -> None:
        """Measure one round more."""
        seconds = self._turns_of(self._calls)
        cost = self._clock_cost()
        self._rounds.append({name: max(middle_mean(taken) - cost, 1e-9) for name, taken in seconds.items()})

    def times(self) -> Times:
        """Times of all rounds so far."""
        return Times({name: np.array([each[name] for each in self._rounds]) for name in self._candidates})

    def _calls_that_fit(self, round_seconds: float) -> int:
        self._turns_of(1)
        start = time.perf_counter()
        self._turns_of(CALIBRATING_TURNS)
        turn = (time.perf_counter() - start) / CALIBRATING_TURNS
        return max(CALIBRATING_TURNS, int(round_seconds / turn))

    def _turns_of(self, calls: int) -> dict[str, list[float]]:
        seconds: dict[str, list[float]] = {name: [] for name in self._candidates}
        places = list(enumerate(self._candidates.items()))
        for turn in itertools.islice(self._turns, calls):
            self._order.shuffle(places)
            for place, (name, function) in places:
                start = self._clock()
                function(turn + place)
                seconds[name].append(self._clock() - start)
        return seconds

    def _clock_cost(self) -> float:
        readings = [-self._clock() + self._clock() for _ in range(CLOCK_READINGS)]
        return float(np.median(readings))


def middle_mean(values: list[float]) -> float:
    """Mean without the lowest and the highest quarter."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return float(np.mean(ordered[quarter : len(ordered) - quarter]))


def rotating(function: Callable[..., Any], *columns: Iterable[Any]) -> Callable[[int], Any]:
    """Call the function with the next of some rows of arguments at each turn, round and round."""
    rows = list(zip(*columns, strict=True))
    return lambda turn: function(*rows[turn % len(rows)])
