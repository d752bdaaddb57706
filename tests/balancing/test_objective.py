from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from trimtab.balancing.reduction import Denominator
from trimtab.batch import Batch
from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared, prepare
from trimtab.training.build import build_state
from trimtab.training.state import State

ROWS = 80
POSITIVE_WEIGHT, TARGET_WEIGHT = 4.0, {"click": 1.0, "like": 2.5, "play": 0.5, "engage": 1.5}
SCENE_WEIGHT = {"cover": 2.0, "stream": 1.0, "other": 0.25}
SCENE_OF = {0: "cover", 1: "stream", 2: "stream", 9: "other"}
INSIDE = {
    "cover": ["click", "engage"],
    "stream": ["click", "like", "play", "engage"],
    "other": ["click", "engage"],
}


def frame() -> pl.DataFrame:
    random = np.random.default_rng(0)
    click = random.integers(0, 2, ROWS).astype(float)
    like = np.where(click == 1, random.integers(0, 2, ROWS), np.nan)
    click[:5] = np.nan
    return pl.DataFrame(
        {
            "x": random.normal(size=ROWS),
            "tab": random.choice([0, 1, 2, 9], ROWS),
            "click": click,
            "like": like,
            "play": np.where(random.random(ROWS) < 0.2, np.nan, random.normal(size=ROWS)),
            "row_weight": random.integers(0, 4, ROWS),
            "like_weight": random.integers(0, 3, ROWS) * 0.5,
            "play_weight": random.random(ROWS),
            "held_out": np.arange(ROWS) % 10 == 0,
        }
    )


def settings(
    denominator: Denominator = "rows", tower: str = "sum", scenes: dict[str, Any] | None = None
) -> RunSettings:
    column = {"column": "tab", "cover": [0], "stream": [1, 2], "weights": SCENE_WEIGHT}
    return parse(
        {
            "data": {
                "valid": {"column": "held_out", "values": [True]},
                "row_weight": "row_weight",
            },
            "features": {"x": {"kind": "number"}},
            "scenes": scenes or column,
            "targets": {
                "click": {"kind": "binary", "weight": TARGET_WEIGHT["click"]},
                "like": {
                    "kind": "binary",
                    "scene": "stream",
                    "weight": TARGET_WEIGHT["like"],
                    "positive_weight": POSITIVE_WEIGHT,
                    "row_weight": "like_weight",
                },
                "play": {
                    "kind": "number",
                    "scale": "none",
                    "scene": ["stream"],
                    "weight": TARGET_WEIGHT["play"],
                    "row_weight": "play_weight",
                    "given": "click",
                },
                "engage": {"kind": "blend", "of": {"click": 1}, "weight": TARGET_WEIGHT["engage"]},
            },
            "loss": {"denominator": denominator, "tower": tower},
        }
    )


def start(of: RunSettings) -> tuple[State, Prepared]:
    prepared = prepare(of.plan(), frame())
    return build_state(of, prepared), prepared


def value(number: Tensor) -> float:
    return float(number.detach())


def slow(state: State, data: Batch, denominator: Denominator, tower: str) -> dict[str, float]:
    """Weigh row by row: row, positives (in the loss), scene, tower; the target's comes later."""
    logits = {name: z[:, 0].double() for name, z in state.model(data).items()}
    names, sums, below = (
        list(INSIDE),
        dict.fromkeys(TARGET_WEIGHT, 0.0),
        dict.fromkeys(TARGET_WEIGHT, 0.0),
    )
    for i in range(len(data)):
        scene = names[int(data.scene[i])]
        y = {name: value(label[i]) for name, label in data.labels.items()}
        for target in INSIDE[scene]:
            weight = value(data.weights[""][i])
            if target in data.weights:
                weight *= value(data.weights[target][i])
            z = logits[target][i]
            log_sigmoid = torch.nn.functional.logsigmoid
            seen = not np.isnan(y["click" if target == "engage" else target])
            loss = torch.zeros(())
            if target in ("click", "engage") and seen:
                loss = -(log_sigmoid(z) if y["click"] == 1 else log_sigmoid(-z))
            if target == "like" and seen:
                loss = -(POSITIVE_WEIGHT * log_sigmoid(z) if y["like"] == 1 else log_sigmoid(-z))
            if target == "play":
                seen = seen and y["click"] == 1
                loss = (z - y["play"]) ** 2 if seen else loss
            share = 1 / len(INSIDE[scene]) if tower == "mean" else 1.0
            sums[target] += SCENE_WEIGHT[scene] * share * weight * value(loss)
            if denominator == "observed":
                below[target] += seen
            if denominator == "weights":
                below[target] += weight * seen
    if denominator == "rows":
        below = dict.fromkeys(below, float(len(data)))
    return {t: sums[t] / below[t] if below[t] else 0.0 for t in sums}


