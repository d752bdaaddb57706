from collections.abc import Callable

import numpy as np
import pytest

from trimtab.evaluation import metrics
from trimtab.evaluation.intervals import UserBootstrap
from trimtab.steering.ndcg import Ndcg
from trimtab.steering.orders import Orders
from trimtab.steering.resampling import resample


def rows(*, ties: bool = False, missing: bool = False) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(0)
    score, group = random.random(500), random.integers(0, 80, 500)
    click = (random.random(500) < score).astype(float)
    gains = np.stack([click, click * random.exponential(2, 500).round(1), 3 * click - 1 + score])
    if missing:
        gains[1:, random.random(500) < 0.3] = np.nan
        gains[2, :3] = np.nan
    return gains, np.round(score, 1) if ties else score, group


SLOW: dict[str, Callable[..., float]] = {
    "utility": lambda y, s, g: metrics.utility(y, s),
    "utility_within_user": metrics.utility_within,
    "gauc": metrics.grouped_auc,
    "ndcg": lambda y, s, g: float(Ndcg(y[None], g, k=5).mean(s)[0]),
}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("resampled", [False, True])
def test_equal_to_the_metrics_one_by_one(ties: bool, missing: bool, resampled: bool) -> None:
    gains, score, group = rows(ties=ties, missing=missing)
    orders = Orders(gains, group, k=5)
    for i, found in enumerate(orders.of(score, resampled=resampled)):
        for name in set(found) - ({"gauc"} if i else set()):
            slow = SLOW[name](gains[i], score, group)
            assert found[name].value == pytest.approx(slow, abs=1e-12), name
        assert orders.xauc(score, i).value == pytest.approx(metrics.xauc(gains[i], score))


@pytest.mark.parametrize("missing", [False, True])
def test_one_more_gain(missing: bool) -> None:
    gains, score, group = rows(missing=missing)
    whole, added = Orders(gains, group).of(score), Orders(gains[:2], group).with_gain(gains[2])
    again = added.of(score)
    assert [m["ndcg"].value for m in again] == [m["ndcg"].value for m in whole]
    assert [m["utility"].value for m in again] == [m["utility"].value for m in whole]


def test_means_over_lists_have_the_resamples_of_the_metrics() -> None:
    gains, score, group = rows(missing=True)
    orders, users = Orders(gains, group), UserBootstrap(group)
    found = orders.of(score)
    gauc, within = resample([found[0]["gauc"], found[1]["utility_within_user"]], orders.users)
    slow = users.of_groups(metrics.grouped_auc_parts, gains[0], score).resampled()
    np.testing.assert_allclose(gauc, slow)
    slow = users.of_groups(metrics.utility_within_parts, gains[1], score).resampled()
    np.testing.assert_allclose(within, slow)


@pytest.mark.parametrize("missing", [False, True])
def test_xauc_has_the_resamples_of_the_metric(missing: bool) -> None:
    gains, score, group = rows(missing=missing)
    orders = Orders(gains, group)
    for cut in (None, np.random.default_rng(1).random(500) < 0.3):
        (found,) = resample([orders.xauc(score, 1, cut)], orders.users)
        metric = UserBootstrap(group).of_xauc(gains[1], score, censored=cut)
        np.testing.assert_allclose(found, metric.resampled())


@pytest.mark.parametrize("gain", [0, 1, 2])
def test_pairs_to_first_order_are_close_to_exact(gain: int) -> None:
    gains, score, group = rows(ties=True)
    orders = Orders(gains, group)
    (found,) = resample([orders.of(score)[gain]["utility"]], orders.users)
    exact = UserBootstrap(group).of_utility(gains[gain], score).resampled()
    assert np.corrcoef(found, exact)[0, 1] > 0.97
    assert found.std() == pytest.approx(exact.std(), rel=0.1)


def test_a_difference_with_itself_is_nothing() -> None:
    gains, score, group = rows()
    orders = Orders(gains, group)
    first, second = (orders.of(s)[1]["utility"] for s in (score, 2 * score))
    np.testing.assert_allclose(np.subtract(*resample([first, second], orders.users)), 0)


def test_positives_of_one_user_have_no_interval() -> None:
    gain, group = np.zeros(400), np.arange(400) // 10
    gain[3:6] = 1
    orders = Orders(gain[None], group)
    found = orders.of(np.random.default_rng(0).random(400))[0]
    for name in ("utility", "gauc", "ndcg"):
        (draws,) = resample([found[name]], orders.users)
        assert np.isnan(orders.users.interval(draws)).all(), name


def test_one_list_draws_its_rows() -> None:
    gains, score, _ = rows()
    orders = Orders(gains, np.zeros(500))
    found = orders.of(score)[0]
    assert found["utility_within_user"].value == pytest.approx(found["utility"].value)
    whole, ndcg = resample([found["utility"], found["ndcg"]], orders.users)
    low, high = orders.users.interval(whole)
    assert low < found["utility"].value < high
    assert np.isnan(orders.users.interval(ndcg)).all()


def test_nothing_to_measure() -> None:
    assert Orders(np.empty((0, 3)), np.arange(3)).of(np.ones(3)) == []
    (found,) = Orders(np.empty((1, 0)), np.empty(0)).of(np.empty(0))
    assert all(np.isnan(metric.value) for metric in found.values())
    (found,) = Orders(np.ones((1, 3)), np.zeros(3)).of(np.arange(3.0))
    assert np.isnan(found["utility"].value)
    assert found["ndcg"].value == 1
    assert resample([], UserBootstrap(np.arange(3))) == []
