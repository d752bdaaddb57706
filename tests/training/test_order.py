"""The order of training rows: all of them once an epoch, well mixed, the same after a resume."""

import os
import threading
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trimtab.data.columns import Columns, Matrices, Names, Spans, take_by_numpy
from trimtab.training import order as module
from trimtab.training.order import BLOCKS, Index, Order, batches, room


def epoch(order: Order, number: int = 0) -> list[list[int]]:
    """Return the rows of each batch of an epoch."""
    found = order.indices(number * order.steps, (number + 1) * order.steps)
    return [rows.tolist() for rows in found]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2000), st.integers(1, 90), st.integers(1, 700), st.integers(0, 3))
def test_every_row_once_an_epoch(rows: int, batch_rows: int, buffer_rows: int, number: int) -> None:
    order = Order(rows, batch_rows, 5, buffer_rows=buffer_rows)
    found = epoch(order, number)
    assert sorted(row for batch in found for row in batch) == list(range(rows))
    assert [len(batch) for batch in found[:-1]] == [batch_rows] * (order.steps - 1)


def test_without_a_bound_it_is_one_permutation() -> None:
    wanted = np.random.default_rng((7, 2)).permutation(1000)
    for buffer_rows in (None, 1000, 10**9):
        order = Order(1000, 64, 7, buffer_rows=buffer_rows)
        assert np.concatenate(epoch(order, 2)).tolist() == wanted.tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 300))
def test_the_rest_after_a_resume_is_the_rest(step: int, more: int, buffer_rows: int) -> None:
    order = Order(500, 16, 3, buffer_rows=buffer_rows)
    whole = [rows.tolist() for rows in order.indices(0, step + more)]
    rest = [rows.tolist() for rows in order.indices(step, step + more)]
    assert rest == whole[step:]


def test_epochs_and_seeds_differ() -> None:
    order = Order(3000, 50, 0, buffer_rows=600)
    assert epoch(order, 0) != epoch(order, 1)
    assert epoch(order, 0) != epoch(Order(3000, 50, 1, buffer_rows=600), 0)
    assert epoch(order, 1) == epoch(Order(3000, 50, 0, buffer_rows=600), 1)


