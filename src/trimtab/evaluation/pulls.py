"""The utility of one order of all rows, for many weightings of them: what a resample costs most."""

import numpy as np
from numpy.typing import NDArray

from trimtab.evaluation.metrics import Weights, concordance, observed
from trimtab.evaluation.sorting import Floats, Rows, codes_of, edges, order_of

_WHOLE = 1 << 26
"""Rows whose draws, each at most 15, can be summed twice in 32 bits."""


class Pulls:
    """Rows sorted by score, once; `metrics.utility`, and with gains of 0 and 1 the AUC.

    Pairs are worth as much if all gains are lower by a constant. With the commonest gain for it,
    only other rows pull: a weighting costs one sum over all rows, the rest over those.

    Parameters
    ----------
    users
        Each row's user: a weighting is of users, times the rows' own weights.
    """

    def __init__(self, gain: Rows, score: Rows, users: Rows, weight: Weights = None) -> None:
        gain, row_weight, score, users = observed(gain, weight, score, users)
        self._defined = not np.isnan(score).any()
        order = order_of(score)
        self._users = users[order]
        alike = bool((row_weight == 1).all())
        self._weight = None if alike else row_weight[order]
        score = score[order]
        distinct, codes = codes_of(gain[order])
        self._common = int(np.bincount(codes, minlength=1).argmax())
        self._rows = np.flatnonzero(codes != self._common)
        self._codes = codes[self._rows]
        self._gains = distinct - distinct[self._common] if distinct.size else distinct
        self._worth = self._gains[self._codes]
        ties = edges(score)
        tie = np.searchsorted(ties, self._rows, side="right")
        self._starts, self._ends = ties[tie - 1], ties[tie]
        self._drawn = np.empty(score.size, dtype=np.uint8)
        whole = np.int32 if score.size < _WHOLE else np.int64
        self._sums = np.zeros(score.size + 1, dtype=whole if alike else np.float64)

    def __call__(self, draws: NDArray[np.uint8]) -> float:
        """Return the utility where each user counts as often as drawn."""
        if not self._defined:
            return float("nan")
        rows, drawn = self._sums[1:], self._drawn
        np.take(draws, self._users, out=drawn, mode="clip")
        if self._weight is not None:
            drawn = np.multiply(drawn, self._weight, out=rows)
        paid = drawn[self._rows].astype(np.float64)
        np.cumsum(drawn, dtype=rows.dtype, out=rows)
        whole = float(self._sums[-1])
        middle = self._sums[self._starts]
        middle += self._sums[self._ends]
        pull = (paid * self._worth) @ (middle - whole)
        return float(concordance(np.array(pull), np.array(self._ideal(paid, whole))))

    def _ideal(self, paid: Floats, whole: float) -> float:
        """Return the pull of rows that are sorted by their gain."""
        rows = np.bincount(self._codes, paid, self._gains.size)
        if rows.size:
            rows[self._common] = whole - rows.sum()
        upto = rows.cumsum()
        return float(self._gains * rows @ (2 * upto - rows - whole))
