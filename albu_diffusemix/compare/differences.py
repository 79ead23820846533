"""What the seeds say: paired differences between two arms, with the 95 % interval of Student's t."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

__all__ = ["Difference", "paired"]

MOST_SEEDS = 1000
"""More are never said to be needed: a difference so small is nobody's concern."""


class Difference(NamedTuple):
    """A mean difference over seeds.

    Attributes:
        mean: Of the differences.
        low: Lower end of the interval; NaN with one seed.
        high: Upper end.
        seeds: How many both arms have.
        needed: Seeds with which an interval of this spread around this mean would leave out zero; None beyond
            `MOST_SEEDS`.

    """

    mean: float
    low: float
    high: float
    seeds: int
    needed: int | None

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired(ours: Mapping[int, float], reference: Mapping[int, float]) -> Difference | None:
    """Compare the values of two arms seed by seed.

    Args:
        ours: Value by seed.
        reference: Value by seed.

    Returns:
        None where no seed is in both.

    """
    each = np.array([ours[seed] - reference[seed] for seed in ours if seed in reference])
    if not len(each):
        return None
    mean = float(each.mean())
    if len(each) == 1:
        return Difference(mean, math.nan, math.nan, 1, None)
    spread = float(each.std(ddof=1))
    half = _half_of_interval(spread, len(each))
    candidates = range(2, MOST_SEEDS + 1) if mean else ()
    needed = next((seeds for seeds in candidates if _half_of_interval(spread, seeds) < abs(mean)), None)
    return Difference(mean, mean - half, mean + half, len(each), needed)


def _half_of_interval(spread: float, seeds: int) -> float:
    return float(stdtrit(seeds - 1, 0.975) * spread / seeds**0.5)
