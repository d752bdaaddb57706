"""Metrics as ratios of sums over people, so that all of them have the same resamples at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.metrics import ratio
from trimtab.steering.candidates import Floats


class Metric(Protocol):
    """A metric of one order and one gain."""

    @property
    def value(self) -> float:
        """The metric; NaN where it is not defined."""

    def columns(self) -> list[Floats]:
        """Return what is summed over people, ``[people]`` each."""

    def resampled(self, totals: Floats) -> Floats:
        """Return the metric of every resample from the sums, ``[resamples, columns]``."""


@dataclass(frozen=True)
class Mean:
    """A mean over lists, ``sum_l above_l / sum_l below_l``; a list drawn twice is two."""

    above: Floats  # [people]
    below: Floats

    @property
    def value(self) -> float:
        """The mean."""
        return float(ratio(self.above.sum(), self.below.sum()))

    def columns(self) -> list[Floats]:
        """Return the parts of both sums."""
        return [self.above, self.below]

    def resampled(self, totals: Floats) -> Floats:
        """Divide."""
        return ratio(totals[:, 0], totals[:, 1])


@dataclass(frozen=True)
class Pairs:
    """A share of the pairs of all rows that are in order, to first order in the draws.

    Attributes
    ----------
    pull, total
        What each person's rows add to the pairs in order less those not, and to all pairs that
        count, each pair counted at both its rows. A pair of two people is drawn as often as the
        product of their draws, so the ratio of these sums moves half as far as the share does.
    ends
        Whether a person has a gain below the highest, and one above the lowest, ``[2, people]``:
        a resample in which nobody has the one or the other has no pairs.
    """

    pull: Floats  # [people]
    total: Floats
    ends: Floats

    @property
    def value(self) -> float:
        """The share."""
        return float(np.clip((1 + ratio(self.pull.sum(), self.total.sum())) / 2, 0, 1))

    def columns(self) -> list[Floats]:
        """Return the parts of both sums, and the ends."""
        return [self.pull, self.total, *self.ends]

    def resampled(self, totals: Floats) -> Floats:
        """Move twice as far as the ratio."""
        share = (1 + ratio(totals[:, 0], totals[:, 1])) / 2
        moved = np.clip(2 * share - self.value, 0, 1)
        return np.where((totals[:, 2:] > 0).all(axis=1), moved, np.nan)


def resample(metrics: Sequence[Metric], users: UserBootstrap) -> list[Floats]:
    """Return every metric in the same resamples of the people."""
    if not metrics:
        return []
    columns = [metric.columns() for metric in metrics]
    totals = users.totals(np.stack([column for part in columns for column in part], axis=1))
    ends = np.cumsum([len(part) for part in columns])
    parts = np.split(totals, ends[:-1], axis=1)
    return [metric.resampled(part) for metric, part in zip(metrics, parts, strict=True)]
