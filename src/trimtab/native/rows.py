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
    """Copy the rows of ``index``, in its order, from each of some matrices of as many rows.

    Raises
    ------
    IndexError
        Where a row is not there; it may not be counted from the end.
    """
    rows = len(matrices[0])
    if len(index) and not 0 <= index.min() <= index.max() < rows:
        raise IndexError(f"rows from {index.min()} to {index.max()} of {rows}")
    index, whole = np.ascontiguousarray(index), [np.ascontiguousarray(m) for m in matrices]
    made = [np.empty((len(index), *matrix.shape[1:]), matrix.dtype) for matrix in whole]
    library().take_rows(
        long(len(whole)),
        _places(whole),
        longs([matrix[:1].nbytes for matrix in whole]),
        ctypes.c_void_p(index.ctypes.data),
        long(len(index)),
        long(threads),
        _places(made),
    )
    return [torch.from_numpy(rows) for rows in made]


def _places(arrays: Sequence[NDArray[np.generic]]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(arrays))(*[array.ctypes.data for array in arrays])
