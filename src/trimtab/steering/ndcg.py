"""NDCG@k within lists: of one order, for many gains, without a loop over lists."""

import numpy as np

from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.metrics import ratio
from trimtab.steering.candidates import Codes, Floats
from trimtab.steering.lists import Lists, blocks


class Ndcg:
    """NDCG@k of lists, ready for any number of scores.

    A list's is ``sum_i g_i / log2(1 + r_i)`` over its first k places r = 1 .. k, over the same of
    its ideal order; each list counts alike in the mean. Jarvelin & Kekalainen, "Cumulated
    gain-based evaluation of IR techniques", TOIS 2002, with the discount of Burges et al., ICML
    2005, and the gain itself where they raise 2 to it, since gains here are weights and amounts.

    Rows whose gain is missing are left out of their list, and lists in which no gain is above 0
    out of the mean. A gain below 0 counts as 0: that row costs the place it takes, since a ratio
    to an ideal near 0 would let a single list decide. Equal scores share the mean discount of
    their places (McSherry & Najork, ECIR 2008).

    Parameters
    ----------
    gains
        ``[gains, rows]``, NaN for "not known".
    group
        The list of each row.
    """

    def __init__(self, gains: Floats, group: Codes, *, k: int = 10) -> None:
        groups, codes = np.unique(group, return_inverse=True)
        self.shape = len(gains), len(groups)
        self._parts = []
        for block in blocks(gains):
            lists, worth = Lists(codes[block.known], k=k), np.maximum(block.gains, 0)
            ideal = [lists.by(gain).discounted(gain[None])[0] for gain in worth]
            self._parts.append((block, lists, worth, np.array(ideal)))

    def by_list(self, score: Floats) -> Floats:
        """Return the NDCG of every gain and list, ``[gains, lists]``, NaN where not defined."""
        found = np.full(self.shape, np.nan)
        for block, lists, worth, ideal in self._parts:
            reached = lists.by(score[block.known]).discounted(worth)
            found[np.ix_(np.asarray(block.which), lists.present)] = ratio(reached, ideal)
        return found

    def mean(self, score: Floats) -> Floats:
        """Return the mean over lists of every gain's NDCG, NaN where no list has one."""
        found = self.by_list(score)
        defined = ~np.isnan(found)
        return ratio(np.where(defined, found, 0).sum(axis=1), defined.sum(axis=1))

    def resampled(self, score: Floats, users: UserBootstrap | None = None) -> Floats:
        """Return the mean in every resample of the lists, ``[gains, resamples]``.

        Parameters
        ----------
        users
            Drawn over ``numpy.arange(lists)``, one a list; the default one when left out.
        """
        users = users or UserBootstrap(np.arange(self.shape[1]))
        return np.array([users.mean(values, values) for values in self.by_list(score)])
