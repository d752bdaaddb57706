"""Tensors as C++ reads them: where they lie, once they are known to be what is expected."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.errors import SettingsError

long = ctypes.c_int64


def longs(values: Sequence[int]) -> Any:
    """Return numbers as an array of int64."""
    return (long * len(values))(*values)


def floats_at(tensors: Sequence[Float[Tensor, "..."]]) -> Any:
    """Return where each of several tensors lies; known to be float32 on the processor."""
    return (ctypes.c_void_p * len(tensors))(*[tensor.data_ptr() for tensor in tensors])


def columns_at(matrices: Sequence[Float[Tensor, "rows columns"]]) -> tuple[Any, Any]:
    """Return where each column of float32 matrices begins, and how far apart its numbers are."""
    places, steps = [], []
    for matrix in matrices:
        down, across = matrix.stride()
        first = matrix.data_ptr()
        places += [first + 4 * across * column for column in range(matrix.shape[1])]
        steps += [down] * matrix.shape[1]
    return (ctypes.c_void_p * len(places))(*places), longs(steps)


def ids_at(tensor: Int[Tensor, "..."]) -> ctypes.c_void_p:
    """Return where contiguous int32 ids lie."""
    assert tensor.dtype == torch.int32, tensor.dtype
    return ctypes.c_void_p(tensor.data_ptr())


def longs_at(tensor: Int[Tensor, "..."]) -> ctypes.c_void_p:
    """Return where contiguous int64 numbers lie."""
    assert tensor.dtype == torch.int64, tensor.dtype
    return ctypes.c_void_p(tensor.data_ptr())


def float_at(tensor: Float[Tensor, "..."]) -> ctypes.c_void_p:
    """Return where contiguous float32 numbers lie.

    Raises
    ------
    SettingsError
        When they are of another type or on another device.
    """
    if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
        raise SettingsError(
            f"embedding.engine: 'native' computes in float32 on the processor; found "
            f"{tensor.dtype} on {tensor.device}. engine = 'torch' computes anywhere."
        )
    return ctypes.c_void_p(tensor.data_ptr())
