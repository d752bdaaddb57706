"""What one order does to many gains, over all rows and within lists, from one sort."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.metrics import Censored, ratio
from trimtab.evaluation.pairs import pair_weights
from trimtab.steering.candidates import Codes, Floats
from trimtab.steering.lists import Arranged, Lists, blocks
from trimtab.steering.resampling import Mean, Metric, Pairs


class Orders:
    """Rows with their gains, ready for any number of scores.

    The metrics are those of ``trimtab.evaluation.metrics`` and of ``Ndcg``, to rounding, at a
    fraction of their cost.

    Parameters
    ----------
    gains
        ``[gains, rows]``, NaN for "not known".
    group
        The list of each row: a user's, or a request's.
    """

    def __init__(self, gains: Floats, group: Codes, *, k: int = 10) -> None:
        groups, self._codes = np.unique(group, return_inverse=True)
        self.lists, self._k = len(groups), k
        # One list alone says nothing of others; its rows then count as drawn one by one.
        self._person = self._codes if self.lists > 1 else np.arange(len(self._codes))
        self._people = int(self._person.max(initial=-1)) + 1
        self.users = UserBootstrap(np.arange(self._people))
        self._parts = [
            _Part(self._rows(block.known), block.which, block.gains) for block in blocks(gains)
        ]

    def _rows(self, known: NDArray[np.bool_]) -> "_Rows":
        codes, person = self._codes[known], self._person[known]
        whole = Lists(np.zeros_like(codes), k=self._k)
        return _Rows(known, person, self._people, whole, Lists(codes, k=self._k))

    def with_gain(self, gain: Floats) -> "Orders":
        """Return the same rows with one more gain, the last one."""
        found, last = copy(self), sum(len(part.which) for part in self._parts)
        (block,) = blocks(gain[None])
        alike = (p.rows for p in self._parts if np.array_equal(p.rows.known, block.known))
        rows = next(alike, None) or self._rows(block.known)
        found._parts = [*self._parts, _Part(rows, [last], block.gains)]
        return found

    def of(self, score: Floats, *, resampled: bool = True) -> list[Mapping[str, Metric]]:
        """Return ``utility``, ``utility_within_user``, ``gauc`` and ``ndcg`` of every gain.

        GAUC is that of a gain of two values.

        Parameters
        ----------
        resampled
            Whether resamples are wanted, not values alone.
        """
        found: dict[int, Mapping[str, Metric]] = {}
        orders = {rows: rows.by(score) for rows in dict.fromkeys(p.rows for p in self._parts)}
        for part in self._parts:
            metrics = part.measured(orders[part.rows], resampled=resampled)
            found |= zip(part.which, metrics, strict=True)
        return [found[i] for i in sorted(found)]

    def xauc(self, score: Floats, gain: int, censored: Censored = None) -> Metric:
        """Return the XAUC of one gain; it costs more than all other metrics together."""
        part = next(part for part in self._parts if gain in part.which)
        return part.xauc(score, list(part.which).index(gain), censored)


@dataclass(frozen=True)
class _Order:
    whole: Arranged
    lists: Arranged


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows on which some gains are known, as one list and as the lists that they are."""

    known: NDArray[np.bool_]
    person: Codes
    people: int
    whole: Lists
    lists: Lists

    def by(self, score: Floats) -> _Order:
        return self.sorted(score[self.known])

    def sorted(self, score: Floats) -> _Order:
        order = np.argsort(score)
        return _Order(self.whole.by(score, order), self.lists.by(score, order))

    def by_person(self, values: Floats | NDArray[np.bool_]) -> Floats:
        return np.asarray(
            np.bincount(self.person, weights=values, minlength=self.people), dtype=np.float64
        )

    def pairs(self, order: _Order, gains: Floats) -> Floats:
        """Return what each person's rows add to the pairs of all rows, ``[gains, people]``."""
        return np.array([self.by_person(part) for part in order.whole.contributions(gains)])


@dataclass(frozen=True)
class _Part:
    """Gains that are known of the same rows."""

    rows: _Rows
    which: Sequence[int]
    gains: Floats  # [which, rows]

    @cached_property
    def worth(self) -> Floats:
        """The gains as NDCG counts them."""
        return np.maximum(self.gains, 0)

    @cached_property
    def ideal(self) -> list[tuple[float, Floats, Floats]]:
        """Each gain's pull over all rows, and pulls and DCGs of the lists, in its own order."""
        found = []
        for gain, worth in zip(self.gains, self.worth, strict=True):
            order = self.rows.sorted(gain)
            pull = float(order.whole.pulls(gain[None]).sum())
            lists = order.lists
            found.append((pull, lists.pulls(gain[None])[0], lists.discounted(worth[None])[0]))
        return found

    @cached_property
    def totals(self) -> list[Floats]:
        """What each person's rows add to the pairs of all rows in each gain's own order."""
        return [self.rows.pairs(self.rows.sorted(g), g[None])[0] for g in self.gains]

    @cached_property
    def ends(self) -> list[Floats]:
        """Who has a gain below the highest, and who one above the lowest."""
        ends = [
            (gain < gain.max(initial=-np.inf), gain > gain.min(initial=np.inf))
            for gain in self.gains
        ]
        return [np.array([self.rows.by_person(end) for end in both]) for both in ends]

    def measured(self, order: _Order, *, resampled: bool) -> list[dict[str, Metric]]:
        """Return the metrics of every gain."""
        pulls, reached = order.lists.pulls(self.gains), order.lists.discounted(self.worth)
        if resampled:
            pairs = self.rows.pairs(order, self.gains)
            whole = [Pairs(*x) for x in zip(pairs, self.totals, self.ends, strict=True)]
        else:
            sums = order.whole.pulls(self.gains).sum(axis=1)
            total = np.array([pull for pull, _, _ in self.ideal])
            whole = [Pairs(s[None], t[None], np.empty(0)) for s, t in zip(sums, total, strict=True)]
        return [
            {"utility": pair, **self._within(i, pulls[i], reached[i])}
            for i, pair in enumerate(whole)
        ]

    def _within(self, i: int, pulls: Floats, reached: Floats) -> dict[str, Metric]:
        _, most, ideal = self.ideal[i]
        within = (1 + ratio(pulls, most)) / 2
        differ, wanted = most > 0, ideal > 0
        return {
            "utility_within_user": self._mean(within, most, differ),
            "gauc": self._mean(within, self.rows.lists.sizes.astype(np.float64), differ),
            "ndcg": self._mean(ratio(reached, ideal), np.ones(len(wanted)), wanted),
        }

    def _mean(self, value: Floats, weight: Floats, defined: NDArray[np.bool_]) -> Mean:
        above, below = np.zeros(self.rows.people), np.zeros(self.rows.people)
        weight = np.where(defined, weight, 0)
        above[self.rows.lists.present] = np.where(defined, value, 0) * weight
        below[self.rows.lists.present] = weight
        return Mean(above, below)

    def xauc(self, score: Floats, i: int, censored: Censored = None) -> Pairs:
        """Return the XAUC of a gain, whose pairs count alike."""
        ones, everyone = np.ones(len(self.rows.person)), np.zeros_like(self.rows.person)
        here, cut = score[self.rows.known], None if censored is None else censored[self.rows.known]
        ordered, comparable = pair_weights(self.gains[i], here, ones, everyone, cut)
        pull, total = (self.rows.by_person(x) for x in (2 * ordered - comparable, comparable))
        return Pairs(pull, total, self.ends[i])
