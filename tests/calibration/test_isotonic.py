"""Rising steps against scikit-learn and a slow twin, and the lines that join them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from trimtab.calibration import SCALES, Isotonic
from trimtab.calibration.isotonic import pool

LOG_ODDS, LOG = SCALES["probability"], SCALES["quantity"]


def slow(label: list[float]) -> list[float]:
    """Pool adjacent violators one at a time."""
    steps: list[tuple[float, int]] = []
    for value in label:
        steps.append((value, 1))
        while len(steps) > 1 and steps[-2][0] * steps[-1][1] >= steps[-1][0] * steps[-2][1]:
            total, rows = steps.pop()
            steps[-1] = (steps[-1][0] + total, steps[-1][1] + rows)
    return [total / rows for total, rows in steps for _ in range(rows)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_steps_are_those_of_the_slow_twin(label: list[int]) -> None:
    _, mean, rows = pool(np.arange(len(label), dtype=np.float64), np.array(label, dtype=float))
    np.testing.assert_allclose(np.repeat(mean, rows.astype(int)), slow([float(y) for y in label]))


def test_steps_are_scikit_learns_with_ties() -> None:
    draw = np.random.default_rng(0)
    place = draw.integers(0, 300, 5000) / 10
    label = (draw.random(5000) < LOG_ODDS.back(place / 5 - 3)).astype(np.float32)
    at, mean, rows = pool(place, label)
    theirs = IsotonicRegression().fit(place, label)
    order = np.argsort(place, kind="stable")
    np.testing.assert_allclose(
        np.repeat(mean, rows.astype(int)), theirs.predict(place[order]), atol=1e-6
    )
    assert (np.diff(at) > 0).all()


def test_lines_keep_the_order_where_steps_would_tie() -> None:
    draw = np.random.default_rng(0)
    place = draw.normal(-3, 1, 50_000)
    label = (draw.random(50_000) < LOG_ODDS.back(place)).astype(np.float32)
    prediction = LOG_ODDS.back(place)
    fitted = Isotonic.fitted(prediction, label, LOG_ODDS)
    assert len(fitted.at) < 200
    moved = fitted(prediction).astype(np.float32)
    before = roc_auc_score(label, prediction)
    assert roc_auc_score(label, moved) == pytest.approx(before, abs=1e-6)


def test_a_bent_model_is_made_straight() -> None:
    draw = np.random.default_rng(0)
    chance = draw.random(200_000)
    label = (draw.random(200_000) < chance).astype(np.float32)
    bent = np.where(chance < 0.5, chance**2, chance)
    moved = Isotonic.fitted(bent, label, LOG_ODDS)(bent)
    assert np.abs(moved - chance).mean() < 0.01
    assert np.abs(moved - chance).mean() < np.abs(bent - chance).mean() / 5


def test_beyond_the_ends_ratios_are_kept() -> None:
    fitted = Isotonic(LOG, np.log([1.0, 2.0]), np.log([3.0, 4.0]))
    np.testing.assert_allclose(fitted(np.array([0.5, 1.0, 2.0, 4.0])), [1.5, 3.0, 4.0, 8.0])
    assert fitted(np.sqrt([2.0])) == pytest.approx(np.sqrt(12))


def test_nothing_is_ever_impossible_or_sure() -> None:
    prediction = np.linspace(0.05, 0.95, 400).astype(np.float32)
    label = (prediction > 0.5).astype(np.float32)
    label[[150, 250]] = 1 - label[[150, 250]]
    moved = Isotonic.fitted(prediction, label, LOG_ODDS)(prediction)
    assert moved.min() > 1e-4
    assert moved.max() < 1 - 1e-4
