"""Rows gathered in C++ against NumPy's, matrix by matrix."""

from pathlib import Path

import numpy as np
import pytest

from trimtab.data.columns import take_by_numpy
from trimtab.native.rows import take

ROWS = 50


def matrices() -> list[np.ndarray]:
    chance = np.random.default_rng(0)
    return [
        chance.integers(0, 9, (ROWS, 20)).astype(np.int32),
        chance.random((ROWS, 4), dtype=np.float32),
        np.zeros((ROWS, 0), np.float32),
        np.arange(ROWS, dtype=np.int64),
    ]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("wanted", [0, 1, 11, 500])
def test_is_numpys(wanted: int, threads: int) -> None:
    index = np.random.default_rng(wanted).integers(0, ROWS, wanted)
    found = take(matrices(), index, threads)
    for ours, theirs in zip(found, take_by_numpy(matrices(), index, 1), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert ours.tolist() == theirs.tolist()


def test_of_a_mapped_file(tmp_path: Path) -> None:
    whole = matrices()[0]
    np.save(tmp_path / "ids.npy", whole)
    mapped = np.load(tmp_path / "ids.npy", mmap_mode="r")
    index = np.array([ROWS - 1, 0, 7, 7])
    (found,) = take([mapped[5:]], index[1:], 2)
    assert found.tolist() == whole[5:][index[1:]].tolist()
    found += 1
    assert np.array_equal(mapped, whole), "what is returned is a copy"


@pytest.mark.parametrize("row", [-1, ROWS])
def test_a_row_that_is_not_there_is_refused(row: int) -> None:
    with pytest.raises(IndexError, match=f"{row} of {ROWS}"):
        take(matrices(), np.array([row, row]), 1)


def test_a_row_that_one_matrix_lacks_is_refused() -> None:
    with pytest.raises(IndexError, match=f"{ROWS - 1} of 3"):
        take([*matrices(), np.zeros(3)], np.array([ROWS - 1]), 1)


def test_no_rows_of_none() -> None:
    (found,) = take([np.zeros((0, 3), np.int32)], np.zeros(0, np.int64), 2)
    assert found.shape == (0, 3)
