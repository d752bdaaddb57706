"""Metrics against scikit-learn, scipy and their quadratic definitions."""

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error, roc_auc_score

from trimtab.evaluation import metrics

Floats = NDArray[np.float64]
Worth = Callable[[float, float], float]
Columns = tuple[Floats, Floats, Floats, NDArray[np.int64]]

OVER_ALL: list[Callable[..., float]] = [
    metrics.auc,
    metrics.utility,
    metrics.xauc,
    metrics.log_loss,
    metrics.normalised_entropy,
    metrics.pcoc,
    metrics.expected_calibration_error,
    metrics.mean_absolute_error,
    metrics.root_mean_squared_error,
]
WITHIN: list[Callable[..., float]] = [
    metrics.grouped_auc,
    metrics.utility_within,
    metrics.grouped_xauc,
]
ORDERING = [metrics.auc, metrics.utility, metrics.xauc]

BINARY = st.sampled_from([0.0, 1.0, float("nan")])
AMOUNT = st.sampled_from([-2.0, -0.5, 0.0, 1.0, 1.0, 2.5, 7.0, float("nan")])


def rows(label: st.SearchStrategy[float], weight: list[float]) -> st.SearchStrategy[Columns]:
    row = st.tuples(
        label,
        st.sampled_from([0.1, 0.2, 0.2, 0.5, 0.7, 0.9]),
        st.sampled_from(weight),
        st.integers(-1, 2),
    )

    def columns(table: list[tuple[float, float, float, int]]) -> Columns:
        label, prediction, weight, group = zip(*table, strict=True) if table else ((),) * 4
        return (
            np.array(label, dtype=np.float64),
            np.array(prediction, dtype=np.float64),
            np.array(weight, dtype=np.float64),
            np.array(group, dtype=np.int64),
        )

    return st.lists(row, max_size=14).map(columns)


def by_hand(label: Floats, prediction: Floats, weight: Floats, worth: Worth) -> tuple[float, float]:
    """Numerator and denominator of a share of concordant pairs, pair by pair."""
    kept = [row for row in zip(label, prediction, weight, strict=True) if not np.isnan(row[0])]
    above = below = 0.0
    for (y, s, w), (y_low, s_low, w_low) in product(kept, kept):
        pair = w * w_low * worth(y, y_low)
        above += pair * ((s > s_low) + (s == s_low) / 2)
        below += pair
    return above, below


def users(*columns: NDArray[np.generic], group: NDArray[np.int64]) -> Iterator[list[Floats]]:
    for user in np.unique(group):
        yield [np.asarray(column[group == user], dtype=np.float64) for column in columns]


def difference(higher: float, lower: float) -> float:
    return max(higher - lower, 0.0)


def different(higher: float, lower: float) -> float:
    return float(higher > lower)


def share(above: float, below: float) -> float:
    return above / below if below > 0 else float("nan")


def same(value: float, expected: float) -> bool:
    return value == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


@given(rows(BINARY, [0.0, 0.25, 1.0, 3.0]))
@settings(deadline=None)
def test_auc_is_its_quadratic_definition(table: Columns) -> None:
    label, prediction, weight, _ = table
    assert same(
        metrics.auc(label, prediction, weight),
        share(*by_hand(label, prediction, weight, different)),
    )


@given(rows(AMOUNT, [0.0, 0.25, 1.0, 3.0]))
@settings(deadline=None)
def test_utility_and_xauc_are_their_quadratic_definitions(table: Columns) -> None:
    label, score, weight, _ = table
    utility = share(*by_hand(label, score, weight, difference))
    xauc = share(*by_hand(label, score, weight, different))
    assert same(metrics.utility(label, score, weight), utility)
    assert same(metrics.xauc(label, score, weight), xauc)


@given(rows(AMOUNT, [0.0, 0.25, 1.0, 3.0]))
@settings(deadline=None)
def test_utility_within_sums_the_users_numerators_and_denominators(table: Columns) -> None:
    gain, score, weight, group = table
    sums = [by_hand(*columns, difference) for columns in users(gain, score, weight, group=group)]
    expected = share(sum(above for above, _ in sums), sum(below for _, below in sums))
    assert same(metrics.utility_within(gain, score, group, weight), expected)


