"""Tests of differences against their definitions, slow twins and numbers worked out by hand."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from trimtab.evaluation.metrics import auc
from trimtab.evaluation.significance import (
    delong,
    delong_p,
    direction,
    holm,
    over_seeds,
    quantile,
    tail,
    verdict,
)

Rows = NDArray[np.float64]


def drawn(rows: int, seed: int = 0) -> tuple[Rows, Rows, Rows]:
    """Two correlated scores of rare positives, with ties."""
    random = np.random.default_rng(seed)
    label = (random.random(rows) < 0.3).astype(float)
    common = random.normal(size=rows)
    first, second = (label + common + random.normal(size=rows) for _ in range(2))
    return label, first.round(1), (second + 0.2 * label).round(1)


def slow_delong(label: Rows, columns: list[Rows]) -> tuple[Rows, Rows]:
    """Every pair of a 1 and a 0: DeLong 1988, eq. 3 to 6."""
    psi = []
    for column in columns:
        ones, zeros = column[label == 1][:, None], column[label == 0][None, :]
        psi.append((ones > zeros) + 0.5 * (ones == zeros))
    of_ones, of_zeros = ([table.mean(axis=axis) for table in psi] for axis in (1, 0))
    m, n = len(of_ones[0]), len(of_zeros[0])
    return np.array([t.mean() for t in psi]), np.cov(of_ones) / m + np.cov(of_zeros) / n


def test_delong_is_its_definition() -> None:
    label, *columns = drawn(300)
    aucs, covariance = delong(label, *columns)
    expected, slow = slow_delong(label, list(columns))
    np.testing.assert_allclose(aucs, expected, rtol=1e-12)
    np.testing.assert_allclose(covariance, slow, rtol=1e-10)
    np.testing.assert_allclose(aucs, [auc(label, column) for column in columns], rtol=1e-12)


def test_delong_of_four_rows_by_hand() -> None:
    # Positives score 3 and 1, negatives 2 and 0: three of four pairs in order. Placements of the
    # positives are 1 and .5, of the negatives .5 and 1, each of variance 1/8: 1/16 + 1/16.
    aucs, covariance = delong(np.array([1, 1, 0, 0]), np.array([3, 1, 2, 0]))
    assert aucs.tolist() == [0.75]
    assert covariance.tolist() == [[0.125]]


def test_delong_agrees_with_a_bootstrap_of_the_rows() -> None:
    label, first, second = drawn(1500)
    _, covariance = delong(label, first, second)
    random = np.random.default_rng(1)
    draws = []
    for _ in range(600):
        rows = random.integers(0, len(label), len(label))
        draws.append(auc(label[rows], second[rows]) - auc(label[rows], first[rows]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert np.std(draws) == pytest.approx(math.sqrt(variance), rel=0.1)


def test_delong_p() -> None:
    label, first, second = drawn(1500)
    aucs, covariance = delong(label, first, second)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    expected = 2 * stats.norm.sf(abs(aucs[1] - aucs[0]) / math.sqrt(variance))
    assert delong_p(label, first, second) == pytest.approx(expected, rel=1e-9)
    assert delong_p(label, second, first) == pytest.approx(expected, rel=1e-9)
    assert delong_p(label, first, first) == 1.0


def test_delong_leaves_missing_labels_out() -> None:
    label, first, second = drawn(200)
    missing = np.concatenate([label, [np.nan, np.nan]])
    more = [np.concatenate([column, [9.0, -9.0]]) for column in (first, second)]
    assert delong_p(missing, *more) == delong_p(label, first, second)


@pytest.mark.parametrize("label", [[], [1, 1, 1], [0, 0, 1], [np.nan] * 3])
def test_delong_is_undefined_with_one_row_of_a_class(label: list[float]) -> None:
    score = np.arange(len(label), dtype=float)
    assert math.isnan(delong_p(np.array(label), score, score))


def test_delong_of_a_prediction_that_is_no_number() -> None:
    label, first, second = drawn(50)
    first[3] = np.nan
    assert math.isnan(delong_p(label, first, second))


@pytest.mark.parametrize("freedom", [1.0, 1.5, 2.0, 7.3, 199.0, 1e6])
@pytest.mark.parametrize("t", [0.0, 0.3, 1.96, 6.0, 50.0])
def test_students_t(t: float, freedom: float) -> None:
    assert tail(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), abs=1e-8)


def test_students_t_with_all_freedom_is_normal() -> None:
    assert tail(1.959963984540054, math.inf) == pytest.approx(0.05, abs=1e-12)
    assert quantile(0.95, 1.0) == pytest.approx(12.706204736, abs=1e-6)
    assert quantile(0.95, math.inf) == pytest.approx(1.959963985, abs=1e-6)


def test_one_seed_knows_the_users_only() -> None:
    draws = np.random.default_rng(0).normal(0.01, 0.004, size=200)
    found = over_seeds(np.array([0.012]), draws, users=1000)
    reach = stats.t.ppf(0.975, 199) * draws.std(ddof=1)
    assert found.difference == 0.012
    np.testing.assert_allclose([found.low, found.high], [0.012 - reach, 0.012 + reach], rtol=1e-6)
    assert found.p == pytest.approx(2 * stats.t.sf(0.012 / draws.std(ddof=1), 199), rel=1e-6)


def test_seeds_and_users_add_up() -> None:
    draws = np.array([0.0, 0.02] * 100)
    seeds = np.array([0.00, 0.01, 0.03])
    found = over_seeds(seeds, draws, users=1000)
    users, trainings = draws.var(ddof=1), seeds.var(ddof=1) / 3
    both = users + trainings
    freedom = both**2 / (users**2 / 199 + trainings**2 / 2)
    reach = stats.t.ppf(0.975, freedom) * math.sqrt(both)
    mean = 0.04 / 3
    np.testing.assert_allclose([found.low, found.high], [mean - reach, mean + reach], rtol=1e-6)


def test_a_false_alarm_is_no_likelier_with_few_users() -> None:
    random = np.random.default_rng(1)
    alarms = []
    for _ in range(2000):
        values = random.normal(size=5)
        drawn = random.poisson(1, size=(200, 5)).clip(min=[1, 0, 0, 0, 0])
        draws = (drawn * values).sum(1) / drawn.sum(1)
        alarms.append(over_seeds(np.array([values.mean()]), draws, users=5).p < 0.05)
    assert np.mean(alarms) < 0.09


def test_one_user_says_nothing() -> None:
    found = over_seeds(np.array([0.1]), np.full(200, 0.1), users=1)
    assert math.isnan(found.low)
    assert math.isnan(found.p)


def test_intervals_and_chances_say_the_same() -> None:
    random = np.random.default_rng(2)
    for _ in range(50):
        seeds, draws = random.normal(0.5, 1, 4), random.normal(0, 0.4, 100)
        found = over_seeds(seeds, draws, users=1000)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_equal_models_do_not_differ() -> None:
    assert over_seeds(np.zeros(3), np.zeros(100), users=1000) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("defined", [0, 1, 80])
def test_few_defined_resamples_say_nothing(defined: int) -> None:
    draws = np.full(100, np.nan)
    draws[:defined] = 0.1
    found = over_seeds(np.array([0.1]), draws, users=1000)
    assert found.difference == 0.1
    assert math.isnan(found.low)
    assert math.isnan(found.p)


def test_holm_by_hand() -> None:
    # Sorted .01, .02, .03, .5 times 4, 3, 2, 1; and none is less than the one before it.
    found = holm({"a": 0.02, "b": 0.5, "c": 0.01, "d": 0.03})
    assert found == pytest.approx({"a": 0.06, "b": 0.5, "c": 0.04, "d": 0.06})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_holm_does_not_count_what_was_not_tested() -> None:
    found = holm({"a": 0.02, "b": math.nan})
    assert found["a"] == 0.02
    assert math.isnan(found["b"])


def test_directions() -> None:
    assert [direction(0.1, 0.01), direction(-0.1, 0.01), direction(0.1, 0.06)] == [1, -1, 0]
    assert direction(math.nan, math.nan) == 0


@pytest.mark.parametrize(
    ("directions", "expected"),
    [
        ([1, 0, 1], "gain"),
        ([-1, 0], "negative transfer"),
        ([1, 0, -1], "seesaw"),
        ([0, 0], "none"),
        ([], "none"),
    ],
)
def test_verdicts(directions: list[int], expected: str) -> None:
    assert verdict(directions) == expected
