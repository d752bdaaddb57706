"""Rows gathered from several matrices in one call."""

import ctypes
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trimtab.native.compiler import library
from trimtab.native.pointers import long, longs


def take(
    matrices: Sequence[NDArray[np.generic]], index: NDArray[np.int64], threads: int
) -> list[Tensor]:
    """Copy the rows of ``index``, in its order, from each of some matrices, row by row in memory.

    Raises
    ------
    IndexError
        Where a row is not there; it may not be counted from the end.
    """
    assert index.dtype == np.int64, index.dtype
    assert all(matrix.flags.c_contiguous for matrix in matrices)
    rows = min(map(len, matrices))
    if len(index) and not 0 <= index.min() <= index.max() < rows:
        raise IndexError(f"rows from {index.min()} to {index.max()} of {rows}")
    index = np.ascontiguousarray(index)
    made = [np.empty((len(index), *matrix.shape[1:]), matrix.dtype) for matrix in matrices]
    library().take_rows(
        long(len(matrices)),
        _places(matrices),
        longs([matrix[:1].nbytes for matrix in matrices]),
        ctypes.c_void_p(index.ctypes.data),
        long(len(index)),
        long(threads),
        _places(made),
    )
    return [torch.from_numpy(rows) for rows in made]


def _places(arrays: Sequence[NDArray[np.generic]]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(arrays))(*[array.ctypes.data for array in arrays])