@pytest.mark.parametrize("metric", [metrics.grouped_auc, metrics.grouped_xauc])
@given(table=rows(BINARY, [0.0, 0.25, 1.0, 3.0]), amounts=rows(AMOUNT, [0.0, 0.25, 1.0, 3.0]))
@settings(deadline=None)
def test_grouped_metrics_weigh_users_by_their_rows(
    metric: Callable[..., float], table: Columns, amounts: Columns
) -> None:
    label, prediction, weight, group = table if metric is metrics.grouped_auc else amounts
    above = below = 0.0
    for y, p, w in users(label, prediction, weight, group=group):
        ahead, pairs = by_hand(y, p, w, different)
        if pairs > 0:
            rows_of_user = w[~np.isnan(y)].sum()
            above, below = above + rows_of_user * ahead / pairs, below + rows_of_user
    assert same(metric(label, prediction, group, weight), share(above, below))


def test_parts_name_the_groups_where_the_metric_is_defined() -> None:
    label = np.array([1.0, 0.0, 1.0, 1.0, 0.0, np.nan])
    prediction = np.array([0.9, 0.1, 0.3, 0.2, 0.2, 0.1])
    group = np.array([70, 70, -5, 8, 8, 8])
    parts = metrics.grouped_auc_parts(label, prediction, group)
    assert parts.group.tolist() == [8, 70]
    assert parts.value.tolist() == [0.5, 1.0]
    assert parts.weight.tolist() == [2.0, 2.0]
    utilities = metrics.utility_within_parts(10 * label, prediction, group)
    assert utilities.value.tolist() == [0.5, 1.0]
    assert utilities.weight.tolist() == [10.0, 10.0]
    assert metrics.grouped_xauc_parts(label, prediction, group).value.tolist() == [0.5, 1.0]


@pytest.mark.parametrize("decimals", [1, 3, 12])
def test_auc_is_scikit_learns(decimals: int) -> None:
    random = np.random.default_rng(decimals)
    label, weight = random.integers(0, 2, 5000), random.random(5000)
    prediction = np.round(label * 0.2 + random.random(5000), decimals)
    assert same(metrics.auc(label, prediction), roc_auc_score(label, prediction))
    assert same(
        metrics.auc(label, prediction, weight),
        roc_auc_score(label, prediction, sample_weight=weight),
    )


def test_grouped_auc_is_scikit_learns_by_user() -> None:
    random = np.random.default_rng(0)
    group = random.integers(0, 300, 3000)
    label, prediction = random.integers(0, 2, 3000), random.random(3000).round(2)
    scores, sizes = [], []
    for y, p in users(label, prediction, group=group):
        if 0 < y.sum() < y.size:
            scores.append(roc_auc_score(y, p))
            sizes.append(y.size)
    expected = float(np.average(scores, weights=sizes))
    assert same(metrics.grouped_auc(label, prediction, group), expected)


@pytest.mark.parametrize("rows_", [2, 3, 64, 65, 1000])
def test_xauc_without_ties_is_kendalls_tau(rows_: int) -> None:
    random = np.random.default_rng(rows_)
    label, prediction = random.normal(size=(2, rows_))
    tau = stats.kendalltau(label, prediction).statistic
    assert same(metrics.xauc(label, prediction), (1 + tau) / 2)


def test_xauc_of_censored_labels_knows_taste_from_length() -> None:
    random = np.random.default_rng(0)
    rows_ = 1500
    taste, length = random.normal(size=rows_), np.exp(random.normal(3, 1, rows_))
    wanted = np.exp(3 + taste + random.normal(0, 0.5, rows_))
    seen, cut = np.minimum(wanted, length), wanted >= length
    known = (seen[:, None] < seen) & ~cut[:, None]
    right = (taste[:, None] < taste) & known
    assert metrics.xauc(seen, taste, censored=cut) == pytest.approx(right.sum() / known.sum())
    assert metrics.xauc(seen, taste, censored=cut) > 0.85
    assert metrics.xauc(seen, length, censored=cut) == pytest.approx(0.5, abs=0.03)
    assert metrics.xauc(seen, length) > metrics.xauc(seen, taste)


def test_xauc_within_users_counts_the_pairs_that_are_known() -> None:
    random = np.random.default_rng(0)
    label, score = random.integers(0, 9, 400).astype(float), random.random(400)
    label[:9] = np.nan
    group, cut = random.integers(0, 30, 400), random.random(400) < 0.4
    parts = metrics.grouped_xauc_parts(label, score, group, censored=cut)
    for user, value in zip(parts.group, parts.value, strict=True):
        mine = group == user
        expected = metrics.xauc(label[mine], score[mine], censored=cut[mine])
        assert value == pytest.approx(expected)
    assert np.isnan(metrics.xauc(label, score, censored=np.ones(400, dtype=bool)))


