"""Metrics of one target, from a column of labels and a column of predictions.

All functions take arrays of one axis and return a float. A NaN label is missing and its row is left
out; a row of weight 2 counts as two rows, of weight 0 as none. What is not defined (no rows, one
class, a NaN prediction) is NaN. Columns of different lengths and negative weights raise ValueError.

Ordering metrics are shares of concordant pairs, one tied in the score counting half, and so are
``(1 + pull / total) / 2``: all pairs are worth ``total``, the concordant ones less the discordant
ones ``pull``, which takes one sort if a pair is worth ``w_i w_j |g_i - g_j|`` (`Ranking`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trimtab.evaluation.pairs import pair_weights
from trimtab.evaluation.sorting import Floats as Floats
from trimtab.evaluation.sorting import Rows as Rows
from trimtab.evaluation.sorting import codes_of, edges, rising, sums, then_by

Weights = Rows | None
Censored = Rows | None
"""Rows known only to have at least their label, as booleans; None where every label is exact."""


class Parts(NamedTuple):
    """A metric within groups before its mean: an entry for each group where it is defined."""

    group: Rows
    value: Floats
    weight: Floats

    def mean(self) -> float:
        """Mean of the groups' values by their weights."""
        return _mean(self.value, self.weight)


@dataclass(frozen=True)
class Bins:
    """Mean prediction, mean label and weight of the rows of each bin, lowest predictions first."""

    predicted: Floats
    observed: Floats
    rows: Floats


def auc(label: Rows, prediction: Rows, weight: Weights = None) -> float:
    """Area under the ROC curve: the share of pairs of a 1 and a 0 with the 1 ahead, ties half."""
    return grouped_auc(label, prediction, np.zeros_like(label, dtype=np.int8), weight)


def grouped_auc(label: Rows, prediction: Rows, group: Rows, weight: Weights = None) -> float:
    """GAUC, ``sum n_u AUC_u / sum n_u`` over groups with both classes, ``n_u`` a group's weight.

    Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018, section 6.3.
    """
    return grouped_auc_parts(label, prediction, group, weight).mean()


def grouped_auc_parts(label: Rows, prediction: Rows, group: Rows, weight: Weights = None) -> Parts:
    """AUC and weight of each group that has both classes."""
    label, row_weight, prediction, group = observed(label, weight, prediction, group)
    positive, ranking = label > 0, Ranking(prediction, group)
    ones, zeros = ranking.total(row_weight * positive), ranking.total(row_weight * ~positive)
    value = concordance(ranking.pull(positive, row_weight), ones * zeros)
    return _defined(ranking.groups, value, ones + zeros, worth=ones * zeros)


def utility(gain: Rows, score: Rows, weight: Weights = None) -> float:
    """Share of the gains' differences that the scores put in order, ties half; gains may be < 0.

    ``C = sum_ij (g_i-g_j)+ [1(s_i>s_j) + 1(s_i=s_j)/2] / sum_ij (g_i-g_j)+``: 1 for the ideal
    order, .5 for a random one, and the AUC for gains of 0 and 1.
    """
    return utility_within(gain, score, np.zeros_like(gain, dtype=np.int8), weight)


def utility_within(gain: Rows, score: Rows, group: Rows, weight: Weights = None) -> float:
    """Numerators of `utility` of all groups over their denominators: pairs are within a group."""
    return utility_within_parts(gain, score, group, weight).mean()


def utility_within_parts(gain: Rows, score: Rows, group: Rows, weight: Weights = None) -> Parts:
    """Each group's utility, with its denominator as weight, where it has two different gains."""
    gain, row_weight, score, group = observed(gain, weight, score, group)
    ranking, ideal = Ranking(score, group), Ranking(gain, group).pull(gain, row_weight)
    value = concordance(ranking.pull(gain, row_weight), ideal)
    return _defined(ranking.groups, value, ideal, worth=ideal)


