"""Batches gathered from flat columns, against a slow loop."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trimtab.batch import Batch
from trimtab.data.columns import Columns, Names

NAN = float("nan")


def columns(*lists: list[list[int]]) -> Columns:
    """Return rows that can be told apart, with list features."""
    rows = len(lists[0])
    counter = np.arange(rows)
    arrays: dict[str, NDArray[np.generic]] = {
        "ids": np.stack([counter, counter + 100], axis=1).astype(np.int32),
        "numbers": (counter[:, None] / 2).astype(np.float32),
        "labels": np.stack([counter % 2, np.full(rows, NAN)], axis=1).astype(np.float32),
        "weights": (counter[:, None] + 1).astype(np.float32),
        "scene": counter % 3,
        "user": counter // 2,
    }
    for i, feature in enumerate(lists):
        arrays[f"values.{i}"] = np.array([v for row in feature for v in row], dtype=np.int32)
        arrays[f"offsets.{i}"] = np.cumsum([0, *map(len, feature)])
    names = Names(
        ids=("user", "item"),
        numbers=("age",),
        lists=tuple(f"list{i}" for i in range(len(lists))),
        labels=("click", "like"),
        weights=("",),
    )
    return Columns(names=names, arrays=arrays)


def check(batch: Batch, index: list[int], *lists: list[list[int]]) -> None:
    """Compare every part of a batch with a loop over its rows."""
    assert len(batch) == len(index)
    assert batch.ids.tolist() == [[row, row + 100] for row in index]
    assert batch.numbers.tolist() == [[row / 2] for row in index]
    assert batch.scene.tolist() == [row % 3 for row in index]
    assert batch.labels["click"].tolist() == [row % 2 for row in index]
    assert batch.labels["like"].isnan().all()
    assert batch.weights[""].tolist() == [row + 1 for row in index]
    for i, feature in enumerate(lists):
        ids = batch.lists[f"list{i}"]
        assert ids.values.tolist() == [value for row in index for value in feature[row]]
        assert ids.lengths.tolist() == [len(feature[row]) for row in index]
        assert ids.values.dtype == torch.int32
    assert batch.ids.dtype == torch.int32
    assert batch.scene.dtype == torch.int64
    assert batch.numbers.dtype == batch.labels["click"].dtype == torch.float32


@st.composite
def gathers(draw: st.DrawFn) -> tuple[list[list[int]], list[list[int]], list[int]]:
    rows = draw(st.integers(1, 8))
    feature = st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=rows, max_size=rows)
    index = draw(st.lists(st.integers(0, rows - 1), max_size=12))
    return draw(feature), draw(feature), index


@settings(max_examples=50, deadline=None)
@given(gathers())
def test_a_batch_equals_a_slow_loop(
    case: tuple[list[list[int]], list[list[int]], list[int]],
) -> None:
    one, other, index = case
    batch = columns(one, other).batch(np.array(index, dtype=np.int64))
    check(batch, index, one, other)


@pytest.mark.parametrize("index", [[], [1], [2, 2, 0, 3, 1], [3, 0]])
def test_rows_with_empty_lists_and_an_empty_index(index: list[int]) -> None:
    lists: list[list[int]] = [[], [5, 6], [], [7]]
    check(columns(lists).batch(np.array(index, dtype=np.int64)), index, lists)


def test_only_empty_lists() -> None:
    lists: list[list[int]] = [[], [], []]
    check(columns(lists).batch(np.array([2, 0])), [2, 0], lists)


def test_nothing_but_a_scene() -> None:
    """A run may have no ids, no numbers, no lists and, for new rows, no labels."""
    empty: Any = {name: np.zeros((3, 0), np.float32) for name in ("numbers", "labels", "weights")}
    empty |= {"ids": np.zeros((3, 0), np.int32), "scene": np.zeros(3, np.int64)}
    names = Names(ids=(), numbers=(), lists=(), labels=(), weights=())
    batch = Columns(names=names, arrays=empty).batch(np.array([2, 0]))
    assert len(batch) == 2
    assert batch.ids.shape == (2, 0)
    assert batch.numbers.shape == (2, 0)
    assert batch.lists == batch.labels == batch.weights == {}


def test_a_batch_is_a_copy() -> None:
    rows = columns([[1], [2]])
    batch = rows.batch(np.array([0, 1]))
    batch.numbers.zero_()
    batch.lists["list0"].values.zero_()
    assert rows.arrays["numbers"][1] == 0.5
    assert rows.arrays["values.0"].tolist() == [1, 2]


def test_one_label_of_every_row() -> None:
    rows = columns([[], [], []])
    assert len(rows) == 3
    assert rows.label("click").tolist() == [0, 1, 0]
    assert np.isnan(rows.label("like")).all()


def test_a_part_is_those_rows() -> None:
    lists = [[1, 2], [], [3], [4, 5, 6], [7]]
    part = columns(lists).part(1, 4)
    assert len(part) == 3
    check(part.batch(np.array([0, 2])), [1, 3], lists)
    assert len(part.part(3, 3)) == 0