def test_utility_of_known_orders() -> None:
    random = np.random.default_rng(0)
    gain = random.normal(size=2000)
    assert metrics.utility(gain, 3 * gain + 1) == pytest.approx(1)
    assert metrics.utility(gain, -gain) == pytest.approx(0)
    assert metrics.utility(gain, np.zeros(2000)) == 0.5
    assert metrics.utility(gain, random.random(2000)) == pytest.approx(0.5, abs=0.05)
    noisy = gain + random.normal(size=2000)
    assert same(metrics.utility(gain, noisy), metrics.utility(2 * gain - 40, noisy))


def test_utility_of_a_binary_gain_is_auc_and_xauc() -> None:
    random = np.random.default_rng(0)
    label, score = random.integers(0, 2, 999), random.random(999).round(2)
    group = random.integers(0, 40, 999)
    assert same(metrics.utility(label, score), metrics.auc(label, score))
    assert same(metrics.xauc(label, score), metrics.auc(label, score))
    assert same(metrics.grouped_xauc(label, score, group), metrics.grouped_auc(label, score, group))


def test_log_loss_is_scikit_learns_to_the_ends() -> None:
    random = np.random.default_rng(0)
    label, weight = random.integers(0, 2, 500), random.random(500)
    prediction = random.random(500)
    prediction[:4], label[:4] = [0, 1, 0, 1], [0, 0, 1, 1]
    assert same(metrics.log_loss(label, prediction), log_loss(label, prediction))
    weighted = log_loss(label, prediction, sample_weight=weight)
    assert same(metrics.log_loss(label, prediction, weight), weighted)
    assert metrics.row_log_loss(np.array([1.0]), np.array([0.0])) == pytest.approx(36, abs=0.1)
    assert np.isnan(metrics.row_log_loss(np.array([np.nan]), np.array([0.2])))


def test_normalised_entropy_of_the_base_rate_is_one() -> None:
    label, weight = np.array([1.0, 0.0, 0.0, np.nan]), np.array([2.0, 1.0, 1.0, 9.0])
    assert same(metrics.normalised_entropy(label, np.full(4, 0.5), weight), 1)
    assert metrics.normalised_entropy(label, np.array([0.9, 0.1, 0.1, 0.5]), weight) < 0.2


def test_errors_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    label, prediction, weight = random.random((3, 300))
    mean = mean_absolute_error(label, prediction, sample_weight=weight)
    square = mean_squared_error(label, prediction, sample_weight=weight)
    assert same(metrics.mean_absolute_error(label, prediction, weight), mean)
    assert same(metrics.root_mean_squared_error(label, prediction, weight), square**0.5)


def test_pcoc_is_predicted_over_observed() -> None:
    label, prediction = np.array([1.0, 3.0, np.nan, 5.0]), np.array([2.0, 2.0, 9.0, 1.0])
    assert same(metrics.pcoc(label, prediction, np.array([1.0, 2.0, 1.0, 1.0])), 7 / 12)


def test_pcoc_of_labels_below_0_is_not_told() -> None:
    label = np.array([-1.0, 0.5, 0.51])
    assert np.isnan(metrics.pcoc(label, label + 1))
    assert same(metrics.pcoc(label, label + 1, np.array([0.0, 1.0, 1.0])), 3.01 / 1.01)


def test_reliability_has_bins_of_equal_weight() -> None:
    random = np.random.default_rng(0)
    prediction = random.random(1000)
    label = (random.random(1000) < prediction).astype(np.float64)
    curve = metrics.reliability(label, prediction, bins=20)
    assert curve.rows.tolist() == [50.0] * 20
    inside = np.argsort(prediction)[100:150]
    assert same(curve.predicted[2], prediction[inside].mean())
    assert same(curve.observed[2], label[inside].mean())
    error = np.abs(curve.predicted - curve.observed).mean()
    assert same(metrics.expected_calibration_error(label, prediction), error)


def test_reliability_keeps_ties_in_one_bin() -> None:
    prediction = np.array([0.1] * 30 + [0.5] * 60 + [0.9] * 10)
    label = np.arange(100) % 2
    curve = metrics.reliability(label, prediction, bins=4)
    assert curve.rows.tolist() == [30.0, 60.0, 10.0]
    assert curve.predicted == pytest.approx([0.1, 0.5, 0.9])
    assert metrics.reliability(label, np.full(100, 0.3)).rows.tolist() == [100.0]


