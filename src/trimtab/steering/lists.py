"""Rows of many lists put in order by a score, all lists at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.evaluation.sorting import then_by
from trimtab.steering.candidates import Codes, Floats


class Lists:
    """Rows of lists, ready for any number of scores: one sort each.

    Parameters
    ----------
    codes
        The list of each row, counted from 0.
    k
        Places of a list that have a discount above 0.
    """

    def __init__(self, codes: Codes, *, k: int) -> None:
        sizes = np.bincount(codes)
        self.present = np.flatnonzero(sizes)
        self.sizes = sizes[self.present]
        self._starts = np.cumsum(self.sizes) - self.sizes
        # Numbers of 16 bits are sorted by radix, ten times as fast as wider ones.
        self._codes = codes.astype(np.min_scalar_type(len(sizes)))
        length = np.repeat(self.sizes, self.sizes)
        below = np.arange(len(codes)) - np.repeat(self._starts, self.sizes)
        above = length - 1 - below
        self._pull = (below - above).astype(np.float64)
        self._discount = np.where(above < k, 1 / np.log2(above + 2.0), 0.0)

    def by(self, score: Floats, order: NDArray[np.intp] | None = None) -> "Arranged":
        """Sort the rows by score within their lists.

        Parameters
        ----------
        order
            ``numpy.argsort(score)``, where it is known already.
        """
        order = np.argsort(score) if order is None else order
        if self._codes.itemsize > 2:
            order = then_by(order, self._codes)
        elif len(self.sizes) > 1:
            order = order[np.argsort(self._codes[order], kind="stable")]
        ordered = score[order]
        tied = ordered[1:] == ordered[:-1]
        tied[self._starts[1:] - 1] = False
        pull, discount = self._pull, self._discount
        if tied.any():
            pull, discount = shared(pull, tied), shared(discount, tied)
        return Arranged(order, self._starts, tied, pull, discount)


@dataclass(frozen=True)
class Arranged:
    """The rows of lists in order of a score, the lowest first.

    Attributes
    ----------
    tied
        Whether a row, but for the first, scores as the one before it in its list.
    pull, discount
        Rows below less rows above; and ``1 / log2(1 + r)`` of the place r from the top, 0 beyond
        k. Equal scores share the mean of theirs, which is what to expect of a random order.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    tied: NDArray[np.bool_]
    pull: Floats
    discount: Floats

    def pulls(self, gains: Floats) -> Floats:
        """Return ``sum_i g_i (below_i - above_i)`` of every list, ``[gains, lists]``."""
        return self._sums(gains, self.pull)

    def discounted(self, gains: Floats) -> Floats:
        """Return ``sum_i g_i d_i`` of every list, ``[gains, lists]``: its DCG."""
        return self._sums(gains, self.discount)

    def _sums(self, gains: Floats, factor: Floats) -> Floats:
        return np.asarray(
            np.add.reduceat(gains.take(self.order, axis=1) * factor, self.starts, axis=1)
        )

    def contributions(self, gains: Floats) -> Floats:
        """Return each row's part in the pairs of one list that holds every row, ``[gains, rows]``.

        It is ``sum_j sign(s_i - s_j) (g_i - g_j)``; the sum over rows counts each pair twice.
        """
        ordered = gains.take(self.order, axis=1)
        first = np.flatnonzero(np.append(True, ~self.tied)[: ordered.shape[1]])
        sums = np.add.reduceat(ordered, first, axis=1)
        below = np.cumsum(sums, axis=1)
        others = np.repeat(2 * below - sums - below[:, -1:], _sizes(first, ordered), axis=1)
        found = np.empty_like(gains)
        found[:, self.order] = ordered * self.pull - others
        return found


def shared(values: Floats, tied: NDArray[np.bool_]) -> Floats:
    """Return the mean of each run of ties in place of its values; cheap where ties are few.

    Parameters
    ----------
    tied
        Whether a value, but for the first, ties with the one before it.
    """
    later = np.flatnonzero(tied)
    runs = np.flatnonzero(np.append(True, np.diff(later) != 1))
    sizes = np.diff(np.append(runs, len(later))) + 1
    starts = np.cumsum(sizes) - sizes
    rows = np.repeat(later[runs] - starts, sizes) + np.arange(sizes.sum())
    found = values.copy()
    found[rows] = np.repeat(np.add.reduceat(values[rows], starts) / sizes, sizes)
    return found


def _sizes(first: NDArray[np.intp], values: Floats) -> NDArray[np.intp]:
    return np.diff(np.append(first, values.shape[-1]))


@dataclass(frozen=True)
class Block:
    """Gains that are known of the same rows.

    Attributes
    ----------
    which
        Places of the gains among all.
    """

    which: Sequence[int]
    known: NDArray[np.bool_]
    gains: Floats  # [which, known rows]


def blocks(gains: Floats) -> list[Block]:
    """Gather gains, ``[gains, rows]`` with NaN for "not known", that are known of the same rows."""
    same: dict[bytes, list[int]] = {}
    known = ~np.isnan(gains)
    for i, rows in enumerate(known):
        same.setdefault(rows.tobytes(), []).append(i)
    return [Block(w, known[w[0]], gains[w][:, known[w[0]]]) for w in same.values()]
