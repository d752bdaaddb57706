import numpy as np
import pytest

from trimtab.config.load import parse
from trimtab.data.prepare import prepare
from trimtab.data.simulate import SimulationSettings, simulate
from trimtab.evaluation.metrics import utility
from trimtab.training.regret import Stop, Weighting, draw
from trimtab.training.retraining import Retraining

WIDTHS = ([4], [8, 4])


@pytest.fixture(scope="module")
def models() -> Retraining:
    log = simulate(SimulationSettings(rows=3000, users=200, items=100)).log
    settings = parse(
        {
            "data": {"time": "time_ms", "user": "user_id", "valid": "2d"},
            "features": {"user_id": "id", "item_id": "id"},
            "targets": {
                "stop": "binary",
                "click": {"kind": "binary", "given": "stop"},
                "play": {"kind": "duration", "unit": "s", "given": "click"},
            },
            "embedding": {"width": 4, "own_width": 0},
            "training": {"epochs": 1, "batch_rows": 256},
        }
    )
    prepared = prepare(settings.plan(), log)
    models = Retraining(settings, prepared, list(settings.targets), seeds=(3, 5), widths=WIDTHS)
    models.steer()
    return models


@pytest.fixture(scope="module")
def weighting(models: Retraining) -> Weighting:
    return draw(models.means, 1, 0)[0]


def test_a_gain_counts_0_for_what_was_not_reached(models: Retraining, weighting: Weighting) -> None:
    gain = models.gain(weighting)
    assert np.isfinite(gain).all()
    assert (gain[models.labels["stop"] == 0] == 0).all()


def test_the_blend_that_orders_the_earlier_days_best_is_taken(
    models: Retraining, weighting: Weighting, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.6, 0.8, 0.7, 0.8])  # By form, then width; the first of equals.
    monkeypatch.setattr(
        models.trainer, "stop", lambda settings, rename: Stop(epochs=0.2, score=next(scores))
    )
    found = models.blend(weighting)
    assert (found.form, found.width) == ("unlabelled", 8)
    assert found.seconds > 0


def test_every_seed_is_scored_on_the_valid_rows(models: Retraining, weighting: Weighting) -> None:
    steered, others = models.steered(weighting), models.reweighted(weighting)
    gain = models.gain(weighting)
    assert models.steered_seconds > 0
    for scores in (steered, others.scores):
        first, second = scores
        assert first.shape == second.shape == gain.shape
        assert (first != second).any()
    found = models.regret(weighting, others.scores)
    assert found.steered == pytest.approx(np.mean([utility(gain, s) for s in steered]))
    assert found.retrained == pytest.approx(np.mean([utility(gain, s) for s in others.scores]))


def test_equal_shares_are_the_model_that_is_steered(models: Retraining) -> None:
    shares = dict.fromkeys(models.means, 1 / 3)
    weighting = Weighting(shares, {name: 1 / mean for name, mean in models.means.items()})
    found = models.regret(weighting, models.reweighted(weighting).scores)
    assert found.regret == pytest.approx(0, abs=1e-6)
