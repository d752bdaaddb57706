"""Vocabularies grow at their ends, against a slow dictionary."""

from collections import Counter
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.config.load import parse
from trimtab.data.prepare import Base, prepare
from trimtab.data.statistics import Statistics
from trimtab.data.vocabulary import UNSEEN, Vocabulary

days: Any = st.lists(st.lists(st.integers(0, 9) | st.none(), max_size=15), min_size=1, max_size=4)


def slow_values(days: list[list[int | None]], least_rows: int) -> list[int]:
    """Return the values in the order of their rows: day by day, those of the day's rows first."""
    known: list[int] = []
    counts: Counter[int] = Counter()
    for day in days:
        today = Counter(value for value in day if value is not None)
        counts += today
        new = sorted((v for v in today if v not in known), key=lambda v: (-today[v], v))
        known += [value for value in new if today[value] >= least_rows]
        late = sorted((v for v in new if v not in known), key=lambda v: (-counts[v], v))
        known += [value for value in late if counts[value] >= least_rows]
    return known


@settings(max_examples=150, deadline=None)
@given(days, st.integers(1, 4), st.booleans())
def test_growing_equals_a_slow_dictionary(
    days: list[list[int | None]], least_rows: int, as_text: bool
) -> None:
    parts = [pl.Series("v", day, dtype=pl.Int64) for day in days]
    parts = [part.cast(pl.String) if as_text else part for part in parts]
    grown = Vocabulary.learn(parts[0], least_rows)
    for part in parts[1:]:
        grown = grown.grown(Vocabulary.learn(part, least_rows), least_rows)
    assert [int(value) for value in grown.values] == slow_values(days, least_rows)
    assert grown.rare["rows"].sum() == sum(
        rows
        for value, rows in Counter(v for day in days for v in day if v is not None).items()
        if value not in slow_values(days, least_rows)
    )


@pytest.mark.parametrize(
    ("old", "new", "values"),
    [
        ([1, 2], ["2", "3"], [1, 2, 3]),
        ([1, 2], ["x", "2", "007"], ["1", "2", "007", "x"]),
        (["x", "2"], [2, 3], ["2", "x", "3"]),
        ([7], ["007", "8"], [7, 8]),
        ([8], ["007", "7"], [8, 7]),
        ([None], [2], ["2"]),
        ([2], [None], [2]),
    ],
)
def test_types_may_drift_from_day_to_day(old: Any, new: Any, values: Any) -> None:
    grown = Vocabulary.learn(pl.Series(old), 1).grown(Vocabulary.learn(pl.Series(new), 1), 1)
    assert grown.values.to_list() == values
    before = [value for value in old if value is not None]
    rows = Vocabulary.learn(pl.Series(old), 1).encode(pl.Series(before)).tolist()
    assert grown.encode(pl.Series(before)).tolist() == rows
    assert UNSEEN not in rows


FEATURES = {
    "user": "id",
    "seen": {"kind": "ids", "shares": "item"},
    "item": "id",
    "age": "number",
    "hour": {"kind": "number", "scale": "quantile"},
}
FIRST_DAY = pl.DataFrame(
    {
        "user": ["a", "a", "b", "b", "c"],
        "item": [1, 1, 2, 2, 3],
        "seen": [[1], [2, 7], [], [1], [2]],
        "age": [1.0, 2.0, 3.0, 4.0, 5.0],
        "hour": [1, 2, 3, 4, 5],
        "scene": ["x", "x", "y", "x", "y"],
    }
)
SECOND_DAY = pl.DataFrame(
    {
        "user": ["d", "d", "c", "a", "e"],
        "item": [7, 7, 1, 9, 9],
        "seen": [[9], [7], [1], [3], [8]],
        "age": [100.0, None, 300.0, 400.0, 500.0],
        "hour": [21, 22, 23, 20, 20],
        "scene": ["z", "z", "z", "z", "z"],
    }
)


def learnt(frame: pl.DataFrame) -> Statistics:
    run = parse(
        {
            "features": FEATURES,
            "targets": {"y": "binary"},
            "scenes": {"column": "scene", "one": ["x"], "two": ["y"]},
        }
    )
    return Statistics.learn(run.features, run.scenes, frame)


def test_new_ids_come_after_old_ones_and_the_rest_stays() -> None:
    old = learnt(FIRST_DAY)
    grown = old.grown(learnt(SECOND_DAY))
    assert old.tables["user"] == 4
    assert grown.learnt["user"].vocabulary.values.to_list() == ["a", "b", "d", "c"]  # type: ignore[attr-defined]
    assert grown.learnt["item"].vocabulary.values.to_list() == [1, 2, 7, 9]  # type: ignore[attr-defined]
    before, after = old.encode(FIRST_DAY), grown.encode(FIRST_DAY)
    assert before["item"].ids["item"].tolist()[:4] == after["item"].ids["item"].tolist()[:4]
    assert after["seen"].lists["seen"][0].tolist() == [2, 3, 4, 2, 3]
    for name in ("age", "hour"):
        assert grown.learnt[name].state() == old.learnt[name].state()
    assert grown.scenes.state() == old.scenes.state()
    assert grown.tables["hour"] == old.tables["hour"]


def test_what_has_grown_is_kept_and_grows_on(tmp_path: Any) -> None:
    grown = learnt(FIRST_DAY).grown(learnt(SECOND_DAY))
    grown.save(tmp_path)
    loaded = Statistics.load(tmp_path, grown.settings)
    assert loaded.tables == grown.tables
    again = loaded.grown(learnt(SECOND_DAY))  # e stood once before, and once more now.
    assert again.learnt["user"].vocabulary.values.to_list()[-1] == "e"  # type: ignore[attr-defined]


def test_complete_statistics_learn_nothing_of_the_rows() -> None:
    valid = {"column": "hour", "values": [20]}
    run = parse({"data": {"valid": valid}, "features": {"user": "id"}, "targets": {"y": "binary"}})
    rows = SECOND_DAY.with_columns(y=pl.Series([0, 1, 0, 1, 0]))
    first = Statistics.learn(run.features, None, FIRST_DAY)
    plan = run.plan()
    for complete, tables in ((False, {"user": 6}), (True, {"user": 4})):
        base = Base(key="k", statistics=first, complete=complete)
        prepared = prepare(replace(plan, base=base), rows)
        assert prepared.statistics.tables == tables
