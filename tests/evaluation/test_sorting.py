"""Sorts against NumPy's."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab.evaluation.sorting import codes_of, edges, numbered, rising, sums, then_by


def columns() -> list[NDArray[np.generic]]:
    random = np.random.default_rng(0)
    numbers = random.normal(size=500).round(1)
    return [
        numbers,
        numbers.astype(np.float32),
        numbers / 3,
        np.array([0.0, -0.0, -1.5, np.inf, -np.inf, 1e-45, -1e-45], dtype=np.float32),
        random.integers(-5, 5, 500),
        random.integers(0, 2**62, 500),
        random.integers(-(2**31), 2**31, 500).astype(np.int32),
        random.integers(0, 2**32, 500).astype(np.uint32),
        random.random(500) < 0.5,
        np.char.add("u", random.integers(0, 9, 500).astype(str)),
        np.zeros(0, dtype=np.float32),
        np.zeros(0, dtype=np.int64),
    ]


@pytest.mark.parametrize("values", columns())
def test_values_are_put_in_order_and_numbered(values: NDArray[np.generic]) -> None:
    assert np.array_equal(values[rising(values)], np.sort(values))
    distinct, expected = np.unique(values, return_inverse=True)
    assert np.array_equal(numbered(values)[1], expected)
    found, codes = codes_of(values)
    assert np.array_equal(codes, expected)
    assert np.array_equal(found, distinct)
    assert found.dtype == values.dtype


def test_missing_values_stand_at_an_end() -> None:
    for dtype in (np.float32, np.float64):
        values = np.array([0.5, np.nan, -2.0, np.nan, 7.0], dtype=dtype)
        assert values[rising(values)][:3].tolist() == [-2.0, 0.5, 7.0]
        assert codes_of(values)[1].tolist() == [1, 3, 0, 4, 2]


def test_a_second_key_keeps_the_order_of_the_first() -> None:
    random = np.random.default_rng(0)
    score, group = random.integers(0, 9, 400), random.integers(0, 30, 400)
    assert np.array_equal(
        then_by(np.argsort(score, kind="stable"), group), np.lexsort((score, group))
    )


def test_runs_are_found_and_summed() -> None:
    starts = edges(np.array([1, 1, 2, 2, 2]), np.array([0, 0, 0, 1, 1]))
    assert starts.tolist() == [0, 2, 3, 5]
    assert sums(np.arange(5), starts).tolist() == [1, 2, 7]
    assert edges(np.zeros(0)).tolist() == [0]
