"""Pairs of rows that predictions put in order, counted for each row."""

import numpy as np

from trimtab.evaluation.sorting import (
    Floats,
    Index,
    Rows,
    codes_of,
    edges,
    numbered,
    sums,
    then_by,
)


def pair_weights(
    label: Rows, score: Rows, weight: Floats, group: Rows, censored: Rows | None = None
) -> tuple[Floats, Floats]:
    """Weight of the rows that each row is in order with (ties half), and of those it should be.

    Pairs are of rows of one group with different labels: after a sort by group and label those out
    of order have inverted ranks by group and score, where ties are ranked by label.

    Parameters
    ----------
    censored
        Rows known only to have at least their label. Which of two is larger is not known where the
        smaller label is of such a row, and the pair is none (Harrell et al., "Evaluating the Yield
        of Medical Tests", JAMA 1982).
    """
    group, labels = codes_of(group)[1], codes_of(label)[1]
    order, scores = numbered(score)
    order = then_by(then_by(order, labels), group)
    weight, group, labels, scores = weight[order], group[order], labels[order], scores[order]
    ended = None if censored is None else 1.0 - censored[order]
    by_score = then_by(then_by(np.arange(label.size), scores), group)
    found = _inverted(by_score, weight, edges(group), ended)
    tied = None if ended is None else ended[by_score]
    found += _others(weight[by_score], tied, (group, scores[by_score]), labels[by_score]) / 2
    concordant = np.empty(label.size)
    concordant[by_score] = found
    comparable = _others(weight, ended, (group,), labels)
    np.subtract(comparable, concordant, out=concordant)
    back = np.empty_like(order)
    back[order] = np.arange(label.size)
    concordant = concordant[back]
    concordant[np.isnan(score)] = np.nan
    return concordant, comparable[back]


def _inverted(by_score: Index, weight: Floats, groups: Index, ended: Floats | None) -> Floats:
    """Weight of the rows of its group that each row is inverted with, rows in order of score.

    Groups of about one size are counted together, filled up to a power of two with rows that are
    in order.

    Parameters
    ----------
    ended
        1 for each row that may be the smaller one of a pair, 0 for others; None where all may.
    """
    rank, found = np.empty_like(by_score), np.empty(by_score.size)
    rank[by_score] = np.arange(by_score.size)
    starts, sizes = groups[:-1], np.diff(groups)
    bits = np.frexp(np.maximum(sizes - 1, 0))[1]
    for each in np.unique(bits):
        here = bits == each
        places = np.arange(1 << each)
        inside = places < sizes[here, None]
        at = np.where(inside, starts[here, None] + places, 0)
        ranks = np.where(inside, rank[at] - starts[here, None], places)
        alike = ended is None and (weight == 1).all()
        mass = None if alike else np.where(inside, weight[at], 0.0)
        last = None if ended is None else np.where(inside, ended[at], 0.0)
        found[at[inside]] = _inversions(ranks, mass, last)[inside]
    return found


def _inversions(ranks: Index, mass: Floats | None, ended: Floats | None) -> Floats:
    """Mass (1 each, unless told) that each rank of a permutation a line is inverted with.

    A radix sort from the top bit: a pass splits each block into its low and high ranks, positions
    in order within both; a high one before a low one is an inversion. log2(n) passes of O(n).
    The one before has the smaller label; where ``ended`` is told, it counts by that.
    """
    shape, half = ranks.shape, ranks.shape[1] // 2
    ranks, found = ranks.ravel(), np.zeros(ranks.size)
    mass = None if mass is None else mass.ravel()
    ended = None if ended is None else ended.ravel()
    while half:
        high = (ranks & half) > 0
        split = np.empty((ranks.size // (2 * half), 2, half), dtype=np.intp)
        for side, place in ((0, ~high), (1, high)):
            split[:, side] = np.flatnonzero(place).reshape(-1, half)
        before, lows = _of_other_side(split, half, mass)
        np.subtract(lows, before[:, 1], out=before[:, 1])
        if ended is not None and mass is not None:
            before[:, 0] = _of_other_side(split, half, mass * ended)[0][:, 0]
            before[:, 1] *= ended[split[:, 1]]
        order = split.ravel()
        ranks, found = ranks[order], found[order] + before.ravel()
        mass = None if mass is None else mass[order]
        ended = None if ended is None else ended[order]
        half //= 2
    return found.reshape(shape)


def _of_other_side(split: Index, half: int, mass: Floats | None) -> tuple[Rows, Rows | int]:
    """Mass in the block that stands before each low of highs, each high of lows; of all lows."""
    if mass is None:
        starts = np.arange(0, split.size, 2 * half)[:, None, None]
        return split - starts - np.arange(half), half
    blocks = mass.reshape(-1, 2 * half)
    whole = (blocks.cumsum(axis=1) - blocks).ravel()[split]
    inside = mass[split]
    own = inside.cumsum(axis=2) - inside
    return whole - own, inside[:, 0].sum(axis=1, keepdims=True)


def _others(weight: Floats, ended: Floats | None, within: tuple[Rows, ...], label: Rows) -> Floats:
    """Weight of the rows of its run that have another label; labels rise in each run.

    Where ``ended`` is told, of the smaller ones that ended, and of the larger ones if it did.
    """
    if ended is None:
        return _weight_of_run(weight, *within) - _weight_of_run(weight, *within, label)
    runs, own = edges(*within), edges(*within, label)
    run = np.searchsorted(runs, own[:-1], side="right")
    smaller, whole = (np.append(0.0, np.cumsum(x)) for x in (weight * ended, weight))
    below = smaller[own[:-1]] - smaller[runs[run - 1]]
    above = whole[runs[run]] - whole[own[1:]]
    below, above = (np.repeat(x, np.diff(own)) for x in (below, above))
    found: Floats = below + ended * above
    return found


def _weight_of_run(weight: Floats, *keys: Rows) -> Floats:
    starts = edges(*keys)
    return np.repeat(sums(weight, starts), np.diff(starts))
