"""What an evaluation counts, and what it refuses."""

import numpy as np
import polars as pl
import pytest
import torch

import trimtab
from trimtab.errors import RunError
from trimtab.evaluation.compare import compare
from trimtab.evaluation.evaluate import Evaluation
from trimtab.evaluation.groups import groups_of
from trimtab.evaluation.importance import importance
from trimtab.training.run import Run

ROWS = 400


@pytest.fixture
def frame() -> pl.DataFrame:
    chance = np.random.default_rng(0)
    click = chance.integers(0, 2, ROWS)
    return pl.DataFrame(
        {
            "user": chance.integers(0, 20, ROWS),
            "x": chance.normal(size=ROWS),
            "click": [None if i % 10 == 0 else int(c) for i, c in enumerate(click)],
            "play": chance.exponential(size=ROWS),
        }
    )


@pytest.fixture
def run(frame: pl.DataFrame) -> Run:
    settings = {
        "data": {"user": "user"},
        "features": {"user": "id", "x": "number"},
        "targets": {
            "click": {"kind": "binary"},
            "play": {"kind": "duration", "given": "click"},
        },
        "training": {"epochs": 1},
    }
    return trimtab.train(settings, frame)


def test_a_missing_parent_leaves_a_conditional_duration_out(run: Run, frame: pl.DataFrame) -> None:
    label = run.evaluation(frame).labels["play"]
    click = frame["click"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    np.testing.assert_array_equal(np.isnan(label), np.isnan(click))
    assert (label[click == 0] == 0).all()
    np.testing.assert_allclose(label[click == 1], frame["play"].to_numpy()[click == 1], rtol=1e-6)
    assert run.evaluate(frame)["targets"]["play"]["rows"] == ROWS * 9 // 10


def test_a_model_that_gives_nan_is_refused(run: Run, frame: pl.DataFrame) -> None:
    with torch.no_grad():
        run.model.features.tables.weight.fill_(torch.nan)
    with pytest.raises(RunError, match="'click': a prediction is not a number"):
        run.evaluate(frame)
    with pytest.raises(RunError, match="not a number"):
        run.predict(frame)


def test_ranks_are_those_of_the_metrics(run: Run, frame: pl.DataFrame) -> None:
    evaluation: Evaluation = run.evaluation(frame)
    metrics = evaluation.metrics()["targets"]
    assert evaluation.ranks() == {
        "click": pytest.approx(metrics["click"]["auc"]),
        "play": pytest.approx(metrics["play"]["xauc"]),
    }


def test_mae_is_of_the_typical_value_and_rmse_of_the_mean(run: Run, frame: pl.DataFrame) -> None:
    evaluation: Evaluation = run.evaluation(frame)
    found, label = evaluation.metrics()["targets"]["play"], evaluation.labels["play"]
    known = ~np.isnan(label)
    typical = evaluation.levels["play_typical"][known]
    assert found["mae"] == pytest.approx(np.abs(label[known] - typical).mean(), rel=1e-5)
    mean = evaluation.levels["play"][known]
    assert found["rmse"] == pytest.approx(((label[known] - mean) ** 2).mean() ** 0.5, rel=1e-5)
    assert not np.allclose(typical, mean)


def test_a_censored_quantity_is_served_as_it_is_and_has_no_sum_to_meet() -> None:
    chance = np.random.default_rng(0)
    item = chance.integers(0, 2, 4000)
    limit = chance.exponential(10, 4000)
    watched = chance.exponential(5 + 5 * item)
    frame = pl.DataFrame({"item": item, "limit": limit, "watch": np.minimum(watched, limit)})
    target = {"kind": "duration", "censored_at": "limit"}
    settings = {"features": {"item": "id"}, "targets": {"watch": target}, "data": {"valid": 0.25}}
    run = trimtab.train(settings | {"training": {"epochs": 4, "batch_rows": 256}}, frame)
    assert run.predict(frame)["watch"].mean() == pytest.approx(watched.mean(), rel=0.2)
    found = run.evaluate(frame)["targets"]["watch"]
    assert found["pcoc"] is found["pcoc_before"] is found["pcoc_interval"] is None
    assert run.calibration.maps == {}
    evaluation = run.evaluation(frame)
    label, order = evaluation.labels["watch"], evaluation.order("watch")
    known = (label[:, None] < label) & (label < limit.astype(np.float32))[:, None]
    right = known * ((order[:, None] < order) + (order[:, None] == order) / 2)
    assert found["xauc"] == pytest.approx(right.sum() / known.sum())
    assert evaluation.ranks()["watch"] == pytest.approx(found["xauc"])
    assert found["xauc_interval"][0] < found["xauc"] < found["xauc_interval"][1]
    same = compare(evaluation, evaluation)["watch"]["xauc"]
    assert (same["first"], same["difference"]) == (pytest.approx(found["xauc"]), 0)
    kept = importance(evaluation, groups_of(run.statistics), rows=4000)["targets"]["watch"]
    assert kept["value"] == pytest.approx(found["xauc"])
    seen = run.steer(watch=1).effect(frame)["targets"]["watch"]["xauc"]
    score = run.steer(watch=1).score(frame)
    right = known * ((score[:, None] < score) + (score[:, None] == score) / 2)
    assert seen["value"] == pytest.approx(right.sum() / known.sum())


def test_a_quantity_behind_a_step_that_did_not_happen_is_0_and_not_censored() -> None:
    chance = np.random.default_rng(0)
    click, limit = chance.integers(0, 2, 600), np.where(chance.random(600) < 0.3, 0.0, 5.0)
    watch = np.minimum(chance.exponential(5, 600), limit)
    frame = pl.DataFrame({"x": chance.normal(size=600), "click": click, "limit": limit})
    frame = frame.with_columns(watch=watch)
    watched = {"kind": "duration", "given": "click", "censored_at": "limit"}
    targets = {"click": {"kind": "binary"}, "watch": watched}
    settings = {"features": {"x": "number"}, "targets": targets, "training": {"epochs": 1}}
    evaluation = trimtab.train(settings, frame).evaluation(frame)
    assert set(evaluation.censored) == {"watch"}
    expected = (click == 1) & (watch >= limit)
    np.testing.assert_array_equal(evaluation.censored["watch"], expected)


def test_a_number_that_may_be_below_0_has_no_sum_to_meet() -> None:
    chance = np.random.default_rng(0)
    x = chance.normal(size=800)
    settings = {
        "features": {"x": "number"},
        "targets": {"rate": {"kind": "number"}},
        "training": {"epochs": 2},
    }
    for shift, known in ((0.0, False), (9.0, True)):
        frame = pl.DataFrame({"x": x, "rate": x - x.mean() + 0.01 + shift})
        found = trimtab.train(settings, frame).evaluate(frame)["targets"]["rate"]
        for key in ("pcoc", "pcoc_before"):
            assert (found[key] is not None) == known
        assert (found["pcoc_interval"] != [None, None]) == known
