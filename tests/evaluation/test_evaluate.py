"""What an evaluation counts, and what it refuses."""

import numpy as np
import polars as pl
import pytest
import torch

import trimtab
from trimtab.errors import RunError
from trimtab.evaluation.evaluate import Evaluation
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
