"""Thousands of weightings at once: what each order does to every target, without intervals."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.lists import shared

_CHUNK = 64
"""Weightings that one thread takes at a time."""


@dataclass(frozen=True)
class Scanned:
    """What each weighting's order does.

    Attributes
    ----------
    utility
        Of the fused gain ``g = sum_k w_k y_k``, over the rows on which all of it is known; what a
        row's scene does not have counts as 0.
    by_target
        Utility of each target's own label, over the rows where it is known: the AUC of a binary
        target, and the share of differences in order of a quantity.
    """

    utility: Floats  # [weightings]
    by_target: Floats  # [weightings, targets]


class Scan:
    """Scores additive weightings of calibrated predictions: one sort each.

    With ``r_i`` the rank of row i by score (ties share their mean) and ``n`` rows, the pairs that
    are in order less those that are not are worth ``S_k = sum_i y_ki (2 r_i - n - 1)``, which is
    linear in the label. So one order gives every target's ``(1 + S_k / D_k) / 2``, ``D_k`` being
    the same sum over the label's own order, and the fused gain's from ``sum_k w_k S_k``.

    Parameters
    ----------
    targets
        Targets that are weighed and measured.
    """

    def __init__(self, candidates: Candidates, targets: Sequence[str]) -> None:
        self.targets = list(targets)
        self._predictions = np.stack([candidates.prediction(name) for name in targets])
        labels = np.stack([candidates.labels[name] for name in targets])
        known = ~np.isnan(labels)
        absent = [np.isnan(candidates.predictions[name]) for name in targets]
        self._whole = (known | absent).all(0)  # A target that a scene lacks adds nothing there.
        self._labels = np.ascontiguousarray(np.nan_to_num(labels))
        self._known = known
        self._complete = bool(known.all())
        self._ideal = np.array([_pull(y[here], y[None, here])[0] for y, here in self._each()])
        self._gains = _Gains(self._labels[:, self._whole])

    def _each(self) -> list[tuple[Floats, NDArray[np.bool_]]]:
        return list(zip(self._labels, self._known, strict=True))

    def many(self, weights: Floats, *, threads: int = 2) -> Scanned:
        """Score weightings, ``[weightings, targets]``; utilities that are not defined are NaN."""
        weights = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        parts = np.array_split(weights, max(1, -(-len(weights) // _CHUNK)))
        with ThreadPoolExecutor(max_workers=threads) as pool:
            rows = [row for part in pool.map(self._part, parts) for row in part]
        found = np.array(rows).reshape(len(weights), 1 + len(self.targets))
        return Scanned(found[:, 0], found[:, 1:])

    def _part(self, weights: Floats) -> list[Floats]:
        return [self._one(weight) for weight in weights]

    def _one(self, weight: Floats) -> Floats:
        score = _fused(weight, self._predictions)
        if self._complete:
            pulls = _pull(score, self._labels)
            fused = pulls @ weight
        else:
            pulls = np.array([_pull(score[here], y[None, here])[0] for y, here in self._each()])
            fused = _pull(score[self._whole], self._labels[:, self._whole]) @ weight
        pulls, ideal = np.append(fused, pulls), np.append(self._gains.ideal(weight), self._ideal)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(ideal > 0, np.clip((1 + pulls / ideal) / 2, 0, 1), np.nan)


class _Gains:
    """What the pairs of a weighting's gains are worth.

    Equal labels are counted together, where that leaves few. Else rows stand by their labels, the
    one with most values changing fastest: any weighting's gains then are a few rising or falling
    runs, which a merge sort finds, ten times as fast as sorting them anew.
    """

    def __init__(self, labels: Floats) -> None:
        distinct, rows = np.unique(labels, axis=1, return_counts=True)
        few = 4 * len(rows) < labels.shape[1]
        self.ideal = self._counted if few else self._sorted
        values = [len(np.unique(label)) for label in labels]
        by_label = np.lexsort(labels[np.argsort(values)[::-1]])
        self._labels = distinct if few else labels[:, by_label]
        self._rows = rows.astype(np.float64)

    def _sorted(self, weight: Floats) -> float:
        """Return ``sum_ij (g_i - g_j)+`` of the gains ``g = labels @ weight``."""
        gain = np.sort(_fused(weight, self._labels), kind="stable")
        return float(_dot(gain[None], _positions(len(gain)))[0])

    def _counted(self, weight: Floats) -> float:
        gain = _fused(weight, self._labels)
        order = np.argsort(gain)
        rows, gain = self._rows[order], gain[order]
        below = np.cumsum(rows) - rows
        return float((gain * rows * (2 * below + rows - rows.sum())).sum())


def _positions(rows: int) -> Floats:
    """Return ``2 r - n - 1`` of the ranks r = 1 .. n."""
    return np.arange(1.0 - rows, rows, 2.0)


def _pull(score: Floats, values: Floats) -> Floats:
    """Return ``sum_i v_i (2 r_i - n - 1)`` of each column, ``r`` the rank by score, ties shared."""
    order = np.argsort(score)
    ordered, position = score[order], _positions(len(score))
    tied = ordered[1:] == ordered[:-1]
    if tied.any():
        position = shared(position, tied)
    of_row = np.empty_like(position)
    of_row[order] = position
    return _dot(values, of_row)


# Not BLAS: its threads wait for each other over products as thin as these.


def _fused(weight: Floats, columns: Floats) -> Floats:
    """Return ``sum_k w_k c_k``."""
    return np.asarray(np.einsum("k,kn->n", weight, columns))


def _dot(columns: Floats, position: Floats) -> Floats:
    return np.asarray(np.einsum("kn,n->k", columns, position))
