"""Pairs in order against all pairs, one by one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab.evaluation.pairs import pair_weights


def by_hand(
    label: NDArray[np.float64],
    score: NDArray[np.float64],
    weight: NDArray[np.float64],
    group: NDArray[np.int64],
    censored: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ended = np.ones(len(label), dtype=bool) if censored is None else ~censored
    below = (label[:, None] < label) & ended[:, None]
    together = (group[:, None] == group) & (below | below.T)
    rises = np.sign(label[:, None] - label) * np.sign(score[:, None] - score)
    return (together * (1 + rises) / 2) @ weight, together @ weight


@pytest.mark.parametrize("people", [1, 3, 40, 400])
@pytest.mark.parametrize("weighted", [False, True])
def test_pairs_are_counted_for_each_row(people: int, weighted: bool) -> None:
    random = np.random.default_rng(people)
    rows = 400
    group = np.sort(random.zipf(1.5, rows) % people)[random.permutation(rows)]
    label, score = random.integers(0, 9, rows) / 2, random.normal(size=rows).round(1)
    weight = random.random(rows) if weighted else np.ones(rows)
    found = pair_weights(label, score, weight, group)
    for column, expected in zip(found, by_hand(label, score, weight, group), strict=True):
        assert column == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("people", [1, 3, 40])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_pairs_whose_smaller_label_is_censored_do_not_count(
    people: int, weighted: bool, share: float
) -> None:
    random = np.random.default_rng(people)
    rows = 300
    group = random.integers(0, people, rows)
    label, score = random.integers(0, 9, rows) / 2, random.normal(size=rows).round(1)
    weight = random.random(rows) if weighted else np.ones(rows)
    cut = random.random(rows) < share
    found = pair_weights(label, score, weight, group, cut)
    for column, expected in zip(found, by_hand(label, score, weight, group, cut), strict=True):
        assert column == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("censored", [None, True, False])
def test_no_rows_and_one_row(censored: bool | None) -> None:
    for rows in (0, 1):
        nothing = np.zeros(rows)
        cut = None if censored is None else np.full(rows, censored)
        found = pair_weights(nothing, nothing, np.ones(rows), nothing.astype(int), cut)
        assert [column.tolist() for column in found] == [[0.0] * rows] * 2
