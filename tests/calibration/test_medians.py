"""Typical values moved to medians: against a slow twin, and on labels with a long tail."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab.calibration import SCALES
from trimtab.calibration.medians import NEARLY, ROWS, _cut, to_medians
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
        if low >= high:
            return slow([*steps[:i], steps[i] + steps[i + 1], *steps[i + 2 :]])
    return medians


@pytest.mark.parametrize("zeros", [0, 0.3, 0.6])
def test_it_goes_through_the_medians_of_the_slow_twin(zeros: float) -> None:
    prediction, label = drawn(12 * ROWS)
    order = np.argsort(prediction)
    chance = np.linspace(1.4 * zeros, 0.6 * zeros, len(label))  # Low ones are 0 more often.
    label[order[np.random.default_rng(1).random(len(label)) < chance]] = 0
    steps = [label[order][i : i + ROWS].tolist() for i in range(0, len(label), ROWS)]
    found, wanted = np.exp(to_medians(prediction, label, LOG).to), slow(steps)
    assert len(found) == len(wanted) > 1
    assert (wanted[0] == 0) == (zeros == 0.6)
    np.testing.assert_allclose(found[1:], wanted[1:])
    np.testing.assert_allclose(found[0], wanted[0] or NEARLY * wanted[1])


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


def test_few_rows_are_multiplied_by_one_number() -> None:
    prediction, label = drawn(ROWS // 2)
    ratio = to_medians(prediction, label, LOG)(prediction) / prediction
    assert np.ptp(ratio) < 1e-5
    assert np.median(label) == pytest.approx(np.exp(np.log(prediction * ratio).mean()), rel=1e-4)


def test_rows_that_are_mostly_0_are_nearly_0_and_their_neighbours_are_not() -> None:
    prediction, label = drawn(20_000)
    low = prediction < np.median(prediction)
    label[low & (np.random.default_rng(0).random(20_000) < 0.7)] = 0
    moved = to_medians(prediction, label, LOG)(prediction)
    assert moved[low].max() < 0.05 * moved[~low].min()
    assert np.abs(label - moved).mean() < np.abs(label - prediction).mean()
    assert xauc(label, moved.astype(np.float32)) == pytest.approx(xauc(label, prediction), abs=1e-4)


def test_where_most_labels_are_0_all_is_nearly_0() -> None:
    prediction, label = drawn(1_000)
    label[np.random.default_rng(0).random(1_000) < 0.8] = 0
    moved = to_medians(prediction, label, LOG)(prediction)
    assert 0 < moved.max() <= NEARLY * label[label > 0].min() * (1 + 1e-6)
    assert xauc(label, moved.astype(np.float32)) == pytest.approx(xauc(label, prediction), abs=1e-4)


def test_nothing_above_0_moves_nothing() -> None:
    prediction, label = drawn(500)
    for labels in (0 * label, -label):
        np.testing.assert_allclose(
            to_medians(prediction, labels, LOG)(prediction), prediction, 1e-6
        )


def test_predictions_alike_are_one_step() -> None:
    label = drawn(1_000)[1]
    alike = np.full(1_000, 3, dtype=np.float32)
    np.testing.assert_allclose(to_medians(alike, label, LOG)(alike), np.median(label), rtol=1e-6)
    assert to_medians(np.zeros(1_000, dtype=np.float32), label, LOG)(np.zeros(1)) == 0


def test_steps_between_ties_are_no_smaller() -> None:
    place = np.sort(np.r_[-1.0, np.zeros(5000), 1.0, np.full(5000, 2.0), np.linspace(3, 4, 250)])
    cuts = _cut(place)
    sizes = [last - first for first, last in cuts]
    assert sum(sizes) == len(place)
    assert min(sizes) >= ROWS
    for (_, last), (first, _) in pairwise(cuts):
        assert last == first
        assert place[last - 1] < place[first]


@pytest.mark.parametrize("rows", [1, 99, 100, 199, 200, 201, 299])
def test_few_rows_are_cut_into_whole_steps(rows: int) -> None:
    sizes = [last - first for first, last in _cut(np.arange(rows, dtype=np.float64))]
    assert sum(sizes) == rows
    assert len(sizes) == max(rows // ROWS, 1)
