"""What every kind of calibration owes, checked for each one that is registered."""

import json

import numpy as np
import pytest

from trimtab.calibration import SCALES, CalibratorSettings, Map, Scale, calibrators

ROWS = 4000
CASES = [(kind, measure) for kind in calibrators for measure in SCALES]


class Case:
    """A kind and a scale, and rows whose predictions are off."""

    def __init__(self, kind: str, measure: str) -> None:
        draw = np.random.default_rng(1)
        self.settings: CalibratorSettings = calibrators[kind](kind=kind)
        self.scale: Scale = SCALES[measure]
        place = draw.normal(size=ROWS) - 1
        truth = self.scale.back(0.7 * place + 0.3)
        drawn = {
            "probability": lambda: draw.random(ROWS) < truth,
            "quantity": lambda: truth * draw.exponential(size=ROWS),
        }
        self.prediction = self.scale.back(place).astype(np.float32)
        self.label = drawn[measure]().astype(np.float32)

    def fit(self, rows: slice = slice(None)) -> Map:
        return self.settings.fit(self.prediction[rows], self.label[rows], self.scale)


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_order_is_kept_strictly(case: Case) -> None:
    fitted, ordered = case.fit(), np.unique(case.prediction)
    assert (np.diff(fitted(ordered)) > 0).all()
    beyond = case.scale.back(np.linspace(-14, 14, 101))
    assert (np.diff(fitted(beyond)) > 0).all()


def test_sums_match_on_the_rows_of_the_fit(case: Case) -> None:
    wanted = case.label.sum(dtype=np.float64) if case.settings.fits else case.prediction.sum()
    assert case.fit()(case.prediction).sum() == pytest.approx(wanted, rel=1e-6)


def test_nan_stays_nan_and_the_rest_stays_in_its_range(case: Case) -> None:
    ends = np.array([np.nan, 0.0, 1e-30, 0.5, 1.0], dtype=np.float32)
    moved = case.fit()(ends)
    assert np.isnan(moved).tolist() == [True, False, False, False, False]
    assert (moved[1:] >= 0).all()
    assert (moved[1:] <= case.scale.back(np.array(500.0))).all()
    assert case.fit()(ends[:0]).shape == (0,)


def test_a_map_is_the_same_after_json(case: Case) -> None:
    fitted = case.fit()
    state = json.loads(json.dumps(fitted.state()))
    again = calibrators[state["kind"]].restore(state)
    np.testing.assert_array_equal(again(case.prediction), fitted(case.prediction))


@pytest.mark.parametrize("rows", [1, 2, 5, 30])
def test_few_rows_give_a_map_that_does_no_harm(case: Case, rows: int) -> None:
    """Whatever the labels of a few rows are, predictions stay finite and in order."""
    for start in range(0, 200, rows):
        moved = case.fit(slice(start, start + rows))(np.unique(case.prediction))
        assert np.isfinite(moved).all()
        assert (np.diff(moved) > 0).all()


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_all_alike_and_no_rows(case: Case, label: float) -> None:
    alike = np.full(ROWS, label, dtype=np.float32)
    for rows in (0, ROWS):
        fitted = case.settings.fit(case.prediction[:rows], alike[:rows], case.scale)
        moved = fitted(np.unique(case.prediction))
        assert np.isfinite(moved).all()
        assert (np.diff(moved) > 0).all()


def test_predictions_all_alike(case: Case) -> None:
    alike = np.full(ROWS, 0.2, dtype=np.float32)
    moved = case.settings.fit(alike, case.label, case.scale)(alike[:1])
    wanted = case.label.mean(dtype=np.float64) if case.settings.fits else 0.2
    assert moved == pytest.approx(wanted, rel=1e-6)


def test_extreme_predictions(case: Case) -> None:
    prediction = case.prediction.copy()
    prediction[:40] = case.scale.back(np.repeat([-80.0, 80.0], 20))
    moved = case.settings.fit(prediction, case.label, case.scale)(prediction)
    assert np.isfinite(moved).all()
    assert (moved >= 0).all()


def test_no_state_of_anything_is_refused(case: Case) -> None:
    states = [{}, {"scale": "none"}, {"scale": "log", "slope": -1.0, "level": 0.0, "at": [1, 0]}]
    for state in states if case.settings.fits else []:
        with pytest.raises((ValueError, LookupError, TypeError)):
            case.settings.restore({"to": [0, 1], **state})
