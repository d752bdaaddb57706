import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.evaluation import metrics
from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas.base import Formula, parse
from trimtab.steering.question import solve

Many = Callable[[int], Candidates]


@pytest.fixture
def current() -> Formula:
    return parse({"kind": "additive", "weights": {"click": 1, "like": 2}}, "now")


@pytest.mark.parametrize("metric", ["utility", "ndcg@5"])
def test_more_of_one_and_no_less_of_another(metric: str, many: Many, current: Formula) -> None:
    rows = many(500)
    found = solve(rows, current, maximise="play", keep={"like": "now"}, metric=metric, trials=150)
    assert found.met
    assert found.values["like"] >= found.now["like"] - 1e-9
    assert found.values["play"] > found.now["play"]
    assert found.bounds["like"] == found.now["like"]
    if metric == "utility":
        score = found.formula.score(rows)
        assert found.values["play"] == pytest.approx(metrics.utility(rows.labels["play"], score))
        assert found.now["like"] == pytest.approx(
            metrics.auc(rows.labels["like"], current.score(rows))
        )
    json.dumps(found.as_dict(), allow_nan=False)


def test_it_comes_near_the_best_of_a_grid(many: Many, current: Formula) -> None:
    rows = many(500)
    found = solve(rows, current, maximise="play", keep={"like": 0.75}, trials=400)
    best = 0.0
    means = {name: rows.predictions[name].mean() for name in ("click", "like", "play")}
    for a in np.linspace(0, 1, 21):
        for b in np.linspace(0, 1 - a, 21):
            shares = dict(zip(means, (a, b, 1 - a - b), strict=True))
            score = sum(s / means[n] * rows.predictions[n] for n, s in shares.items())
            if metrics.auc(rows.labels["like"], score) >= 0.75:
                best = max(best, metrics.utility(rows.labels["play"], score))
    assert found.values["play"] > best - 0.002


def test_nothing_kept_is_the_target_alone(many: Many, current: Formula) -> None:
    found = solve(many(300), current, maximise="click", keep={}, trials=60)
    assert found.met
    assert found.bounds == {}
    assert found.values["click"] >= found.now["click"]


def test_what_cannot_be_kept_gives_the_nearest(many: Many, current: Formula) -> None:
    rows = many(400)
    found = solve(rows, current, maximise="play", keep={"like": 0.999}, trials=200)
    assert not found.met
    alone = metrics.auc(rows.labels["like"], rows.predictions["like"])
    assert found.values["like"] >= alone - 1e-9


def test_what_is_not_wanted_is_kept_down(many: Many) -> None:
    rows = many(400)
    current = parse({"kind": "additive", "weights": {"click": 1, "like": -1}}, "now")
    found = solve(rows, current, maximise="click", keep={"like": "now"}, trials=100)
    assert found.met
    assert found.values["like"] <= found.now["like"] + 1e-9
    low = solve(rows, current, maximise="like", keep={}, trials=100)
    assert low.values["like"] < 0.5


UNWANTED: list[dict[str, Any]] = [
    {"kind": "additive", "weights": {"click": {"weight": 1, "cap": 0.9}, "like": -1}},
    {
        "kind": "additive",
        "weights": {"click": 1, "like": -1},
        "scenes": {"cover": {"click": 2}},
    },
    {"kind": "multiplicative", "terms": {"click": {}, "like": {"power": -1}}},
    {"kind": "multiplicative", "terms": {"click": {}, "like": {"b": -0.5}}},
    {"kind": "rank", "weights": {"click": 1, "like": -1}},
    {"kind": "expression", "text": "click - 1.2 * like"},
    {"kind": "expression", "text": "click / (1 + like)"},
]


@pytest.mark.parametrize("formula", UNWANTED)
def test_what_any_formula_does_not_want_is_kept_down(formula: dict[str, Any], many: Many) -> None:
    rows, current = many(400), parse(formula, "now")
    assert current.unwanted(rows, ["click", "like", "play"]) == ["like"]
    found = solve(rows, current, maximise="click", keep={"like": "now"}, trials=100)
    assert not found.met or found.values["like"] <= found.now["like"] + 1e-9


def test_refused(many: Many, current: Formula) -> None:
    rows = many(60)
    with pytest.raises(InputError, match="'plya' is no target .* 'play'"):
        solve(rows, current, maximise="plya", keep={})
    with pytest.raises(InputError, match="'play' is named twice"):
        solve(rows, current, maximise="play", keep={"play": "now"})
    for bound in (1.5, float("nan")):
        with pytest.raises(InputError, match="keep like: .* expected 'now' or a share"):
            solve(rows, current, maximise="play", keep={"like": bound})
