"""The statistics of paired replicates: Student's t, its interval and power, Holm's correction.

The unit of analysis is the replicate. An interval covers what differs between replicates
(initialisation and data order), not the choice of the test split, which all replicates share.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

# scipy.special holds the t distribution and imports ten times faster than scipy.stats.
from scipy.special import chdtr, stdtr, stdtrit

POWER = 0.8
"""The power at which an effect counts as one that the replicates could have found."""

# The standard normal distribution as weights on a fine grid.
_NORMAL = np.arange(-4500, 4501) * 0.002
_WEIGHTS = np.exp(-(_NORMAL**2) / 2) * (0.002 / math.sqrt(2 * math.pi))


@dataclass(frozen=True)
class Interval:
    """A mean over replicates, its two-sided t interval, and p for the hypothesis that it is 0.

    With zero spread the interval is the mean itself, and p is 1 if the mean is 0, else 0. With one
    replicate the interval and p are NaN.
    """

    replicates: int
    mean: float
    low: float
    high: float
    p: float


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean, t interval and p of `values`, one per replicate (differences, for a paired test)."""
    x = np.asarray(values, dtype=np.float64)
    n = len(x)
    if n == 0 or not np.isfinite(x).all():
        raise ValueError(f"needs at least one value, and only finite ones, got {list(values)}")
    mean = float(x.mean())
    if n == 1:
        return Interval(1, mean, math.nan, math.nan, math.nan)
    if np.ptp(x) == 0.0:
        mean = float(x[0])
        return Interval(n, mean, mean, mean, 1.0 if mean == 0.0 else 0.0)
    error = float(x.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * error
    p = 2 * float(stdtr(n - 1, -abs(mean) / error))
    return Interval(n, mean, mean - half, mean + half, p)


def smallest_detectable(
    values: Sequence[float], confidence: float = 0.95, power: float = POWER
) -> float:
    """The smallest effect that a test on `values`, one per replicate, would find with `power`.

    The test is the two-sided (paired) t test at alpha = 1 - confidence, its power that of the
    non-central t distribution with both tails; the effect has the unit of the values and is to
    either side of 0. With zero spread it is 0, with one replicate NaN.

    Raises:
        ValueError: values that are no sample, or a power that is not between 0 and 1.
    """
    if not 0 < power < 1:
        raise ValueError(f"power must be between 0 and 1, got {power}")
    x = np.asarray(values, dtype=np.float64)
    n = len(x)
    if n == 0 or not np.isfinite(x).all():
        raise ValueError(f"needs at least one value, and only finite ones, got {list(values)}")
    if n == 1:
        return math.nan
    if np.ptp(x) == 0.0:
        return 0.0
    return _noncentrality(n - 1, confidence, power) * float(x.std(ddof=1)) / math.sqrt(n)


@cache
def _noncentrality(freedom: int, confidence: float, power: float) -> float:
    """The non-centrality at which the two-sided t test has `power`; 0 if it has it anyway."""
    if 1 - confidence >= power:
        return 0.0
    limit = float(stdtrit(freedom, (1 + confidence) / 2))
    low, high = 0.0, limit
    while _power(high, freedom, limit) < power:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _power(middle, freedom, limit) < power else (low, middle)
    return high


def _power(noncentrality: float, freedom: int, limit: float) -> float:
    """P(|T| > limit) of the non-central t distribution.

    T = (Z + noncentrality) / S, and S^2 is chi-squared over its degrees of freedom: so |T| > limit
    means that S is below |Z + noncentrality| / limit. This is exact where the series behind
    scipy's own function fails, far from 0 (few replicates and a confidence near 1).
    """
    ratio = (_NORMAL + noncentrality) / limit
    return float(_WEIGHTS @ chdtr(freedom, freedom * ratio**2))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979) of a family of p values; NaNs do not belong to it."""
    adjusted = [math.nan] * len(ps)
    order = sorted((i for i, p in enumerate(ps) if not math.isnan(p)), key=lambda i: ps[i])
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted


def explained(values: Sequence[float], groups: Sequence[str]) -> float | None:
    """SS(between) / SS(total): the share of the variance of `values` that their groups explain.

    Over a complete product of axes, with an axis' options as groups, it is the share of the main
    effect. None if all values are equal.
    """
    x, labels = np.asarray(values, dtype=np.float64), np.asarray(groups)
    if np.ptp(x) == 0.0:
        return None
    between = 0.0
    for group in np.unique(labels):
        here = x[labels == group]
        between += len(here) * float(here.mean() - x.mean()) ** 2
    return between / float(((x - x.mean()) ** 2).sum())
