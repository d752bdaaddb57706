from itertools import permutations

import numpy as np
import pytest

from trimtab.evaluation.intervals import UserBootstrap
from trimtab.steering.ndcg import Ndcg


def slow(gain: np.ndarray, score: np.ndarray, group: np.ndarray, k: int) -> np.ndarray:
    """NDCG of every group, over all orders of equal scores; NaN where not defined."""
    found = []
    for code in np.unique(group):
        here = np.flatnonzero((group == code) & ~np.isnan(gain))
        g, s = np.maximum(gain[here], 0), score[here]

        def dcg(values: np.ndarray) -> float:
            return sum(v / np.log2(1 + r) for r, v in enumerate(values[:k], 1))

        orders = [o for o in map(list, permutations(range(len(g)))) if (np.diff(s[o]) <= 0).all()]
        ideal = dcg(np.sort(g)[::-1])
        found.append(np.mean([dcg(g[o]) for o in orders]) / ideal if ideal > 0 else np.nan)
    return np.array(found)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_equal_to_the_slow_one(ties: bool, missing: bool, k: int) -> None:
    random = np.random.default_rng(k)
    group, score = random.integers(0, 12, 50) * 3, random.random(50)
    score = np.round(score, 1) if ties else score
    gains = np.stack([random.integers(0, 2, 50), random.normal(size=50), np.zeros(50)])
    if missing:
        gains[random.random(gains.shape) < 0.3] = np.nan
    ndcg = Ndcg(gains, group, k=k)
    expected = np.array([slow(gain, score, group, k) for gain in gains])
    np.testing.assert_allclose(ndcg.by_list(score), expected, atol=1e-12)
    means = [np.nanmean(e) if np.isfinite(e).any() else np.nan for e in expected]
    np.testing.assert_allclose(ndcg.mean(score), means, atol=1e-12)


def test_by_hand() -> None:
    gain = np.array([[3.0, 2, 3, 0, 1, 2]])
    score = np.array([6.0, 5, 4, 3, 2, 1])
    reached = 3 + 2 / np.log2(3) + 3 / 2 + 0 + 1 / np.log2(6) + 2 / np.log2(7)
    ideal = 3 + 3 / np.log2(3) + 2 / 2 + 2 / np.log2(5) + 1 / np.log2(6)
    assert Ndcg(gain, np.zeros(6)).mean(score)[0] == pytest.approx(reached / ideal)


def test_a_list_without_a_gain_is_left_out_and_a_negative_gain_counts_as_none() -> None:
    gains = np.array([[0.0, -1, 1, -5]])
    ndcg = Ndcg(gains, np.array([1, 1, 2, 2]))
    np.testing.assert_allclose(ndcg.by_list(np.array([1.0, 2, 1, 2])), [[np.nan, 1 / np.log2(3)]])


def test_a_resample_is_the_mean_by_draws() -> None:
    random = np.random.default_rng(0)
    gains, group = random.integers(0, 2, (2, 300)).astype(float), random.integers(0, 40, 300)
    ndcg, score, users = Ndcg(gains, group), random.random(300), UserBootstrap(np.arange(40))
    draws = np.concatenate(list(users._draws(40, rows=40)))
    values = ndcg.by_list(score)
    known = ~np.isnan(values)
    for found, value, here in zip(ndcg.resampled(score, users), values, known, strict=True):
        expected = [np.average(value[here], weights=draw[here]) for draw in draws]
        np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(ndcg.resampled(score), ndcg.resampled(score, users))


def test_no_rows() -> None:
    ndcg = Ndcg(np.empty((2, 0)), np.empty(0))
    assert np.isnan(ndcg.mean(np.empty(0))).all()
