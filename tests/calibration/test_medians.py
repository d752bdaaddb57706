"""Typical values moved to medians: against a slow twin, and on labels with a long tail."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab.calibration import SCALES
from trimtab.calibration.medians import ROWS, to_medians
from trimtab.evaluation.metrics import xauc

LOG = SCALES["quantity"]
Drawn = tuple[NDArray[np.float32], NDArray[np.float32]]


def drawn(rows: int, seed: int = 0) -> Drawn:
    """Return typical values that are half of the median of a lognormal label, and the labels."""
    draw = np.random.default_rng(seed)
    median = np.exp(draw.normal(2, 1, rows))
    label = median * np.exp(draw.normal(0, 1.5, rows))
    return (median / 2).astype(np.float32), label.astype(np.float32)


def slow(steps: list[list[float]]) -> list[float]:
    """Return the median of each step's labels once neighbours that do not rise are one."""
    medians = [float(np.median(step)) for step in steps]
    for i, (low, high) in enumerate(pairwise(medians)):
        if not 0 < low < high:
            return slow([*steps[:i], steps[i] + steps[i + 1], *steps[i + 2 :]])
    return medians


@pytest.mark.parametrize("zeros", [0, 0.3])
def test_it_goes_through_the_medians_of_the_slow_twin(zeros: float) -> None:
    prediction, label = drawn(12 * ROWS)
    label[np.random.default_rng(1).random(len(label)) < zeros] = 0
    order = np.argsort(prediction)
    steps = [label[order][i : i + ROWS].tolist() for i in range(0, len(label), ROWS)]
    found = to_medians(prediction, label, LOG).state()
    np.testing.assert_allclose(np.exp(found["to"]), slow(steps))


def test_half_of_new_labels_lie_below_and_errors_are_smaller() -> None:
    move = to_medians(*drawn(20_000), LOG)
    prediction, label = drawn(20_000, seed=1)
    moved = move(prediction)
    for part in np.array_split(np.argsort(prediction), 5):
        assert (label[part] < moved[part]).mean() == pytest.approx(0.5, abs=0.03)
    assert np.abs(label - moved).mean() < np.abs(label - prediction).mean() - 0.5


def test_the_order_stays() -> None:
    prediction, label = drawn(5_000)
    moved = to_medians(prediction, label, LOG)(prediction).astype(np.float32)
    assert xauc(label, moved) == pytest.approx(xauc(label, prediction), abs=1e-5)


def test_few_rows_are_multiplied_by_one_number_and_fewer_stay() -> None:
    prediction, label = drawn(ROWS + 1)
    ratio = to_medians(prediction, label, LOG)(prediction) / prediction
    assert np.ptp(ratio) < 1e-5
    assert np.median(label) == pytest.approx(np.exp(np.log(prediction * ratio).mean()), rel=1e-4)
    label[:2] = 0
    np.testing.assert_array_equal(to_medians(prediction, label, LOG)(prediction), prediction)


def test_where_most_labels_are_0_nothing_moves() -> None:
    prediction, label = drawn(1_000)
    label[np.random.default_rng(0).random(1_000) < 0.8] = 0
    np.testing.assert_array_equal(to_medians(prediction, label, LOG)(prediction), prediction)


def test_predictions_alike_are_one_step() -> None:
    label = drawn(1_000)[1]
    alike = np.full(1_000, 3, dtype=np.float32)
    np.testing.assert_allclose(to_medians(alike, label, LOG)(alike), np.median(label), rtol=1e-6)
    assert to_medians(np.zeros(1_000, dtype=np.float32), label, LOG)(np.zeros(1)) == 0
