import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trimtab.evaluation import metrics
from trimtab.steering.candidates import Candidates
from trimtab.steering.effect import effect
from trimtab.steering.formulas.base import Formula, parse
from trimtab.steering.ndcg import Ndcg

Many = Callable[[int], Candidates]


def additive(**weights: Any) -> Formula:
    return parse({"kind": "additive", "weights": weights}, "profile")


PLAY = {"weight": 0.5, "per": "min"}


@pytest.fixture
def formula() -> Formula:
    return additive(click=1, like=4, play=PLAY)


def test_values_are_those_of_the_metrics(many: Many, formula: Formula) -> None:
    rows = many(600)
    found = effect(rows, formula, k=3)
    score = formula.score(rows)
    click, play = found["targets"]["click"], found["targets"]["play"]
    assert click["auc"]["value"] == pytest.approx(metrics.auc(rows.labels["click"], score))
    grouped = metrics.grouped_auc(rows.labels["click"], score, rows.group)
    assert click["gauc"]["value"] == pytest.approx(grouped)
    assert set(click) == {"rows", "auc", "gauc", "ndcg"}
    assert play["utility"]["value"] == pytest.approx(metrics.utility(rows.labels["play"], score))
    assert play["xauc"]["value"] == pytest.approx(metrics.xauc(rows.labels["play"], score))
    ndcg = Ndcg(rows.labels["play"][None], rows.group, k=3).mean(score)[0]
    assert play["ndcg"]["value"] == pytest.approx(ndcg)
    gain = rows.labels["click"] + 4 * rows.labels["like"] + rows.labels["play"] / 120_000
    assert found["fused"]["utility"]["value"] == pytest.approx(metrics.utility(gain, score))
    assert (found["rows"], found["lists"], found["k"]) == (600, 60, 3)


def test_scenes_hold_their_own_rows(many: Many, formula: Formula) -> None:
    rows = many(600)
    here = rows.scene == 1
    scene = effect(rows, formula)["scenes"]["cover"]
    expected = metrics.auc(rows.labels["like"][here], formula.score(rows)[here])
    assert scene["targets"]["like"]["auc"]["value"] == pytest.approx(expected)
    assert scene["rows"] == 300


def test_the_fast_way_has_the_same_values(many: Many, formula: Formula) -> None:
    rows, against = many(400), additive(like=1)
    full, fast = (effect(rows, formula, against, intervals=i) for i in (True, False))
    for target, found in fast["targets"].items():
        assert "xauc" not in found
        for name in set(found) - {"rows"}:
            assert set(found[name]) == {"value", "against", "difference"}
            whole = full["targets"][target][name]
            assert found[name] == pytest.approx({key: whole[key] for key in found[name]})


def test_against_another_formula(many: Many, formula: Formula) -> None:
    rows, against = many(2000), additive(click=1)
    found = effect(rows, formula, against)["targets"]
    like, click = found["like"]["auc"], found["click"]["auc"]
    assert like["difference"] == pytest.approx(like["value"] - like["against"])
    assert like["against"] == pytest.approx(
        effect(rows, against)["targets"]["like"]["auc"]["value"]
    )
    assert like["difference_interval"][0] > 0
    assert click["difference_interval"][1] < 0
    low, high = like["interval"]
    assert high - low > np.ptp(like["difference_interval"]) / 2
    same = effect(rows, formula, formula)["fused"]["utility"]
    assert same["difference"] == 0
    assert same["difference_interval"] == [0, 0]


def test_the_fused_gain_of_the_other_order_is_by_the_same_weights(many: Many) -> None:
    rows, against = many(500), additive(click=1)
    found = effect(rows, additive(like=1), against)["fused"]["utility"]
    expected = metrics.utility(rows.labels["like"], against.score(rows))
    assert found["against"] == pytest.approx(expected)


def test_json_with_labels_missing_and_scenes_without_a_target(rows: Candidates) -> None:
    found = effect(rows, additive(click=1, play=PLAY), additive(like=1))
    json.dumps(found, allow_nan=False)
    assert found["targets"]["like"]["rows"] == 5
    assert "play" not in found["scenes"]["cover"]["targets"]
    assert found["fused"]["utility"]["value"] is not None


def test_no_fused_gain_of_other_formulas(many: Many) -> None:
    found = effect(many(100), parse({"kind": "expression", "text": "click^2"}, "profile"))
    assert found["fused"] is None
    assert found["formula"] == {"kind": "expression", "text": "click^2"}


def test_rows_of_which_nothing_is_known(many: Many, formula: Formula) -> None:
    rows = many(50)
    for label in rows.labels.values():
        label[:] = np.nan
    found = effect(rows, formula)
    assert (found["targets"], found["fused"]) == ({}, None)
    assert effect(rows.some(np.zeros(50, dtype=bool)), formula)["rows"] == 0
