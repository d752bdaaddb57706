"""The formula ``rank``: a weighted sum of reciprocal ranks."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, PositiveFloat

from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.formulas.base import Formula, formulas


@formulas.register("rank")
class Rank(Formula):
    """``sum_k w_k / (smoothing + rank_k)`` with ranks by prediction, the best 1, ties sharing.

    Needs no scale and no calibration. Cormack et al., "Reciprocal Rank Fusion", SIGIR 2009, with a
    weight a target.
    """

    kind: Literal["rank"] = "rank"
    weights: dict[str, FiniteFloat] = Field(min_length=1)
    """Prediction to its weight."""
    smoothing: PositiveFloat = 60.0
    """Added to every rank: the larger, the less the first places stand out."""
    within: Literal["user", "all"] = "user"
    """Whether a row is ranked among its user's (or request's) rows or among all."""

    def targets(self) -> list[str]:
        """Return the predictions that are ranked."""
        return list(self.weights)

    def unwanted(self, candidates: Candidates, names: Sequence[str]) -> list[str]:
        """Return those with a weight below 0: ranks do not change where all predictions rise."""
        return [name for name in names if self.weights.get(name, 0) < 0]

    def raw(self, candidates: Candidates) -> Floats:
        """Return the sum of every row."""
        group = {"user": candidates.group, "all": np.zeros(len(candidates), dtype=np.int64)}
        total = np.zeros(len(candidates))
        for name, weight in self.weights.items():
            ranks = ranks_within(candidates.prediction(name), group[self.within])
            total += weight / (self.smoothing + ranks)
        return total


def ranks_within(values: Floats, group: NDArray[np.int64]) -> Floats:
    """Return each value's rank in its group, the highest 1, equal ones their mean rank."""
    order = np.lexsort((-values, group))
    values, group = values[order], group[order]
    new_group = np.append(True, group[1:] != group[:-1])[: len(order)]
    new_value = new_group | np.append(True, values[1:] != values[:-1])[: len(order)]
    first = np.flatnonzero(new_value)
    sizes = np.diff(np.append(first, len(order)))
    starts = np.flatnonzero(new_group)
    start = np.repeat(starts, np.diff(np.append(starts, len(order))))
    ranks = np.empty(len(order))
    ranks[order] = np.repeat(first + (sizes + 1) / 2, sizes) - start
    return ranks