def xauc(label: Rows, prediction: Rows, weight: Weights = None, censored: Censored = None) -> float:
    """Share of the pairs with different labels that the predictions put in order, ties half.

    Zhan et al., "Deconfounding Duration Bias in Watch-time Prediction for Video Recommendation",
    KDD 2022, but over all pairs, not a sample; and of censored labels over those whose order is
    known, which is Harrell's C (JAMA 1982). O(n log n).

    Parameters
    ----------
    censored
        Rows known only to have at least their label: a pair in which theirs is the smaller one
        does not count.
    """
    return grouped_xauc(label, prediction, np.zeros_like(label, dtype=np.int8), weight, censored)


def grouped_xauc(
    label: Rows, prediction: Rows, group: Rows, weight: Weights = None, censored: Censored = None
) -> float:
    """XGAUC: mean `xauc` of the groups with a pair that counts, by their weight as in GAUC."""
    return grouped_xauc_parts(label, prediction, group, weight, censored).mean()


def grouped_xauc_parts(
    label: Rows, prediction: Rows, group: Rows, weight: Weights = None, censored: Censored = None
) -> Parts:
    """XAUC and weight of each group that has a pair that counts."""
    told = () if censored is None else (censored,)
    label, row_weight, prediction, group, *cut = observed(label, weight, prediction, group, *told)
    groups, code = codes_of(group)
    pairs = pair_weights(label, prediction, row_weight, code, *cut)
    concordant, comparable, rows = (np.bincount(code, row_weight * x) for x in (*pairs, 1.0))
    return _defined(groups, ratio(concordant, comparable), rows, worth=comparable)


def log_loss(label: Rows, prediction: Rows, weight: Weights = None) -> float:
    """Mean of `row_log_loss`, in nats."""
    label, row_weight, prediction = observed(label, weight, prediction)
    return _mean(row_log_loss(label, prediction), row_weight)


def row_log_loss(label: Rows | float, prediction: Rows | float) -> Floats:
    """``-y log p - (1 - y) log(1 - p)`` of each row, in nats; NaN where the label is.

    Probabilities are clipped by 2.2e-16, the step of float64 at 1: the worst row costs 36 nats.
    """
    chance = np.clip(prediction, 2**-52, 1 - 2**-52, dtype=np.float64)
    return np.asarray(-(label * np.log(chance) + (1.0 - label) * np.log1p(-chance)))


def normalised_entropy(label: Rows, prediction: Rows, weight: Weights = None) -> float:
    """Log loss over the entropy of the base rate: 1 for a model that knows the base rate only.

    He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014, eq. 1.
    """
    label, row_weight, prediction = observed(label, weight, prediction)
    rate = _mean(label, row_weight)
    entropy = row_log_loss(rate, rate) if 0 < rate < 1 else 0.0
    return float(ratio(_mean(row_log_loss(label, prediction), row_weight), entropy))


def pcoc(label: Rows, prediction: Rows, weight: Weights = None) -> float:
    """Predicted over observed: ``sum p / sum y``, of clicks or of any amount of 0 and more.

    Not defined where a label is below 0: a sum about 0 is far from any other.
    """
    label, row_weight, prediction = observed(label, weight, prediction)
    total = row_weight @ label if label.min(initial=0) >= 0 else np.nan
    return float(ratio(row_weight @ prediction, total))


def expected_calibration_error(
    label: Rows, prediction: Rows, weight: Weights = None, bins: int = 20
) -> float:
    """Mean distance of mean prediction and mean label over the bins of `reliability`."""
    curve = reliability(label, prediction, weight, bins)
    return _mean(np.abs(curve.predicted - curve.observed), curve.rows)


def reliability(label: Rows, prediction: Rows, weight: Weights = None, bins: int = 20) -> Bins:
    """Mean prediction and mean label in bins of equal weight.

    Tied predictions share a bin, that of their middle row, so there may be fewer bins than asked.
    """
    label, row_weight, prediction = observed(label, weight, prediction)
    order = rising(prediction)
    label, row_weight, prediction = label[order], row_weight[order], prediction[order]
    ties = edges(prediction)
    below = _below(row_weight)[ties]
    code = np.minimum((below[:-1] + below[1:]) / (2 * below[-1:]) * bins, bins - 1).astype(int)
    bounds = ties[edges(code)]
    rows, predicted, actual = (sums(row_weight * x, bounds) for x in (1.0, prediction, label))
    return Bins(predicted / rows, actual / rows, rows)


