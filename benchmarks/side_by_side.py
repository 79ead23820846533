"""Candidates timed side by side: their calls alternate, so that a busy machine disturbs them alike.

A turn calls every candidate once, in an order of its own, and no two of them with the same input. A round is many
turns. A candidate's time in a round is found for each of its inputs apart, as the mean of the fastest quarter of the
calls, and then averaged over the inputs: other processes only ever add to a call, and an input that costs more counts
as much as one that costs less. Ratios are taken round by round.
"""

import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CALIBRATING_TURNS = 3
CALLS_OF_AN_INPUT = 3
CLOCK_READINGS = 200
BALLAST, BALLAST_PIECES = 1 << 20, 9
"""Bytes at most of a piece of memory that shifts the others, and how many there are."""


class Spread(NamedTuple):
    """What each round found of one figure."""

    rounds: tuple[float, ...]

    @classmethod
    def of(cls, rounds: Iterable[float]) -> "Spread":
        """Spread of one figure a round."""
        return cls(tuple(map(float, rounds)))

    @property
    def value(self) -> float:
        """The figure: the median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def low(self) -> float:
        """The lowest round."""
        return min(self.rounds)

    @property
    def high(self) -> float:
        """The highest round."""
        return max(self.rounds)


class Times(NamedTuple):
    """Seconds a call of each candidate, one figure a round."""

    rounds: dict[str, NDArray[np.float64]]

    def seconds(self, name: str, scale: float = 1.0) -> Spread:
        """Spread of a candidate's time, multiplied by `scale`."""
        return Spread.of(self.rounds[name] * scale)

    def ratio(self, ours: str, theirs: str) -> Spread:
        """Spread of the ratio of two candidates' times, each pair from the same round."""
        return Spread.of(self.rounds[ours] / self.rounds[theirs])


class Rotating:
    """Call a function with the next of some rows of arguments at each turn, round and round.

    Args:
        function: What to call.
        columns: The arguments, a list of each.
        alike: Whether every row costs the same, so that a row's calls need not be kept apart.

    """

    def __init__(self, function: Callable[..., Any], *columns: Iterable[Any], alike: bool = False) -> None:
        self._function = function
        self._rows = list(zip(*columns, strict=True))
        self.inputs = 1 if alike else len(self._rows)

    def move(self) -> None:
        """Copy the inputs to other memory."""
        self._rows = moved(self._rows)

    def __call__(self, turn: int) -> Any:
        """Call with the row of this turn."""
        return self._function(*self._rows[turn % len(self._rows)])


class SideBySide:
    """Measures rounds until it is asked for the times.

    Args:
        candidates: Name and function; the function takes the number of the turn, to choose its input by.
        round_seconds: About how long a round takes; longer where each input would be met too seldom.
        clock: `time.thread_time` for work of one thread, which other processes disturb least; `time.perf_counter` where
            threads or processes take part.
        calls: Turns a round in place of as many as fit into `round_seconds`.

    Attributes:
        round_seconds: How long a round will take, as far as the first turns tell; 0 where `calls` was given.

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
        self._order = random.Random()
        self._turns = itertools.count()
        self._ballast: list[NDArray[np.uint8]] = []
        self._rounds: list[dict[str, float]] = []
        turn = 0.0 if calls else self._turn_seconds()
        self._calls = calls or self._calls_that_fit(round_seconds, turn)
        self.round_seconds = self._calls * turn

    def round(self) -> None:
        """Measure one round more, with inputs and heap in another place: that alone moves a figure by a tenth."""
        self._ballast = [np.ones(self._order.randrange(BALLAST), np.uint8) for _ in range(BALLAST_PIECES)]
        for function in self._candidates.values():
            if isinstance(function, Rotating):
                function.move()
        seconds = self._turns_of(self._calls)
        cost = self._clock_cost()
        self._rounds.append({name: max(undisturbed(taken) - cost, 1e-9) for name, taken in seconds.items()})

    def times(self) -> Times:
        """Times of all rounds so far."""
        return Times({name: np.array([each[name] for each in self._rounds]) for name in self._candidates})

    def _turn_seconds(self) -> float:
        self._turns_of(1)
        start = time.perf_counter()
        self._turns_of(CALIBRATING_TURNS)
        return (time.perf_counter() - start) / CALIBRATING_TURNS

    def _calls_that_fit(self, seconds: float, turn: float) -> int:
        """All inputs equally often, and often enough to tell the fast calls from the slow ones."""
        inputs = math.lcm(*(_inputs(function) for function in self._candidates.values()))
        return inputs * max(CALLS_OF_AN_INPUT if seconds else 1, math.ceil(seconds / turn / inputs))

    def _turns_of(self, calls: int) -> dict[str, list[list[float]]]:
        """Seconds of each call, by candidate and input."""
        seconds = {name: [[] for _ in range(_inputs(function))] for name, function in self._candidates.items()}
        places = list(enumerate(self._candidates.items()))
        for turn in itertools.islice(self._turns, calls):
            self._order.shuffle(places)
            for place, (name, function) in places:
                start = self._clock()
                function(turn + place)
                taken = self._clock() - start
                of_name = seconds[name]
                of_name[(turn + place) % len(of_name)].append(taken)
        return seconds

    def _clock_cost(self) -> float:
        readings = [-self._clock() + self._clock() for _ in range(CLOCK_READINGS)]
        return float(np.median(readings))


def moved(value: Any) -> Any:
    """Copy the arrays and bytes inside of plain lists, tuples and dicts; everything else stays the same object."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {name: moved(each) for name, each in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(moved(each) for each in value)
    return bytes(bytearray(value)) if isinstance(value, bytes) else value


def undisturbed(calls_by_input: Iterable[list[float]]) -> float:
    """Mean over the inputs of the mean of each one's fastest quarter of calls."""
    fastest = [sorted(calls)[: max(1, len(calls) // 4)] for calls in calls_by_input if calls]
    return float(np.mean([np.mean(calls) for calls in fastest]))


def _inputs(function: Callable[[int], Any]) -> int:
    return getattr(function, "inputs", 1)