@pytest.mark.parametrize("tower", ["sum", "mean"])
@pytest.mark.parametrize("denominator", get_args(Denominator))
def test_every_level_of_weights_is_the_slow_one(denominator: Denominator, tower: str) -> None:
    state, prepared = start(settings(denominator, tower))
    everything = np.arange(len(prepared.train))
    scene = prepared.train.arrays["scene"]
    batches = {
        "all": everything,
        "no row of a scene": everything[scene != 1],
        "one scene": everything[scene == 1],
        "one row": everything[scene == 1][:1],
        "label missing": everything[:3],
    }
    for name, rows in batches.items():
        data = prepared.train.batch(rows)
        expected = slow(state, data, denominator, tower)
        losses = state.objective(state.model, data, state.model(data))
        assert {t: value(loss) for t, loss in losses.items()} == pytest.approx(
            expected, rel=1e-5, abs=1e-7
        ), name
        total = sum(TARGET_WEIGHT[target] * loss for target, loss in expected.items())
        assert value(state.balancer.combine(losses)) == pytest.approx(total, rel=1e-5), name


@pytest.mark.parametrize("denominator", get_args(Denominator))
def test_weights_of_scenes_and_the_mean_of_a_tower_are_no_no_op(denominator: Denominator) -> None:
    """Whatever the denominator, they do not cancel; the target is in one scene alone."""
    losses = {}
    for tower, weight in (("sum", 1.0), ("sum", 3.0), ("mean", 1.0)):
        scenes = {"column": "tab", "stream": [1, 2], "weights": {"stream": weight}}
        state, prepared = start(settings(denominator, tower, scenes))
        data = prepared.train.batch(np.arange(len(prepared.train)))
        found = state.objective(state.model, data, state.model(data))
        losses[tower, weight] = value(found["play"])
    assert losses["sum", 3.0] == pytest.approx(3 * losses["sum", 1.0], rel=1e-5)
    assert losses["mean", 1.0] == pytest.approx(losses["sum", 1.0] / 4, rel=1e-5)


def test_a_scene_of_weight_zero_trains_nothing_of_its_own() -> None:
    scenes = {"column": "tab", "stream": [1, 2], "weights": {"stream": 0}}
    state, prepared = start(settings(scenes=scenes))
    data = prepared.train.batch(np.arange(len(prepared.train)))
    losses = state.objective(state.model, data, state.model(data))
    state.balancer.combine(losses).backward()
    for name, parameter in state.model.named_parameters():
        inside = name.startswith("towers.stream")
        moved = parameter.grad is not None and bool((parameter.grad.to_dense() != 0).any())
        assert not (inside and moved), name
    assert state.model.towers["other"].heads["click"].bias.grad.any()  # type: ignore[union-attr]


def test_stages_have_weights_too() -> None:
    def losses(weights: dict[str, float]) -> dict[str, float]:
        of = parse(
            {
                "data": {"valid": {"column": "held_out", "values": [True]}},
                "features": {"x": {"kind": "number"}},
                "scenes": {"stages": ["first", "second"], "weights": weights},
                "targets": {
                    "click": {"kind": "binary", "scene": "first"},
                    "like": {"kind": "binary", "scene": "second", "given": "click"},
                },
            }
        )
        state, prepared = start(of)
        data = prepared.train.batch(np.arange(len(prepared.train)))
        found = state.objective(state.model, data, state.model(data))
        return {name: value(loss) for name, loss in found.items()}

    plain, weighted = losses({}), losses({"second": 3.0})
    assert weighted["click"] == plain["click"]
    assert weighted["like"] == pytest.approx(3 * plain["like"])
