"""How sure one may be of a metric: a bootstrap that draws users.

Rows of one user are alike, so a resample takes or leaves them together. It draws each user
Poisson(1) times, which for many users is as many draws with replacement (Chamandy et al.,
"Estimating Uncertainty for Massive Data Streams", Google 2012), and the draws multiply row weights.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.evaluation.metrics import (
    Censored,
    Floats,
    Parts,
    Rows,
    Weights,
    observed,
    ratio,
)
from trimtab.evaluation.pairs import pair_weights
from trimtab.evaluation.pulls import Pulls
from trimtab.evaluation.sorting import codes_of

Interval = tuple[float, float]
Codes = NDArray[np.intp]
GroupedMetric = Callable[[Rows, Rows, Rows, Weights], Parts]

_CHUNK_BYTES = 32_000_000  # or one resample, if that is more
_BYTES_A_ROW = 12  # of a resample: its random bits, its draws, and these as float64
_DEFINED_SHARE = 0.9

_POISSON = [math.exp(-1) / math.factorial(draws) for draws in range(9)]
_DRAWS = np.searchsorted(np.cumsum(_POISSON), np.arange(0.5, 1 << 16) / (1 << 16)).astype(np.uint8)
"""Poisson(1) draws by 16 random bits: several times faster than NumPy's, to 2e-5 of chance."""


class Estimate(NamedTuple):
    """A metric of rows that are sorted already: its value, and its value in every resample."""

    value: Callable[[], float]
    resampled: Callable[[], Floats]