def test_batches_are_drawn_from_their_buffer_as_without_replacement() -> None:
    """Rows of one half of a buffer's blocks in a batch: the hypergeometric mean and variance."""
    rows, batch_rows, buffer_rows = 512_000, 500, 64_000
    order = Order(rows, batch_rows, 0, buffer_rows=buffer_rows)
    size = buffer_rows // BLOCKS
    scores = []
    for spans, indices in order.buffers(0, order.steps):
        inside = np.concatenate([np.arange(*span) for span in spans])
        half = np.isin(inside // size, np.unique(inside // size)[::2])
        share = half.mean()
        variance = batch_rows * share * (1 - share) * (1 - batch_rows / len(inside))
        variance *= len(inside) / (len(inside) - 1)
        scores += [(half[i].sum() - batch_rows * share) / variance**0.5 for i in indices]
    assert len(scores) == order.steps
    assert abs(np.mean(scores)) < 4 / len(scores) ** 0.5
    assert abs(np.var(scores) - 1) < 4 * (2 / len(scores)) ** 0.5


def test_batches_of_a_sorted_log_hold_rows_of_many_blocks() -> None:
    """As many distinct blocks as a draw from the whole log would, but for the buffer's bound."""
    rows, batch_rows, buffer_rows = 512_000, 500, 64_000
    order = Order(rows, batch_rows, 0, buffer_rows=buffer_rows)
    size = buffer_rows // BLOCKS
    found = [len(set((np.array(batch) // size).tolist())) for batch in epoch(order)]
    expected = BLOCKS * (1 - (1 - 1 / BLOCKS) ** batch_rows)
    assert abs(np.mean(found) - expected) < 0.02 * expected
    assert min(found) > 0.85 * expected
    places = np.array([np.mean(batch) for batch in epoch(order)]) / rows
    assert np.abs(places - 0.5).max() < 0.12, "every batch is from the whole of the log"


def test_neighbours_are_told_apart() -> None:
    """Two rows that stand next to each other are seldom in one batch, though in one buffer."""
    order = Order(100_000, 100, 0, buffer_rows=10_000)
    together = sum(int((np.diff(np.sort(batch)) == 1).sum()) for batch in epoch(order))
    assert together == pytest.approx(100_000 * 100 / 10_000, rel=0.15)


def columns(rows: int) -> Columns:
    chance = np.random.default_rng(0)
    lengths = chance.integers(0, 4, rows)
    return Columns(
        names=Names(ids=("id",), numbers=("x",), lists=("l", "m"), labels=("y",), weights=()),
        arrays={
            "ids": np.arange(rows, dtype=np.int32)[:, None],
            "numbers": np.arange(rows, dtype=np.float32)[:, None] / 2,
            "labels": (np.arange(rows, dtype=np.float32)[:, None] % 2),
            "weights": np.zeros((rows, 0), np.float32),
            "scene": np.arange(rows) % 3,
            "user": np.arange(rows) // 5,
            "values.0": chance.integers(0, 99, lengths.sum()).astype(np.int32),
            "offsets.0": np.concatenate([[0], np.cumsum(lengths)]),
            "values.1": np.zeros(0, np.int32),
            "offsets.1": np.zeros(rows + 1, np.int64),
        },
    )


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("buffer_rows", [None, 10, 100, 250, 1000])
def test_batches_from_a_buffer_are_those_rows(
    buffer_rows: int | None, free: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "a_core_is_free", lambda: free)
    rows = columns(333)
    order = Order(333, 20, 1, buffer_rows=buffer_rows)
    found = [b for some in batches(rows, order.buffers(5, 40)) for b in some.split()]
    for batch, index in zip(found, order.indices(5, 40), strict=True):
        wanted = rows.batch(index)
        assert batch.ids.tolist() == wanted.ids.tolist()
        assert batch.numbers.tolist() == wanted.numbers.tolist()
        assert batch.scene.tolist() == wanted.scene.tolist()
        assert batch.labels["y"].tolist() == wanted.labels["y"].tolist()
        for name in ("l", "m"):
            assert batch.lists[name].values.tolist() == wanted.lists[name].values.tolist()
            assert batch.lists[name].lengths.tolist() == wanted.lists[name].lengths.tolist()


@pytest.mark.parametrize("free", [False, True])
def test_batches_are_gathered_beside_where_a_core_is_free(
    free: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "a_core_is_free", lambda: free)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    by = []

    def told(matrices: Matrices, index: Index, threads: int) -> list[Tensor]:
        by.append((threading.current_thread() is threading.main_thread(), threads))
        return take_by_numpy(matrices, index, threads)

    list(batches(columns(333), Order(333, 20, 1).buffers(0, 17), take=told))
    assert set(by) == {(not free, 1 if free else 2)}


def test_a_core_is_free_where_a_step_has_fewer_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5}, raising=False)
    for threads, free in ((1, True), (2, False), (3, False)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert module.a_core_is_free() == free
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert module.a_core_is_free()


@pytest.mark.parametrize("free", [False, True])
def test_one_buffer_is_held_at_a_time(free: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "a_core_is_free", lambda: free)
    alive: weakref.WeakSet[Columns] = weakref.WeakSet()
    read = Columns.held

    class Held(Columns):
        __hash__ = object.__hash__
        __eq__ = object.__eq__

    def held(whole: Columns, spans: Spans) -> Columns:
        found = read(whole, spans)
        found = Held(names=found.names, arrays=found.arrays)
        alive.add(found)
        return found

    monkeypatch.setattr(Columns, "held", held)
    found = batches(columns(1000), Order(1000, 10, 1, buffer_rows=200).buffers(0, 200))
    most = [len(alive) for _ in found]
    assert max(most) <= (2 if free else 1)
    assert np.mean(most) < 1.2


def test_a_buffer_holds_no_more_than_its_rows() -> None:
    rows = columns(1000)
    bound = room(rows, 40_000)
    assert bound is not None
    assert 0 < bound < 1000
    for spans, _ in Order(1000, 16, 0, buffer_rows=bound).buffers(0, 100):
        held = rows.held(spans)
        assert sum(array.nbytes for array in held.arrays.values()) < 1.1 * 40_000 / 4
    assert room(rows, None) is None
    assert room(rows, 1) == 1


@pytest.mark.parametrize("evaluations", [1, 2, 3, 7, 40, 1000])
@pytest.mark.parametrize("steps", [1, 2, 5, 17, 40])
def test_pauses_are_spread_over_an_epoch_and_one_is_at_its_end(
    steps: int, evaluations: int
) -> None:
    order = Order(steps * 10, 10, 0)
    wanted = [
        step
        for step in range(1, 3 * steps + 1)
        if step * evaluations // steps > (step - 1) * evaluations // steps
    ]
    found = [order.pause(0, evaluations)]
    while found[-1] < 3 * steps:
        found.append(order.pause(found[-1], evaluations))
    assert found == wanted
    assert {steps, 2 * steps, 3 * steps} <= set(found)
