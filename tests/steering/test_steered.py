from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab.data.read import as_frame
from trimtab.errors import DataError, InputError
from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas.base import Formula, parse
from trimtab.steering.steered import Steered

Many = Callable[[int], Candidates]


@dataclass
class Rows:
    """Stands for a run: gives the same candidates, of a frame's rows by their ``row``."""

    every: Candidates

    def table(self, data: Any) -> pl.DataFrame:
        return as_frame(data, empty=True)

    def candidates(self, data: Any = None, *, labelled: bool = True) -> Candidates:
        if data is None:
            return self.every
        place = data["row"].to_numpy()
        found = replace(
            self.every,
            predictions={n: p[place] for n, p in self.every.predictions.items()},
            labels={n: y[place] for n, y in self.every.labels.items()},
            group=self.every.group[place],
            scene=self.every.scene[place],
        )
        return found if labelled else replace(found, labels={})

    def profile(self, name: str | None = None, rows: Candidates | None = None) -> Formula:
        return parse({"kind": "additive", "weights": {"click": 1}}, "profile")


@pytest.fixture
def steered(many: Many) -> Steered:
    formula = {"kind": "additive", "weights": {"click": 1, "like": 5}}
    return Steered(Rows(many(200)), parse(formula, "profile"))


def test_no_candidates_are_no_rows(steered: Steered) -> None:
    ranked = steered.rank(pl.DataFrame(schema={"row": pl.Int64, "name": pl.String}))
    assert (ranked.columns, len(ranked)) == (["row", "name", "score", "rank"], 0)
    assert len(steered.score(pl.DataFrame(schema={"row": pl.Int64}))) == 0


def test_rank_is_that_of_a_slow_one(steered: Steered) -> None:
    shuffled = np.random.default_rng(0).permutation(200)
    frame = pl.DataFrame({"row": shuffled, "name": [f"item {i}" for i in shuffled]})
    ranked = steered.rank(frame)
    assert ranked.columns == ["row", "name", "score", "rank"]
    score, group = steered.score(frame), shuffled // 10
    expected = []
    for user in dict.fromkeys(group):
        here = np.flatnonzero(group == user)
        expected += [(shuffled[i], r) for r, i in enumerate(here[np.argsort(-score[here])], 1)]
    assert list(zip(ranked["row"], ranked["rank"], strict=True)) == expected
    by_row = dict(zip(shuffled, score, strict=True))
    assert ranked["score"].to_list() == [by_row[row] for row in ranked["row"]]


def test_equal_scores_stay_in_the_rows_order(many: Many) -> None:
    formula = parse({"kind": "expression", "text": "0 * click"}, "profile")
    frame = pl.DataFrame({"row": [15, 3, 11, 7]})
    ranked = Steered(Rows(many(20)), formula).rank(frame)
    assert ranked.rows() == [(15, 0, 1), (11, 0, 2), (3, 0, 1), (7, 0, 2)]


def test_frames_of_other_libraries(steered: Steered) -> None:
    assert steered.rank(pl.DataFrame({"row": [1, 0]}).to_pandas()).height == 2
    assert steered.rank(pl.DataFrame({"row": [1, 0]}).to_arrow()).height == 2


def test_a_column_of_its_name_is_not_overwritten(steered: Steered) -> None:
    with pytest.raises(DataError, match="have a column 'rank' already; rename or drop"):
        steered.rank(pl.DataFrame({"row": [0], "rank": [1]}))


def test_effect_is_against_the_current_profile(steered: Steered) -> None:
    found = steered.effect(k=3, intervals=False)
    assert found["against"]["weights"] == {"click": {"weight": 1, "per": None, "cap": None}}
    assert found["k"] == 3
    current = Steered(steered.run, steered.run.profile())
    assert current.effect()["against"] is None
    assert steered.effect(pl.DataFrame({"row": range(50)}))["rows"] == 50


def test_off_policy_with_random_exposure_and_with_propensities(steered: Steered) -> None:
    every = steered.off_policy()
    assert set(every) == {"click", "like", "play"}
    assert every["like"].value > every["like"].logged
    frame = pl.DataFrame({"row": range(200), "shown": [0.5] * 200, "why": ["a"] * 200})
    assert steered.off_policy(frame, propensity="shown")["click"].value == pytest.approx(
        every["click"].value
    )
    soft = steered.off_policy(temperature=100.0)["play"]
    assert soft.value == pytest.approx(soft.logged, rel=0.01)
    for rows, column, says in (
        (None, "shown", "give the rows that have the column 'shown'"),
        (frame, "show", "no column 'show'. Did you mean 'shown'"),
        (frame, "why", "column 'why' is String; expected numbers"),
    ):
        with pytest.raises(InputError, match=says):
            steered.off_policy(rows, propensity=column)
