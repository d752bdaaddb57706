"""Platt's line against scikit-learn, and what few or odd labels do to it."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from trimtab.calibration import SCALES, Platt
from trimtab.calibration.newton import depart

LOG_ODDS, LOG = SCALES["probability"], SCALES["quantity"]


def chances(rows: int, slope: float, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions whose truth is a line of them on log-odds, and what happened."""
    draw = np.random.default_rng(0)
    place = draw.normal(-2, 1.5, rows)
    happened = draw.random(rows) < LOG_ODDS.back(slope * place + level)
    return LOG_ODDS.back(place), happened.astype(np.float32)


def test_the_line_is_that_of_a_logistic_regression() -> None:
    prediction, label = chances(20_000, 0.6, 0.4)
    place = LOG_ODDS.forward(prediction)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(place[:, None], label)
    directions = np.stack([place, np.ones_like(place)])
    ours = depart(place, label, LOG_ODDS, directions=directions, penalty=np.zeros(2))
    assert 1 + ours[0] == pytest.approx(theirs.coef_[0, 0], rel=1e-5)
    assert ours[1] == pytest.approx(theirs.intercept_[0], rel=1e-5)
    fitted = Platt.fitted(prediction, label, LOG_ODDS)  # Thousands of rows outweigh its prior.
    assert fitted.slope == pytest.approx(theirs.coef_[0, 0], abs=5e-3)
    assert fitted.level == pytest.approx(theirs.intercept_[0], abs=1e-2)


def test_a_line_of_quantities_is_that_of_a_poisson_regression() -> None:
    draw = np.random.default_rng(0)
    place = draw.normal(3, 1, 20_000)
    label = np.exp(0.8 * place + 1) * draw.exponential(size=20_000)
    theirs = PoissonRegressor(alpha=0, tol=1e-12, max_iter=10_000).fit(place[:, None], label)
    directions = np.stack([place, np.ones_like(place)])
    ours = depart(place, label, LOG, directions=directions, penalty=np.zeros(2))
    assert 1 + ours[0] == pytest.approx(theirs.coef_[0], rel=1e-4)
    assert ours[1] == pytest.approx(theirs.intercept_, rel=1e-4)


def test_a_calibrated_model_stays_as_it_is() -> None:
    prediction, label = chances(100_000, 1.0, 0.0)
    fitted = Platt.fitted(prediction, label, LOG_ODDS)
    assert fitted.slope == pytest.approx(1, abs=0.03)
    assert fitted.level == pytest.approx(0, abs=0.06)


def test_the_slope_of_few_rows_is_held_to_one() -> None:
    prediction, label = chances(300, 1.0, 0.0)
    slopes = [
        Platt.fitted(prediction[i : i + 60], label[i : i + 60], LOG_ODDS).slope
        for i in range(0, 300, 60)
    ]
    assert min(slopes) > 0.5
    assert max(slopes) < 1.6
    apart = np.linspace(0.1, 0.9, 40)  # Free, the slope would be infinite.
    assert Platt.fitted(apart, (apart > 0.5).astype(np.float32), LOG_ODDS).slope < 3


def test_a_model_that_is_the_wrong_way_round_is_not_turned() -> None:
    prediction, label = chances(20_000, -1.0, -2.0)
    fitted = Platt.fitted(prediction, label, LOG_ODDS)
    assert fitted.slope == pytest.approx(0.1)
    assert fitted(prediction).sum() == pytest.approx(label.sum(), rel=1e-6)


def test_the_unit_of_a_quantity_does_not_matter() -> None:
    draw = np.random.default_rng(0)
    prediction = draw.exponential(size=100)
    label = 2 * prediction**0.5 * draw.exponential(size=100)
    seconds, milliseconds = (Platt.fitted(u * prediction, u * label, LOG) for u in (1, 1000))
    assert milliseconds.slope == pytest.approx(seconds.slope, rel=1e-6)
    np.testing.assert_allclose(
        milliseconds(1000 * prediction), 1000 * seconds(prediction), rtol=1e-6
    )


def test_rows_predicted_zero_stay_so_and_their_labels_are_not_lost() -> None:
    draw = np.random.default_rng(0)
    prediction = np.concatenate([np.zeros(50), draw.exponential(size=500) + 0.1])
    label = np.concatenate([np.full(50, 0.4), 3 * prediction[50:] * draw.exponential(size=500)])
    moved = Platt.fitted(prediction, label, LOG)(prediction)
    assert (moved[:50] == 0).all()
    assert moved.sum() == pytest.approx(label.sum(), rel=1e-6)


def test_far_starts_arrive() -> None:
    prediction, label = chances(5000, 1.0, 0.0)
    for shift in (-15.0, 15.0):
        far = LOG_ODDS.back(LOG_ODDS.forward(prediction) + shift)
        moved = Platt.fitted(far, label, LOG_ODDS)(far)
        assert moved.sum() == pytest.approx(label.sum(), rel=1e-6)
    for factor in (1e-9, 1e9):
        moved = Platt.fitted(factor * prediction, label, LOG)(factor * prediction)
        assert moved.sum() == pytest.approx(label.sum(), rel=1e-6)
