"""The user bootstrap against weighted metrics, resample by resample, and against known truths."""

import doctest
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from trimtab.evaluation import intervals, metrics
from trimtab.evaluation.intervals import UserBootstrap

Floats = NDArray[np.float64]
Method = Callable[..., Floats]


def auc(bootstrap: UserBootstrap, *columns: Floats) -> Floats:
    return bootstrap.of_auc(*columns).resampled()


def utility(bootstrap: UserBootstrap, *columns: Floats) -> Floats:
    return bootstrap.of_utility(*columns).resampled()


def xauc(bootstrap: UserBootstrap, *columns: Floats) -> Floats:
    return bootstrap.of_xauc(*columns).resampled()


def grouped_auc(bootstrap: UserBootstrap, *columns: Floats) -> Floats:
    return bootstrap.of_groups(metrics.grouped_auc_parts, *columns).resampled()


def grouped_xauc(bootstrap: UserBootstrap, *columns: Floats) -> Floats:
    return bootstrap.of_groups(metrics.grouped_xauc_parts, *columns).resampled()


def utility_within(bootstrap: UserBootstrap, *columns: Floats) -> Floats:
    return bootstrap.of_groups(metrics.utility_within_parts, *columns).resampled()


MEAN: Method = UserBootstrap.mean
METHODS = [auc, utility, xauc, MEAN, grouped_auc, utility_within, grouped_xauc]


class Log:
    """A small log whose users differ, with ties, missing labels, row weights and a second model."""

    def __init__(self, rows: int = 600, people: int = 60, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.users = random.integers(0, people, rows)
        truth = random.normal(size=people)[self.users] + random.normal(size=rows)
        self.label = (truth > 0.5).astype(np.float64)
        self.label[:20] = np.nan
        self.amount = np.where(np.isnan(self.label), np.nan, truth.round(1))
        self.score = (truth + random.normal(size=rows)).round(1)
        self.other = self.score + 0.5 * random.normal(size=rows)
        self.weight = random.integers(0, 4, rows) / 2

    def draws(self, bootstrap: UserBootstrap) -> NDArray[np.uint8]:
        people = int(bootstrap.groups(self.label).max()) + 1
        return np.concatenate(list(bootstrap._draws(people, rows=1)))


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_user_is_drawn_poisson_often() -> None:
    share = np.bincount(intervals._DRAWS) / intervals._DRAWS.size
    assert share == pytest.approx(stats.poisson(1).pmf(np.arange(share.size)), abs=2e-5)
    draws = np.concatenate(list(UserBootstrap()._draws(5000, rows=5000)))
    assert draws.shape == (200, 5000)
    assert draws.mean() == pytest.approx(1, abs=0.01)
    assert draws.var() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("method", "metric", "label"),
    [
        (auc, metrics.auc, "label"),
        (utility, metrics.utility, "amount"),
        (MEAN, metrics.pcoc, "label"),
    ],
)
@pytest.mark.parametrize("by_user", [True, False])
def test_a_resample_is_the_metric_with_draws_as_weights(
    log: Log, method: Method, metric: Callable[..., float], label: str, by_user: bool
) -> None:
    bootstrap = UserBootstrap(log.users if by_user else None, resamples=30)
    truth = getattr(log, label)
    values = method(bootstrap, truth, log.score, log.weight)
    if method is MEAN:
        values = values / bootstrap.mean(truth, truth, log.weight)
    groups = bootstrap.groups(truth)
    expected = [
        metric(truth, log.score, log.weight * draw[groups]) for draw in log.draws(bootstrap)
    ]
    assert values == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        (grouped_auc, metrics.grouped_auc_parts),
        (grouped_xauc, metrics.grouped_xauc_parts),
        (utility_within, metrics.utility_within_parts),
    ],
)
def test_a_user_drawn_twice_is_two_users(
    log: Log, method: Method, parts: Callable[..., metrics.Parts]
) -> None:
    bootstrap = UserBootstrap(log.users, resamples=30)
    values = method(bootstrap, log.amount, log.score, log.weight)
    groups = bootstrap.groups(log.amount)
    group, value, weight = parts(log.amount, log.score, groups, log.weight)
    expected = [np.average(value, weights=weight * draw[group]) for draw in log.draws(bootstrap)]
    assert values == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_xauc_to_first_order_is_close_to_exact(log: Log, share: float) -> None:
    bootstrap = UserBootstrap(log.users)
    cut = np.random.default_rng(1).random(len(log.users)) < share
    values = bootstrap.of_xauc(log.amount, log.score, log.weight, cut).resampled()
    groups = bootstrap.groups(log.amount)
    exact = np.array(
        [
            metrics.xauc(log.amount, log.score, log.weight * draw[groups], cut)
            for draw in log.draws(bootstrap)
        ]
    )
    assert np.corrcoef(values, exact)[0, 1] > 0.97
    assert values.std() == pytest.approx(exact.std(), rel=0.1)
    low, high = bootstrap.interval(values)
    assert bootstrap.interval(exact) == pytest.approx((low, high), abs=(high - low) / 5)