class UserBootstrap:
    """Metrics of many resamples of the users, and intervals from them.

    Each metric's method returns an `Estimate`: its value, and its value in every resample, NaN
    where that is not defined. The resamples depend on users and seed alone: two models, targets or
    metrics meet the same ones, so that the interval of a difference or a ratio of such values is a
    paired one.

    Parameters
    ----------
    users
        The user of each row, of any type that sorts; without it each row is its own user.
    level
        Share of the resamples within an interval.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> users, label = np.arange(1000) // 5, random.integers(0, 2, 1000)
    >>> good, bad = label + random.normal(size=1000), random.normal(size=1000)
    >>> bootstrap = UserBootstrap(users)
    >>> ours, theirs = (bootstrap.of_auc(label, score).resampled() for score in (good, bad))
    >>> low, high = bootstrap.interval(ours - theirs)
    >>> low > 0
    True
    """

    def __init__(
        self,
        users: Rows | None = None,
        *,
        resamples: int = 200,
        level: float = 0.95,
        seed: int = 0,
    ) -> None:
        self.resamples, self.level, self.seed = resamples, level, seed
        self._codes = None if users is None else codes_of(users)[1]

    def groups(self, label: Rows) -> Codes:
        """User of each row, counted from 0."""
        return np.arange(np.size(label)) if self._codes is None else self._codes

    def interval(self, values: Floats) -> Interval:
        """Percentile interval of a metric's values in the resamples.

        NaN unless nine in ten are defined. A mean over one or two users is not, nor is the AUC of
        one or two users' positives: resamples of so few say nothing of users that were not seen.
        """
        defined = values[~np.isnan(values)]
        if not defined.size or defined.size < _DEFINED_SHARE * values.size:
            return float("nan"), float("nan")
        low, high = np.quantile(defined, [(1 - self.level) / 2, (1 + self.level) / 2])
        return float(low), float(high)

    def mean(self, label: Rows, value: Rows, weight: Weights = None) -> Floats:
        """Mean of a value of each row in every resample, as `of_mean`."""
        return self.of_mean(label, value, weight).resampled()

    def of_mean(self, label: Rows, value: Rows, weight: Weights = None) -> Estimate:
        """Mean of a value of each row, such as its loss, over rows whose label is not missing.

        The mean of `row_log_loss` is the log loss; that of the predictions over that of the labels
        is PCOC.
        """
        codes = self.groups(label)
        _, row_weight, value, users = observed(label, weight, value, codes)
        columns = row_weight * value, row_weight
        return Estimate(
            lambda: float(ratio(columns[0].sum(), columns[1].sum())),
            lambda: self._ratio(*columns, users, among=codes),
        )

    def of_auc(self, label: Rows, prediction: Rows, weight: Weights = None) -> Estimate:
        """AUC: the utility of gains of 0 and 1; the rows are sorted once."""
        label = np.asarray(label)
        positive = np.where(np.isnan(label), np.nan, label > 0)
        return self.of_utility(positive, prediction, weight)

    def of_utility(self, gain: Rows, score: Rows, weight: Weights = None) -> Estimate:
        """C of `metrics.utility`; the rows are sorted once by score and once by gain."""
        codes = self.groups(gain)
        people = codes.max(initial=-1) + 1
        pulls = Pulls(gain, score, codes, weight)
        return Estimate(
            lambda: pulls(np.ones(people, dtype=np.uint8)),
            lambda: np.array([pulls(d) for draws in self._draws(people, people) for d in draws]),
        )

    def of_xauc(
        self, label: Rows, prediction: Rows, weight: Weights = None, censored: Censored = None
    ) -> Estimate:
        """XAUC, of resamples to first order in the draws, as counting all pairs again is dear.

        With ``a_i`` the weight of the pairs of row i that are in order and ``b_i`` of those that
        should be, ``sum n_i a_i / sum n_i b_i`` of draws n moves half as far as XAUC, since a pair
        has two rows. Pairs are counted once; ``censored`` as in `metrics.xauc`.
        """
        codes = self.groups(label)
        told = () if censored is None else (censored,)
        label, row_weight, prediction, users, *cut = observed(
            label, weight, prediction, codes, *told
        )
        pairs = pair_weights(label, prediction, row_weight, np.zeros_like(users), *cut)
        concordant, comparable = (row_weight * pair for pair in pairs)
        value = ratio(concordant.sum(), comparable.sum())

        def resampled() -> Floats:
            half_way = self._ratio(concordant, comparable, users, among=codes)
            return np.clip(2 * half_way - value, 0, 1)

        return Estimate(lambda: float(value), resampled)

    def of_groups(
        self, metric: GroupedMetric, label: Rows, prediction: Rows, weight: Weights = None
    ) -> Estimate:
        """Estimate a metric within users, such as GAUC; its parts are computed once."""
        codes = self.groups(label)
        parts = metric(label, prediction, codes, weight)
        columns = parts.weight * parts.value, parts.weight
        return Estimate(parts.mean, lambda: self._ratio(*columns, parts.group, among=codes))

    def _ratio(self, above: Floats, below: Floats, users: Codes, *, among: Codes) -> Floats:
        """Sum of one column over the sum of another, in every resample."""
        people = among.max(initial=-1) + 1
        columns = [
            np.bincount(users, weights=column, minlength=people) for column in (above, below)
        ]
        sums = self.totals(np.stack(columns, 1))
        return ratio(sums[:, 0], sums[:, 1])

    def totals(self, columns: Floats) -> Floats:
        """Sum columns over the users in every resample: [users, any] to [resamples, any].

        The users are numbered as in `groups`.
        """
        chunks = self._draws(len(columns), rows=len(columns))
        return np.concatenate([draws.astype(np.float64) @ columns for draws in chunks])

    def _draws(self, people: int, rows: int) -> Iterator[NDArray[np.uint8]]:
        """How often each resample draws each user: some resamples at a time, to spare memory."""
        random = np.random.default_rng(self.seed)
        most = max(1, _CHUNK_BYTES // (_BYTES_A_ROW * max(people, rows, 1)))
        for start in range(0, self.resamples, most):
            bits = (
                random.integers(0, 1 << 16, people, dtype=np.uint16)
                for _ in range(min(most, self.resamples - start))
            )
            yield np.stack([_DRAWS[each] for each in bits])
