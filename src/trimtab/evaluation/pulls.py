"""The utility of one order of all rows, for many weightings of them: what a resample costs most."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.evaluation.metrics import Weights, concordance, observed
from trimtab.evaluation.sorting import Floats, Index, Rows, codes_of, edges, rising

_ROWS = 1 << 16
"""Rows that are summed together, but for ties of more."""
_FEW = 1 << 26
"""Rows whose draws, each at most 15, can be summed twice in 32 bits, faster than in floats."""


class _Block(NamedTuple):
    """Rows from one place to another, and those of them that pull, by their place in the block."""

    rows: slice
    paid: slice
    places: Index
    starts: Index
    ends: Index


class Pulls:
    """Rows sorted by score, once; `metrics.utility`, and with gains of 0 and 1 the AUC.

    Pairs are worth as much if all gains are lower by a constant. With the commonest gain for it,
    only other rows pull: a weighting costs one sum over all rows, the rest over those.

    Parameters
    ----------
    users
        Each row's user, from 0: a weighting is of users, times the rows' own weights.
    """

    def __init__(self, gain: Rows, score: Rows, users: Rows, weight: Weights = None) -> None:
        gain, row_weight, score, users = observed(gain, weight, score, users)
        self._defined = not np.isnan(score).any()
        order = rising(score)
        ties = edges(score[order])
        self._users = users[order]
        alike = bool((row_weight == 1).all())
        self._weight = None if alike else row_weight[order]
        self._sum: type[Any] = np.int32 if alike and score.size < _FEW else np.float64
        self._gains, codes = codes_of(gain[order])
        self._common = int(np.bincount(codes, minlength=1).argmax())
        if self._gains.size:
            self._gains = self._gains - self._gains[self._common]
        self._rows = np.flatnonzero(codes != self._common)
        self._codes = codes[self._rows]
        self._worth = self._gains[self._codes]
        self._paid = np.empty(self._rows.size)
        self._blocks = list(self._cut(ties))

    def _cut(self, ties: Index) -> Iterator[_Block]:
        """Yield blocks of whole ties, small enough for a processor's cache where these are."""
        cuts = ties[edges(ties[:-1] // _ROWS)] if ties.size > 1 else ties
        tie = np.searchsorted(ties, self._rows, side="right")
        starts, ends, paid = ties[tie - 1], ties[tie], np.searchsorted(self._rows, cuts)
        for (first, last), (a, b) in zip(pairwise(cuts), pairwise(paid), strict=True):
            local = (column[a:b] - first for column in (self._rows, starts, ends))
            yield _Block(slice(first, last), slice(a, b), *local)

    def __call__(self, draws: NDArray[np.uint8]) -> float:
        """Return the utility where each user counts as often as drawn."""
        if not self._defined:
            return float("nan")
        pull = below = 0.0
        for block in self._blocks:
            drawn = draws.take(self._users[block.rows], mode="clip")
            if self._weight is not None:
                drawn = drawn * self._weight[block.rows]
            paid = drawn[block.places].astype(np.float64)
            upto: Rows = np.zeros(drawn.size + 1, dtype=self._sum)
            np.cumsum(drawn, dtype=self._sum, out=upto[1:])
            middle = upto[block.starts] + upto[block.ends] + 2 * below
            pull += float((paid * self._worth[block.paid]) @ middle)
            self._paid[block.paid] = paid
            below += float(upto[-1])
        pull -= below * float(self._paid @ self._worth)
        return float(concordance(np.array(pull), np.array(self._ideal(self._paid, below))))

    def _ideal(self, paid: Floats, whole: float) -> float:
        """Return the pull of rows that are sorted by their gain."""
        rows = np.bincount(self._codes, paid, self._gains.size)
        if rows.size:
            rows[self._common] = whole - rows.sum()
        upto = rows.cumsum()
        return float(self._gains * rows @ (2 * upto - rows - whole))