@pytest.mark.parametrize("method", METHODS)
def test_chunks_do_not_change_the_resamples(
    log: Log, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap = UserBootstrap(log.users[:599], resamples=20)
    columns = log.amount[:599], log.score[:599]
    whole = method(bootstrap, *columns)
    monkeypatch.setattr(intervals, "_CHUNK_BYTES", 3 * 599 * intervals._BYTES_A_ROW)
    assert method(bootstrap, *columns) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_the_interval_holds_the_value_and_follows_the_seed(log: Log, method: Method) -> None:
    named = np.char.add("user ", log.users.astype(str))
    values = method(UserBootstrap(log.users), log.label, log.score)
    assert np.array_equal(values, method(UserBootstrap(log.users), log.label, log.score))
    assert not np.array_equal(
        values, method(UserBootstrap(log.users, seed=1), log.label, log.score)
    )
    bootstrap = UserBootstrap(named)
    low, high = bootstrap.interval(method(bootstrap, log.label, log.score))
    assert low < values.mean() < high
    narrow = UserBootstrap(log.users, level=0.5).interval(values)
    assert low < narrow[0] < narrow[1] < high


@pytest.mark.parametrize("method", METHODS)
def test_paired_intervals_are_narrower(method: Method) -> None:
    log = Log(rows=2000, people=200)
    ours, theirs = UserBootstrap(log.users), UserBootstrap(log.users, seed=1)
    a = method(ours, log.amount, log.score)
    paired = ours.interval(a - method(ours, log.amount, log.other))
    unpaired = ours.interval(a - method(theirs, log.amount, log.other))
    assert paired[1] - paired[0] < 0.8 * (unpaired[1] - unpaired[0])


def test_a_difference_with_itself_is_nothing(log: Log) -> None:
    bootstrap = UserBootstrap(log.users)
    values = auc(bootstrap, log.label, log.score) - auc(bootstrap, log.label, 2 * log.score)
    assert bootstrap.interval(values) == (0, 0)


def test_a_mean_is_covered_about_as_often_as_stated() -> None:
    random, covered = np.random.default_rng(0), 0
    for seed in range(200):
        users = random.integers(0, 60, 400)
        value = random.normal(size=60)[users] + random.normal(size=400)
        bootstrap = UserBootstrap(users, seed=seed)
        low, high = bootstrap.interval(bootstrap.mean(value, value))
        covered += low < 0 < high
    assert 0.87 <= covered / 200 <= 0.99


@pytest.mark.parametrize("method", [auc, xauc])
def test_auc_is_covered_about_as_often_as_stated(method: Method) -> None:
    random, covered = np.random.default_rng(0), 0
    truth = stats.norm.cdf(1 / np.sqrt(2))
    for seed in range(200):
        label = random.integers(0, 2, 200)
        bootstrap = UserBootstrap(seed=seed)
        low, high = bootstrap.interval(method(bootstrap, label, label + random.normal(size=200)))
        covered += low < truth < high
    assert 0.87 <= covered / 200 <= 0.99


def test_users_widen_the_interval_where_their_rows_are_alike() -> None:
    random = np.random.default_rng(0)
    users = np.repeat(np.arange(40), 25)
    value = random.normal(size=40)[users]
    widths = [
        np.subtract(*bootstrap.interval(bootstrap.mean(value, value))[::-1])
        for bootstrap in (UserBootstrap(users), UserBootstrap())
    ]
    assert widths[0] > 3 * widths[1]


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_defined_has_no_interval(method: Method) -> None:
    label, score = np.array([0.0, 1.0] * 30), np.linspace(0, 1, 60)
    users, everyone = np.arange(60) // 6, np.zeros(60, dtype=int)

    def interval(users: NDArray[np.int64], label: Floats, score: Floats) -> tuple[float, float]:
        bootstrap = UserBootstrap(users)
        return bootstrap.interval(method(bootstrap, label, score))

    assert not np.isnan(interval(users, label, score)).any()
    assert np.isnan(interval(users[:0], label[:0], score[:0])).all()
    assert np.isnan(interval(users[:1], label[:1], score[:1])).all()
    assert np.isnan(interval(everyone, label, score)).all()
    assert np.isnan(interval(users, label * np.nan, score)).all()
    assert np.isnan(interval(users, label, score * np.nan)).all()
    if method is not MEAN:
        assert np.isnan(interval(users, label * 0, score)).all()


@pytest.mark.parametrize("method", METHODS)
def test_rows_are_their_own_users_unless_told(method: Method) -> None:
    label, score = np.array([0.0, 1.0, 0.0] * 30), np.linspace(0, 1, 90).round(1)
    values = method(UserBootstrap(), label, score)
    assert np.array_equal(
        values, method(UserBootstrap(np.arange(90)), label, score), equal_nan=True
    )
    within = (grouped_auc, grouped_xauc, utility_within)
    assert np.isnan(values).all() == (method in within)


def test_users_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equal lengths"):
        auc(UserBootstrap(np.arange(3)), np.zeros(4), np.zeros(4))


def test_the_example_runs() -> None:
    assert doctest.testmod(intervals).failed == 0
