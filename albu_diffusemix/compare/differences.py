"""What the seeds say: paired differences between two arms, with the 95 % interval of Student's t."""

import math
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

__all__ = ["Difference", "paired", "t_quantile"]

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
    half = t_quantile(len(each) - 1) * spread / len(each) ** 0.5
    return Difference(mean, mean - half, mean + half, len(each), _needed(mean, spread))


def _needed(mean: float, spread: float) -> int | None:
    fewest = (1.95 * spread / mean) ** 2 if mean else math.inf  # every quantile is larger than 1.95
    candidates = (n for n in range(2, MOST_SEEDS + 1) if n > fewest)
    return next((n for n in candidates if t_quantile(n - 1) * spread / n**0.5 < abs(mean)), None)


@cache
def t_quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, by adding up its density.

    Args:
        freedom: Degrees of freedom, at least 1.

    """
    x, step = np.linspace(0, 13, 130_001, retstep=True)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    density = scale * (1 + x * x / freedom) ** (-(freedom + 1) / 2)
    area = np.cumsum((density[1:] + density[:-1]) / 2) * step
    return float(x[np.searchsorted(area, 0.475) + 1])