@pytest.mark.parametrize("metric", OVER_ALL)
@given(table=rows(BINARY, [0.0, 1.0, 2.0, 5.0]))
@settings(deadline=None, max_examples=40)
def test_a_weight_counts_copies_of_the_row(metric: Callable[..., float], table: Columns) -> None:
    label, prediction, weight, _ = table
    copies = np.repeat(np.arange(label.size), weight.astype(int))
    assert same(metric(label, prediction, weight), metric(label[copies], prediction[copies]))


@pytest.mark.parametrize("metric", WITHIN)
@given(table=rows(AMOUNT, [0.0, 1.0, 2.0, 5.0]))
@settings(deadline=None, max_examples=40)
def test_a_weight_counts_copies_within_users(metric: Callable[..., float], table: Columns) -> None:
    label, prediction, weight, group = table
    copies = np.repeat(np.arange(label.size), weight.astype(int))
    weighted = metric(label, prediction, group, weight)
    assert same(weighted, metric(label[copies], prediction[copies], group[copies]))


@pytest.mark.parametrize("metric", OVER_ALL)
def test_rows_without_a_label_are_left_out(metric: Callable[..., float]) -> None:
    random = np.random.default_rng(0)
    label, prediction = random.integers(0, 2, 50).astype(np.float64), random.random(50)
    label[::3] = np.nan
    seen = ~np.isnan(label)
    assert metric(label, prediction) == metric(label[seen], prediction[seen])
    prediction[::3] = np.nan
    assert metric(label, prediction) == metric(label[seen], prediction[seen])


@pytest.mark.parametrize("metric", OVER_ALL)
def test_nothing_to_measure_is_nan(metric: Callable[..., float]) -> None:
    label, prediction = np.array([1.0, 0.0]), np.array([0.7, 0.2])
    assert np.isnan(metric(label[:0], prediction[:0]))
    assert np.isnan(metric(label, prediction, np.zeros(2)))
    assert np.isnan(metric(np.full(2, np.nan), prediction))
    assert np.isnan(metric(label, np.array([0.7, np.nan])))


@pytest.mark.parametrize("metric", WITHIN)
def test_no_group_with_pairs_is_nan(metric: Callable[..., float]) -> None:
    label, prediction, group = np.array([1.0, 0.0]), np.array([0.7, 0.2]), np.array([3, 4])
    assert np.isnan(metric(label[:0], prediction[:0], group[:0]))
    assert np.isnan(metric(label, prediction, group))
    assert np.isnan(metric(label, np.array([0.7, np.nan]), np.array([3, 3])))
    assert metric(label, prediction, np.array([3, 3])) == 1


@pytest.mark.parametrize("metric", [*ORDERING, metrics.normalised_entropy])
@pytest.mark.parametrize("label", [[1.0], [0.0, 0.0], [1.0, 1.0]])
def test_one_class_has_no_order(metric: Callable[..., float], label: list[float]) -> None:
    assert np.isnan(metric(np.array(label), np.linspace(0.1, 0.9, len(label))))


def test_one_row_has_errors_and_calibration() -> None:
    label, prediction = np.array([1.0]), np.array([0.5])
    assert same(metrics.log_loss(label, prediction), np.log(2))
    assert metrics.pcoc(label, prediction) == 0.5
    assert metrics.expected_calibration_error(label, prediction) == 0.5
    assert metrics.mean_absolute_error(label, prediction) == 0.5


@pytest.mark.parametrize("metric", OVER_ALL)
@pytest.mark.parametrize("kind", [np.bool_, np.int8, np.float32])
def test_types_of_columns_do_not_matter(metric: Callable[..., float], kind: type) -> None:
    random = np.random.default_rng(0)
    label, prediction = random.integers(0, 2, 400), random.random(400).astype(np.float32)
    expected = metric(label.astype(np.float64), prediction.astype(np.float64))
    assert same(metric(label.astype(kind), prediction), expected)


@pytest.mark.parametrize("metric", ORDERING)
def test_infinite_scores_order_and_tie(metric: Callable[..., float]) -> None:
    score = np.array([-np.inf, np.inf, -np.inf, np.inf])
    assert metric(np.array([0.0, 1.0, 1.0, 1.0]), score) == pytest.approx(2.5 / 3)


def test_wrong_columns_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equal lengths.*\(2,\), \(2,\), \(3,\)"):
        metrics.auc(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match=r"weights >= 0.*-1"):
        metrics.auc(np.zeros(2), np.zeros(2), np.array([1.0, -1.0]))
    with pytest.raises(ValueError, match="weights >= 0"):
        metrics.auc(np.zeros(2), np.zeros(2), np.array([1.0, np.nan]))
