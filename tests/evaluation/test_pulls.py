"""The utility of weightings of the users against the metric of the weighted rows."""

import numpy as np
import pytest

from trimtab.evaluation import metrics, pulls
from trimtab.evaluation.pulls import Pulls


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_a_weighting_of_users_is_one_of_their_rows(
    weighted: bool, decimals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(decimals)
    users, score = random.integers(0, 30, 500), random.normal(size=500).round(decimals)
    weight = random.random(500) if weighted else None
    own = np.ones(500) if weight is None else weight
    gains = [random.normal(size=500), random.integers(0, 2, 500), random.integers(-1, 3, 500) / 2]
    for gain in gains:
        for rows in (7, 100, 1 << 16):
            monkeypatch.setattr(pulls, "_ROWS", rows)
            of = Pulls(gain, score, users, weight)
            for _ in range(3):
                draws = random.poisson(1, 30).astype(np.uint8)
                expected = metrics.utility(gain, score, own * draws[users])
                assert of(draws) == pytest.approx(expected, rel=1e-9)


def test_whole_weights_are_exact_however_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    users, score = np.arange(300) % 20, random.normal(size=300).round(1)
    gain, draws = random.integers(0, 2, 300), random.poisson(1, 20).astype(np.uint8)
    value = Pulls(gain, score, users)(draws)
    monkeypatch.setattr(pulls, "_FEW", 0)
    assert Pulls(gain, score, users)(draws) == value


def test_what_is_not_defined_is_nan() -> None:
    ones, users = np.ones(3, dtype=np.uint8), np.arange(3)
    label, score = np.array([0.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.3])
    assert Pulls(label, score, users)(ones) == 1
    assert np.isnan(Pulls(label * 0, score, users)(ones))
    assert np.isnan(Pulls(label, score * np.nan, users)(ones))
    assert np.isnan(Pulls(label * np.nan, score, users)(ones))
    assert np.isnan(Pulls(label[:0], score[:0], users[:0])(ones[:0]))
