"""Which differences are beyond chance: DeLong's test, Student's t, Holm's correction, verdicts."""

import math
from collections.abc import Hashable, Iterable, Mapping
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np

from trimtab.evaluation.metrics import Floats, Rows, observed

Test = TypeVar("Test", bound=Hashable)
LEVEL = 0.95
"""Share of the chance within an interval; 1 - it is the chance of a false alarm."""


class Paired(NamedTuple):
    """A difference with its interval and the chance of one as large where there is none."""

    difference: float
    low: float
    high: float
    p: float


def delong(label: Rows, *predictions: Rows) -> tuple[Floats, Floats]:
    """Return the AUC of each column of predictions, and the covariances of these AUCs.

    Rows count as independent, which several rows of one user are not. DeLong et al., "Comparing
    the Areas under Two or More Correlated Receiver Operating Characteristic Curves", Biometrics
    1988, by the midranks of Sun & Xu, IEEE Signal Processing Letters 2014: O(n log n).

    Returns
    -------
    aucs, covariance
        NaN with fewer than two rows of either class, or where a prediction is NaN.
    """
    label, _, *columns = observed(label, None, *predictions)
    positive = label > 0
    ones, zeros = int(positive.sum()), int((~positive).sum())
    count = len(columns)
    if min(ones, zeros) < 2 or any(np.isnan(column).any() for column in columns):
        return np.full(count, np.nan), np.full((count, count), np.nan)
    of_ones, of_zeros = np.empty((count, ones)), np.empty((count, zeros))
    for i, column in enumerate(columns):
        whole = _midranks(column)
        of_ones[i] = (whole[positive] - _midranks(column[positive])) / zeros
        of_zeros[i] = 1 - (whole[~positive] - _midranks(column[~positive])) / ones
    covariance = np.cov(of_ones) / ones + np.cov(of_zeros) / zeros
    return of_ones.mean(axis=1), np.reshape(covariance, (count, count))


def delong_p(label: Rows, first: Rows, second: Rows) -> float:
    """Return the two-sided chance of so different AUCs where the models are equally good."""
    aucs, covariance = delong(label, first, second)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return _two_sided(float(aucs[1] - aucs[0]), float(variance), math.inf)


def _midranks(values: Rows) -> Floats:
    """Return ranks from 1, those of equal values their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: Floats = last - (counts - 1) / 2
    return middle[place]


def over_seeds(differences: Floats, draws: Floats, *, users: int, level: float = LEVEL) -> Paired:
    """Return the mean over seeds of a paired difference, with an interval.

    Its variance is that over users, of ``draws``, plus that over seeds, of ``differences`` over
    their number; a single seed says nothing of the latter, which then is left out. What users and
    seeds do together is in both, so that several seeds make the interval too wide, not too narrow.
    It is Student's, with the degrees of freedom of such a sum (Satterthwaite, Biometrics Bulletin
    1946).

    Parameters
    ----------
    differences
        One a seed.
    draws
        The difference averaged over seeds in each resample of the users; NaN where undefined.
    users
        Different users that were drawn from: few of them say little of their variance.
    """
    defined, seeds = draws[~np.isnan(draws)], len(differences)
    mean, freedom = float(differences.mean()), min(len(defined), users) - 1
    if freedom < 1 or len(defined) < 0.9 * len(draws) or math.isnan(mean):
        return Paired(mean, math.nan, math.nan, math.nan)
    variances = [(float(defined.var(ddof=1)), freedom)]
    if seeds > 1:
        variances.append((float(differences.var(ddof=1)) / seeds, seeds - 1))
    variance = sum(part for part, _ in variances)
    below = sum(part**2 / of_part for part, of_part in variances)
    of_sum = variance**2 / below if below > 0 else math.inf
    reach = quantile(level, of_sum) * math.sqrt(variance)
    return Paired(mean, mean - reach, mean + reach, _two_sided(mean, variance, of_sum))


def _two_sided(difference: float, variance: float, freedom: float) -> float:
    if math.isnan(difference) or math.isnan(variance):
        return math.nan
    if variance <= 0:
        return 1.0 if difference == 0 else 0.0
    return tail(abs(difference) / math.sqrt(variance), freedom)


def tail(t: float, freedom: float) -> float:
    """Return the chance that Student's t, of 1 degree of freedom or more, is beyond +-t.

    With ``t = sqrt(v) tan(a)`` it is 1 less the integral of ``cos(a)^(v - 1)`` up to a, scaled.
    """
    if freedom > 1e7:
        return math.erfc(t / math.sqrt(2))
    nodes, weights = _nodes()
    end = math.atan(t / math.sqrt(freedom))
    inside = float(weights @ np.cos((nodes + 1) * end / 2) ** (freedom - 1)) * end / 2
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    return min(max(1 - inside * 2 / math.sqrt(math.pi) * math.exp(scale), 0.0), 1.0)


@cache
def _nodes() -> tuple[Floats, Floats]:
    """Return places in -1 to 1 and weights that integrate smooth functions (Gauss, Legendre)."""
    return np.polynomial.legendre.leggauss(200)


def quantile(level: float, freedom: float) -> float:
    """Return the t within which Student's t falls with chance ``level``."""
    low, high = 0.0, 1.0
    while tail(high, freedom) > 1 - level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, freedom) > 1 - level else (low, middle)
    return high


def holm(p: Mapping[Test, float]) -> dict[Test, float]:
    """Return p-values that many tests may be judged by, as if each were alone.

    The smallest of m is multiplied by m, the next by m - 1, and none is less than the one before
    it (Holm, Scandinavian Journal of Statistics 1979). NaN stands for no test.
    """
    adjusted, highest = dict.fromkeys(p, math.nan), 0.0
    tested = sorted((name for name in p if not math.isnan(p[name])), key=p.__getitem__)
    for rank, name in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p[name]))
        adjusted[name] = highest
    return adjusted


def direction(difference: float, p: float, level: float = LEVEL) -> int:
    """Return 1 where a difference is significantly up, -1 where down, else 0."""
    return int(np.sign(difference)) if p < 1 - level else 0


def verdict(directions: Iterable[int]) -> str:
    """Name what sharing does to targets that went up (1), down (-1) or neither (0).

    ``gain`` where some went up and none down, ``negative transfer`` where some went down and none
    up, ``seesaw`` where there are both, and ``none``.
    """
    found = set(directions)
    names = {(True, False): "gain", (False, True): "negative transfer", (True, True): "seesaw"}
    return names.get((1 in found, -1 in found), "none")
