import numpy as np
import pytest

from trimtab.evaluation.metrics import auc, utility
from trimtab.steering.candidates import Candidates
from trimtab.steering.scan import Scan

ROWS = 400


def candidates(*, missing: bool = False, ties: bool = False) -> Candidates:
    random = np.random.default_rng(0)
    click = random.random(ROWS)
    like, play = click * random.random(ROWS), random.exponential(20, ROWS)
    predictions = {"click": click, "like": like, "play": play}
    if ties:
        predictions = {name: np.round(p, 1) for name, p in predictions.items()}
    labels = {
        "click": (random.random(ROWS) < click).astype(float),
        "like": (random.random(ROWS) < like).astype(float),
        "play": random.exponential(play),
    }
    if missing:
        for name, label in labels.items():
            labels[name] = np.where(random.random(ROWS) < 0.2, np.nan, label)
    return Candidates(
        predictions=predictions,
        labels=labels,
        units={"click": "", "like": "", "play": "s"},
        group=np.arange(ROWS) // 10,
        scene=np.zeros(ROWS, dtype=np.int64),
        scenes=("all",),
    )


WEIGHTS = np.array([[1, 0, 0], [1, 10, 0.01], [0, 0, 1], [2, -3, 0.5], [0.3, 0.3, 0]])


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_equal_to_the_metrics_one_by_one(missing: bool, ties: bool) -> None:
    rows = candidates(missing=missing, ties=ties)
    found = Scan(rows, ["click", "like", "play"]).many(WEIGHTS)
    for i, weight in enumerate(WEIGHTS):
        score = sum(w * p for w, p in zip(weight, rows.predictions.values(), strict=True))
        gain = sum(w * y for w, y in zip(weight, rows.labels.values(), strict=True))
        assert found.utility[i] == pytest.approx(utility(gain, score), abs=1e-12)
        expected = [
            auc(rows.labels["click"], score),
            auc(rows.labels["like"], score),
            utility(rows.labels["play"], score),
        ]
        np.testing.assert_allclose(found.by_target[i], expected, atol=1e-12)


def test_threads_and_chunks_change_nothing() -> None:
    scan = Scan(candidates(), ["click", "like", "play"])
    weights = np.random.default_rng(1).random((300, 3))
    many, one = scan.many(weights), [scan.many(w, threads=1) for w in weights]
    np.testing.assert_array_equal(many.utility, [each.utility[0] for each in one])
    np.testing.assert_array_equal(many.by_target, [each.by_target[0] for each in one])


def test_a_target_without_two_classes_is_not_defined() -> None:
    rows = candidates()
    rows.labels["like"][:] = 0  # type: ignore[index]
    found = Scan(rows, ["click", "like"]).many(np.array([[1.0, 1.0], [0.0, 1.0]]))
    assert np.isnan(found.by_target[:, 1]).all()
    assert np.isfinite(found.by_target[:, 0]).all()
    assert np.isfinite(found.utility[0])
    assert np.isnan(found.utility[1])


def test_a_target_that_a_scene_lacks_adds_nothing_there() -> None:
    rows, here = candidates(), np.arange(ROWS) % 3 == 0
    for values in (rows.predictions["play"], rows.labels["play"]):
        values[here] = np.nan
    found = Scan(rows, ["click", "play"]).many(np.array([[1.0, 0.01]]))
    play, watched = rows.prediction("play"), rows.label("play")
    score, gain = rows.predictions["click"] + 0.01 * play, rows.labels["click"] + 0.01 * watched
    assert found.utility[0] == pytest.approx(utility(gain, score), abs=1e-12)
    expected = utility(rows.labels["play"], score)
    assert found.by_target[0, 1] == pytest.approx(expected, abs=1e-12)


def test_no_weightings_and_no_rows() -> None:
    rows = candidates()
    assert Scan(rows, ["click"]).many(np.zeros((0, 1))).utility.shape == (0,)
    none = rows.some(np.zeros(ROWS, dtype=bool))
    assert np.isnan(Scan(none, ["click"]).many(np.ones((1, 1))).utility).all()
