from dataclasses import replace

import numpy as np
import pytest

from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared, prepare
from trimtab.data.simulate import SimulationSettings, simulate
from trimtab.evaluation.metrics import utility
from trimtab.evaluation.predict import predict
from trimtab.training.build import build_state
from trimtab.training.loop import train
from trimtab.training.regret import (
    ONE,
    Stop,
    Trainer,
    Weighting,
    blended,
    draw,
    fused,
    mean_labels,
    names_in_blend,
    regret,
    reweighted,
)


@pytest.fixture(scope="module")
def run() -> tuple[RunSettings, Prepared]:
    log = simulate(SimulationSettings(rows=4000, users=300, items=200)).log
    settings = parse(
        {
            "data": {"time": "time_ms", "user": "user_id", "valid": "2d"},
            "features": {"user_id": "id", "item_id": "id"},
            "targets": {
                "stop": "binary",
                "click": "binary",
                "dwell": {"kind": "number", "column": "dwell"},
            },
            "embedding": {"width": 4, "own_width": 0},
            "training": {"epochs": 1, "batch_rows": 256},
        }
    )
    return settings, prepare(settings.plan(), log)


def test_shares_sum_to_one_and_weights_undo_the_scale() -> None:
    means = {"click": 0.5, "play": 20000.0}
    drawn = draw(means, 200, 0)
    assert drawn == draw(means, 200, 0)
    for weighting in drawn:
        assert sum(weighting.shares.values()) == pytest.approx(1, abs=1e-5)
        for name, weight in weighting.weights.items():
            assert weight * means[name] == pytest.approx(weighting.shares[name])
    near_a_corner = [max(w.shares.values()) > 0.9 for w in drawn]
    assert 0.3 < np.mean(near_a_corner) < 0.8


def test_a_blend_has_the_gain_of_the_weighting(run: tuple[RunSettings, Prepared]) -> None:
    settings, prepared = run
    weighting = draw(mean_labels(prepared.train, list(settings.targets)), 1, 0)[0]
    highest = {n: float(np.nanmax(prepared.train.label(n))) for n in settings.targets}
    blend = blended(settings, weighting, "every_row", highest)
    assert list(blend.targets) == [ONE]
    trainer = Trainer(prepared)
    rename = names_in_blend(list(settings.targets))
    assert set(rename.values()) == set(blend.labels())
    stop = trainer.stop(blend, rename)
    assert 0 < stop.epochs <= 1
    assert 0 < stop.score < 1
    predicted = trainer.scores(blend, stop, rename)[ONE]
    assert np.isfinite(predicted).all()


def test_nothing_is_stopped_on_the_rows_that_it_is_measured_on(
    run: tuple[RunSettings, Prepared],
) -> None:
    trainer = Trainer(run[1])
    inner = trainer.inner
    assert len(inner.train) + len(inner.valid) == len(run[1].train)
    assert len(inner.valid) == len(run[1].valid)


@pytest.mark.parametrize("rows", [1000, 1001])
def test_no_more_than_half_of_the_training_rows_are_kept_to_stop_on(
    run: tuple[RunSettings, Prepared], rows: int
) -> None:
    prepared = replace(run[1], train=run[1].train.part(0, rows), valid=run[1].train)
    inner = Trainer(prepared).inner
    assert (len(inner.train), len(inner.valid)) == (rows - 500, 500)


def test_training_without_looking_is_repeatable(run: tuple[RunSettings, Prepared]) -> None:
    trainer = Trainer(run[1])
    first, second = (trainer.scores(run[0], Stop(epochs=0.5), {}) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_tables_start_anew_as_in_a_run(run: tuple[RunSettings, Prepared]) -> None:
    settings, prepared = run
    changes = {"renew_tables": True, "epochs": 2, "patience": 99}
    training = settings.training.model_copy(update=changes)
    settings = settings.model_copy(update={"training": training})
    state = build_state(settings, prepared)
    train(
        state,
        prepared.train,
        training,
        evaluate=lambda: dict.fromkeys(settings.targets, 0.5),
        save=lambda state, better: None,
        progress=lambda state, rows: None,
    )
    expected = predict(state.model, prepared.valid)["stop"]
    np.testing.assert_array_equal(
        Trainer(prepared).scores(settings, Stop(epochs=2), {})["stop"], expected
    )


def test_own_parts_are_those_of_their_own_time(run: tuple[RunSettings, Prepared]) -> None:
    settings, prepared = run
    trainer = Trainer(prepared)
    late, early = (trainer.scores(settings, Stop(epochs=e), {}) for e in (1, 0.5))
    mixed = trainer.scores(settings, Stop(epochs=1, own={"click": 0.5}), {})
    np.testing.assert_array_equal(mixed["stop"], late["stop"])
    assert (mixed["click"] != late["click"]).any()
    assert (mixed["click"] != early["click"]).any()


def test_reweighted_keeps_the_mean_weight(run: tuple[RunSettings, Prepared]) -> None:
    shares = {"stop": 0.5, "click": 0.25, "dwell": 0.25}
    found = reweighted(run[0], Weighting(shares, {}))
    assert [t.weight for t in found.targets.values()] == [1.5, 0.75, 0.75]


def test_regret_is_the_difference_of_utilities() -> None:
    random = np.random.default_rng(0)
    gain = random.exponential(size=500)
    gain[3] = np.nan
    good = [gain + random.normal(size=500) for _ in range(3)]
    bad = [gain + 3 * random.normal(size=500) for _ in range(3)]
    known = ~np.isnan(gain)
    good, bad = ([np.nan_to_num(s) for s in scores] for scores in (good, bad))
    found = regret(gain, good, bad, np.arange(500) // 5)
    expected = [np.mean([utility(gain[known], s[known]) for s in x]) for x in (good, bad)]
    assert found.steered == pytest.approx(expected[0])
    assert found.regret == pytest.approx(expected[1] - expected[0])
    assert found.interval[0] < found.regret < found.interval[1] < 0
    assert found.noise > 0


def test_a_score_is_the_weighted_sum() -> None:
    weighting = Weighting({}, {"a": 2.0, "b": -1.0})
    values = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, np.nan])}
    np.testing.assert_array_equal(fused(values, weighting), [-1.0, np.nan])
