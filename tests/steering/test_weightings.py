from collections.abc import Callable

import numpy as np
import pytest

from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas.base import parse
from trimtab.steering.weightings import Weightings

Many = Callable[[int], Candidates]
TARGETS = ["click", "like", "play"]


def of(rows: Candidates, **weights: object) -> Weightings:
    current = parse({"kind": "additive", "weights": weights}, "now") if weights else None
    return Weightings.of(rows, TARGETS, current)


def test_a_formula_scores_as_the_weights_do(many: Many) -> None:
    rows = many(100)
    weightings = of(rows)
    for weights in weightings.draw(np.random.default_rng(0), 20):
        natural = weights * weightings.natural
        score = sum(w * rows.predictions[n] for w, n in zip(natural, TARGETS, strict=True))
        np.testing.assert_allclose(weightings.formula(weights).score(rows), score)
        assert weights[np.flatnonzero(weights)[0]] == 1
        assert [float(f"{w:.3g}") for w in weights] == pytest.approx(list(weights), rel=1e-12)


def test_durations_are_weighed_per_minute(many: Many) -> None:
    rows = many(100)
    weightings = of(rows)
    assert weightings.formula(np.array([1.0, 0, 2])).weights["play"].per == "min"
    assert weightings.mean[2] == pytest.approx(rows.predictions["play"].mean() / 60_000)


def test_shares_and_back(many: Many) -> None:
    weightings = of(many(500))
    shares = np.array([[0.5, 0.25, 0.25], [0, 1, 0], [0.2, 0.8, 0]])
    np.testing.assert_allclose(weightings.shares(weightings.tidy(shares)), shares, rtol=0.02)
    np.testing.assert_allclose(weightings.shares(weightings.corners()), np.eye(3))


def test_variants_stay_near_and_between(many: Many) -> None:
    weightings, random = of(many(500)), np.random.default_rng(0)
    shares = np.array([[0.5, 0.3, 0.2], [0.3, 0.3, 0.4]])
    near = weightings.near(random, weightings.tidy(shares), 300, spread=0.01)
    found = weightings.shares(near)
    assert (found.min(axis=0) > shares.min(axis=0) - 0.03).all()
    assert (found.max(axis=0) < shares.max(axis=0) + 0.03).all()


def test_what_is_not_wanted_stays_below_0(many: Many) -> None:
    weightings = of(many(100), click=1, like=-2)
    weights = weightings.draw(np.random.default_rng(0), 50)
    assert (weights[:, 1] <= 0).all()
    assert (weights[:, [0, 2]] >= 0).all()


def test_the_weights_of_now(many: Many) -> None:
    rows = many(100)
    play = {"weight": 2, "per": "s"}
    linear = parse({"kind": "additive", "weights": {"click": 1, "play": play}}, "now")
    weightings = of(rows)
    np.testing.assert_allclose(weightings.now(linear, rows.units), [[1, 0, 120]])
    for other in (
        {"kind": "expression", "text": "click"},
        {"kind": "additive", "weights": {"click * like": 1}},
        {"kind": "additive", "weights": {"play": {"weight": 1, "cap": 3}}},
        {"kind": "additive", "weights": {"click": 1}, "scenes": {"cover": {"click": 2}}},
    ):
        assert weightings.now(parse(other, "now"), rows.units).shape == (0, 3)