def mean_absolute_error(label: Rows, prediction: Rows, weight: Weights = None) -> float:
    """Mean of ``|y - p|``, in the label's unit."""
    label, row_weight, prediction = observed(label, weight, prediction)
    return _mean(np.abs(label - prediction), row_weight)


def root_mean_squared_error(label: Rows, prediction: Rows, weight: Weights = None) -> float:
    """Root of the mean of ``(y - p)^2``, in the label's unit."""
    label, row_weight, prediction = observed(label, weight, prediction)
    return float(np.sqrt(_mean((label - prediction) ** 2, row_weight)))


class Ranking:
    """Rows sorted by score within their group, once, for any number of weightings of them."""

    def __init__(self, score: Rows, group: Rows) -> None:
        groups, codes = codes_of(group)
        order = then_by(rising(score), codes)
        score, group = score[order], codes[order]
        self._order, self._ties, self._groups = order, edges(group, score), edges(group)
        self._blocks = np.searchsorted(self._ties, self._groups)
        self._unscored = np.isnan(score[self._ties[:-1]])
        self.groups = groups

    def total(self, value: Rows) -> Floats:
        """Sum of a value of each row over each group."""
        return sums(value[self._order], self._groups)

    def pull(self, gain: Rows, weight: Floats) -> Floats:
        """For each group, the sum over its pairs with ``s_i > s_j`` of ``w_i w_j (g_i - g_j)``.

        It is the sum of ``w_i g_i`` by the weight below i less that above. Rows are the last axis.
        """
        weight = weight[..., self._order]
        moment = sums(weight * gain[self._order], self._ties)
        moment[..., self._unscored] = np.nan
        below = _below(sums(weight, self._ties))
        ends = below[..., self._blocks]
        whole = np.repeat(ends[..., :-1] + ends[..., 1:], np.diff(self._blocks), axis=-1)
        moment *= below[..., :-1] + below[..., 1:] - whole
        return sums(moment, self._blocks)


def observed(label: Rows, weight: Weights, *columns: Rows) -> tuple[Rows, ...]:
    """Return label, weight (else 1) and columns of the rows with a label and a weight over 0."""
    label = np.asarray(label, dtype=np.float64)
    weight = np.ones(label.size) if weight is None else np.asarray(weight, dtype=np.float64)
    rows = (label, weight, *map(np.asarray, columns))
    shapes, least = [row.shape for row in rows], weight.min(initial=0)
    if shapes != [(label.size,)] * len(rows) or not least >= 0:
        raise ValueError(f"Expected equal lengths and weights >= 0; found {shapes} and {least}.")
    kept = ~np.isnan(label) & (weight > 0)
    return rows if kept.all() else tuple(row[kept] for row in rows)


def ratio(numerator: Rows | float, denominator: Rows | float) -> Floats:
    """Divide; NaN where the denominator is not positive."""
    quotient = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.greater(denominator, 0))
    return quotient


def concordance(pull: Rows, total: Rows) -> Floats:
    """Share of concordant pairs; clipped, as rounding may pass the ends."""
    return np.clip((1 + ratio(pull, total)) / 2, 0, 1)


def _defined(group: Rows, value: Rows, weight: Rows, *, worth: Rows) -> Parts:
    return Parts(group[worth > 0], value[worth > 0], weight[worth > 0])


def _mean(value: Rows, weight: Rows) -> float:
    return float(ratio(weight @ value, weight.sum()))


def _below(weight: Floats) -> Floats:
    below = np.zeros((*weight.shape[:-1], weight.shape[-1] + 1))
    np.cumsum(weight, axis=-1, out=below[..., 1:])
    return below
