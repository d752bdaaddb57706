"""What every formula owes, and the golden values of each."""

import json
from typing import Any

import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas import formulas
from trimtab.steering.formulas.base import parse

EXAMPLES: dict[str, dict[str, Any]] = {
    "additive": {"weights": {"click": 1, "like": 10, "play": {"weight": 0.1, "per": "min"}}},
    "multiplicative": {"terms": {"click": {"power": 2}, "like": {"b": 5}}},
    "rank": {"weights": {"click": 1, "like": 2}},
    "expression": {"text": "click + 10 * like"},
}


def test_every_kind_has_an_example() -> None:
    assert set(EXAMPLES) == set(formulas)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_json_and_back(kind: str, rows: Candidates) -> None:
    formula = parse({"kind": kind, **EXAMPLES[kind]}, "profile")
    again = parse(json.loads(json.dumps(formula.model_dump())), "profile")
    assert again == formula
    score = formula.score(rows)
    assert score.shape == (6,)
    np.testing.assert_array_equal(again.score(rows), score)
    formula.require(rows.units, rows.scenes)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_rows_of_no_one(kind: str, rows: Candidates) -> None:
    formula = parse({"kind": kind, **EXAMPLES[kind]}, "profile")
    assert formula.score(rows.some(np.zeros(6, dtype=bool))).shape == (0,)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_unknown_target_is_named(kind: str, rows: Candidates) -> None:
    text = json.dumps({"kind": kind, **EXAMPLES[kind]}).replace("click", "clik")
    with pytest.raises(InputError, match="no target named 'clik'.*click"):
        parse(json.loads(text), "profile").require(rows.units, rows.scenes)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"click": 1}, r'^steer: kind is missing; expected one of additive, .*"weights": {"click"'),
        ({"kind": "additve"}, "^steer: no kind of formula named 'additve'. Did you mean"),
        ({"kind": "sum"}, "named 'sum'. Known: additive, expression, multiplicative, rank."),
        ({"kind": 7}, "^steer: no kind of formula named '7'. Known: additive"),
        ([1, 2], r"^steer: expected a formula, such as .*; found \[1, 2\]$"),
    ],
)
def test_what_is_no_formula_is_told_how_one_looks(given: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse(given, "steer")


def score(rows: Candidates, kind: str, **settings: Any) -> list[float]:
    formula = parse({"kind": kind, **settings}, "profile")
    formula.require(rows.units, rows.scenes)
    return [round(float(value), 9) for value in formula.score(rows)]


def test_additive(rows: Candidates) -> None:
    found = score(rows, "additive", weights={"click": 1, "like": -10})
    assert found == [0.0, 0.3, -0.2, -2.8, -0.1, 0.4]


def test_a_duration_per_minute_with_a_cap(rows: Candidates) -> None:
    play = {"weight": 2, "per": "min", "cap": 1}
    assert score(rows, "additive", weights={"play": play}) == [2.0, 1.0, 0.0, 0.0, 0.2, 2.0]


def test_a_product_of_targets(rows: Candidates) -> None:
    found = score(rows, "additive", weights={"click * like": 100})
    assert found == [0.1, 1.0, 1.5, 6.0, 9.0, 0.0]


def test_a_product_is_one_however_it_is_written(rows: Candidates) -> None:
    inside = {"like*click": 0}
    found = score(rows, "additive", weights={"click * like": 100}, scenes={"cover": inside})
    assert found == [0.1, 1.0, 0.0, 0.0, 9.0, 0.0]
    with pytest.raises(InputError, match="'click \\* like' is weighed twice"):
        score(rows, "additive", weights={"click*like": 1, "like * click": 2})


def test_a_scene_has_its_own_weights(rows: Candidates) -> None:
    found = score(rows, "additive", weights={"click": 1}, scenes={"cover": {"click": 0, "like": 1}})
    assert found == [0.1, 0.5, 0.05, 0.3, 0.9, 0.4]


def test_the_gain_is_the_same_sum_of_labels(rows: Candidates) -> None:
    weights = {"click": 1, "like": -10, "click * like": 2, "play": {"weight": 3, "per": "s"}}
    found = parse({"kind": "additive", "weights": weights}, "profile").gain(rows)
    # Play is not had in the scene of rows 2 and 3, so it adds nothing; row 5's like is not known.
    np.testing.assert_array_equal(found, [0, 61, 0, -7, 16, np.nan])  # type: ignore[arg-type]


def test_a_gain_of_a_scene_and_of_a_weight_of_0(rows: Candidates) -> None:
    settings = {"weights": {"click": 1, "like": 0}, "scenes": {"cover": {"like": 5}}}
    found = parse({"kind": "additive", **settings}, "profile").gain(rows)
    np.testing.assert_array_equal(found, [0, 1, 0, 6, 1, 0])  # type: ignore[arg-type]


def test_formulas_that_are_no_sums_have_no_gain(rows: Candidates) -> None:
    for kind in set(EXAMPLES) - {"additive"}:
        formula = parse({"kind": kind, **EXAMPLES[kind]}, "profile")
        assert formula.gain(rows) is None
        assert formula.linear(rows.units) is None
    rows.labels.pop("like")  # type: ignore[attr-defined]
    assert parse({"kind": "additive", "weights": {"like": 1}}, "profile").gain(rows) is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"weights": {"click": 0}}, "every weight is 0"),
        ({"weights": {}}, "1 or more entries"),
        ({"weights": {"click": float("nan")}}, "finite number"),
        ({"weights": {"click": "much"}}, "a number"),
        ({"weights": {"click": {"weight": 1, "per": "min"}}}, "no unit of time"),
        ({"weights": {"play": {"weight": 1, "per": "mile"}}}, "'mile'"),
        ({"weights": {"click": 1}, "scenes": {"stage": {"click": 2}}}, "no scene named 'stage'"),
    ],
)
def test_additive_refuses(settings: dict[str, Any], says: str, rows: Candidates) -> None:
    with pytest.raises(InputError, match=says):
        score(rows, "additive", **settings)


def test_multiplicative_orders_like_the_product(rows: Candidates) -> None:
    terms = {"click": {"a": 0, "power": 2}, "like": {"a": 1, "b": 5}}
    product = rows.predictions["click"] ** 2 * (1 + 5 * rows.predictions["like"])
    np.testing.assert_allclose(np.exp(score(rows, "multiplicative", terms=terms)), product)


def test_multiplicative_refuses_a_factor_of_zero(rows: Candidates) -> None:
    with pytest.raises(InputError, match="terms.like: a .* is 0 in row 5"):
        score(rows, "multiplicative", terms={"like": {"a": 0}})


def test_rank_within_user_and_over_all(rows: Candidates) -> None:
    first = score(rows, "rank", weights={"click": 1}, smoothing=1)
    np.testing.assert_allclose(first, [1 / 4, 1 / 2, 1 / 3, 1 / 4, 1 / 2, 1 / 3], atol=1e-9)
    every = score(rows, "rank", weights={"click": 1}, smoothing=1, within="all")
    np.testing.assert_allclose(every, [1 / 7, 1 / 3, 1 / 5, 1 / 6, 1 / 2, 1 / 4], atol=1e-9)


def test_equal_predictions_share_a_rank(rows: Candidates) -> None:
    rows.predictions["click"][:] = 0.5  # type: ignore[index]
    assert score(rows, "rank", weights={"click": 6}, smoothing=1) == [2.0] * 6
