"""Rows are known again by a sample of those that were trained on."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trimtab.data import seen
from trimtab.data.columns import Columns, Names
from trimtab.data.seen import Seen
from trimtab.training.folder import DAMAGE

NAMES = Names(ids=("user", "item"), numbers=("age",), lists=("tags",), labels=(), weights=())


def columns(rows: int, seed: int, values: int = 10**6) -> Columns:
    """Return rows of which each feature has so many values."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(0, 3, rows)
    return Columns(
        names=NAMES,
        arrays={
            "scene": draw.integers(0, 2, rows),
            "ids": draw.integers(0, values, (rows, 2)).astype(np.int32),
            "numbers": np.round(values**0.5 * draw.normal(size=(rows, 1))).astype(np.float32),
            "values.0": draw.integers(0, values, lengths.sum()).astype(np.int32),
            "offsets.0": np.cumsum([0, *lengths]),
        },
    )


def together(*parts: Columns) -> Columns:
    """Return the rows of several, one after another."""
    ends = np.cumsum([0, *(part.arrays["offsets.0"][-1] for part in parts)])
    arrays = {n: np.concatenate([p.arrays[n] for p in parts]) for n in parts[0].arrays}
    offsets = [p.arrays["offsets.0"][1:] + end for p, end in zip(parts, ends[:-1], strict=True)]
    return Columns(names=NAMES, arrays=arrays | {"offsets.0": np.concatenate([[0], *offsets])})


@pytest.mark.parametrize("kept", [100, 10_000])
def test_the_share_of_rows_that_were_trained_on(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "ROWS", kept)
    monkeypatch.setattr(seen, "_CHUNK", 700)
    train, valid, later = columns(3000, 0), columns(500, 1), columns(2000, 2)
    sample = Seen.of(train, valid)
    assert len(sample.hashes) == min(kept, 3000)
    assert sample.chance < 0.06
    assert sample.share(train) == pytest.approx(1)
    assert sample.share(valid) == sample.share(later) == 0
    near = 0.2 if kept == 100 else 0.01
    both = together(later, train.held([(0, 1000), (1500, 2500)]))
    assert sample.share(both) == pytest.approx(0.5, abs=near)
    assert sample.share(together(later, train.held([(0, 20)]))) == 0
    assert sample.share(both.part(2000, 4000)) == pytest.approx(1)
    backwards = both.held([(i, i + 1) for i in reversed(range(4000))])
    assert sample.share(backwards) == pytest.approx(sample.share(both))


def test_a_run_that_went_on_knows_the_rows_of_both() -> None:
    days = [columns(2500, seed) for seed in range(3)]
    first = Seen.of(days[0], days[2])
    second = Seen.of(days[1], days[2], first)
    np.testing.assert_array_equal(
        second.hashes, Seen.of(together(days[0], days[1]), days[2]).hashes
    )
    assert [second.share(day) > 0.9 for day in days] == [True, True, False]


def test_rows_that_are_alike_by_chance_are_not_said_to_be_known() -> None:
    train, valid, later = (columns(3000, seed, values=5) for seed in range(3))
    sample = Seen.of(train, valid)
    assert 0.2 < sample.chance < 0.95
    assert sample.share(later) == 0
    assert sample.share(train) == pytest.approx(1)


@pytest.mark.parametrize("name", ["scene", "ids", "numbers", "values.0"])
def test_every_feature_tells_rows_apart(name: str) -> None:
    train = columns(300, 0)
    changed = replace(train, arrays=train.arrays | {name: train.arrays[name] + 1})
    share = Seen.of(train, columns(300, 1)).share(changed)
    assert share == pytest.approx(1 / 3 if name == "values.0" else 0, abs=0.1)


def test_it_comes_back_from_json() -> None:
    sample = Seen.of(columns(50, 0), columns(0, 1))
    again = Seen.restore(json.loads(json.dumps(sample.state())))
    assert again is not None
    np.testing.assert_array_equal(again.hashes, sample.hashes)
    assert (again.chance, again.share(columns(50, 0))) == (
        sample.chance,
        sample.share(columns(50, 0)),
    )
    assert again.share(columns(0, 0)) == 0
    assert Seen.restore(None) is None


def test_nothing_is_said_on_a_handful_of_rows() -> None:
    train = columns(seen.ROWS * 10, 0)
    sample = Seen.of(train, columns(500, 1))
    few = train.held([(0, 3)] + [(i, i + 1) for i in range(100, 110)])
    assert sample.share(few) == 0
    assert sample.share(train.part(0, 2000)) == pytest.approx(1)


@pytest.mark.parametrize(
    "state", [[1], {}, {"hashes": "zz", "chance": 0}, {"hashes": "00", "chance": 0}], ids=str
)
def test_a_damaged_sample_is_among_what_is_damage(state: Any) -> None:
    with pytest.raises(DAMAGE):
        Seen.restore(state)
