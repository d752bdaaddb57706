"""The engine ``native``: the same tables as ``torch``, with the loops of a step in C++."""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.errors import SettingsError
from trimtab.features.engines.base import ArrayEngine, EngineSettings, engines
from trimtab.features.engines.pytorch import PyTorch
from trimtab.features.lookup import Bags, Lookup
from trimtab.features.row_wise_adagrad import Touched
from trimtab.native import layers
from trimtab.native.compiler import library
from trimtab.native.pointers import float_at, ids_at, long, longs, longs_at

BLOCK = 64
"""Outputs of a layer that are computed together, so that their products stay in the cache."""


@engines.register("native")
class NativeSettings(EngineSettings):
    """C++ for the processor, compiled at first use (seconds) and kept; needs g++ or clang++."""

    kind: Literal["native"] = "native"

    def build(self, device: torch.device) -> "Native":
        """Build the engine."""
        if device.type != "cpu":
            raise SettingsError(
                f"embedding.engine: 'native' computes on the processor; found {device}. "
                "engine = 'torch' computes anywhere."
            )
        return Native(library())

    def serve(self, device: torch.device) -> ArrayEngine:
        """Build it where it can be had, else plain PyTorch."""
        return native_or_torch(device)[0]


@cache
def native_or_torch(device: torch.device) -> tuple[ArrayEngine, str]:
    """Return ``native``, or plain PyTorch and why; a compiler that fails is asked once."""
    try:
        return NativeSettings().build(device), ""
    except SettingsError as error:
        return PyTorch(), str(error)


class Native(ArrayEngine):
    """Rows of all tables in one array; different ones found by hashing, updated in one pass.

    What it computes is what ``PyTorch`` does, to rounding.

    Parameters
    ----------
    loops
        The compiled loops.
    """

    compiles = True

    def __init__(self, loops: ctypes.CDLL) -> None:
        self.loops = loops
        self.step = NativeStep(loops)
        loops.find_distinct.restype = ctypes.c_int64

    def __deepcopy__(self, memo: dict[int, Any]) -> "Native":
        """Return itself: a loaded file cannot be copied, and nothing in it changes."""
        return self

    def lookup(
        self, rows: Int[Tensor, " total"], columns: Int[Tensor, " columns"] | None
    ) -> "NativeLookup":
        """Find the different rows."""
        return NativeLookup.of(self.loops, rows, 1 if columns is None else len(columns))


@dataclass(frozen=True, slots=True)
class NativeLookup(Lookup):
    """The different rows of each column, in the order of first sight.

    Attributes
    ----------
    inverse
        Place in ``distinct`` of each wanted row, ``[columns, rows]``.
    """

    loops: ctypes.CDLL
    distinct: Int[Tensor, " distinct"]
    inverse: Int[Tensor, "columns rows"]
    counts: tuple[int, ...]
    total: int

    @classmethod
    def of(cls, loops: ctypes.CDLL, rows: Int[Tensor, " total"], columns: int) -> "NativeLookup":
        """Find them by hashing, each column for itself."""
        wanted = rows.contiguous()
        distinct, inverse = (
            torch.empty_like(wanted),
            wanted.new_empty(columns, -(-len(wanted) // columns)),
        )
        counts = (ctypes.c_int64 * columns)()
        size = len(wanted) // columns
        found = loops.find_distinct(
            ids_at(wanted),
            long(size),
            long(columns),
            None,
            ids_at(distinct),
            ids_at(inverse),
            counts,
        )
        return cls(loops, distinct[:found], inverse, tuple(counts), len(wanted))

    def gather(self, table: Float[Tensor, "rows width"]) -> Float[Tensor, "distinct width"]:
        """Copy rows, each fetched ahead."""
        width = table.shape[1]
        out = table.new_empty(len(self.distinct), width)
        self.loops.gather(
            float_at(table), long(width), ids_at(self.distinct), long(len(out)), float_at(out)
        )
        return out

    def spread(self, distinct: Float[Tensor, "distinct width"]) -> Float[Tensor, "total width"]:
        """Copy row by row."""
        distinct = distinct.contiguous()
        out = distinct.new_empty(self.total, distinct.shape[1])
        self.loops.spread(
            float_at(distinct), long(distinct.shape[1]), *self._places(), float_at(out)
        )
        return out

    def collect(self, gradient: Float[Tensor, "total width"]) -> Float[Tensor, "distinct width"]:
        """Add where it lies in the cache."""
        gradient = gradient.contiguous()
        width = gradient.shape[1]
        out = gradient.new_empty(len(self.distinct), width)
        self.loops.collect(
            float_at(gradient), long(width), *self._places(), self._counts(), float_at(out)
        )
        return out

    def pool(
        self, distinct: Float[Tensor, "distinct width"], bags: Bags
    ) -> Float[Tensor, "bags width"]:
        """Add up bag by bag."""
        distinct, starts = distinct.contiguous(), bags.starts.contiguous()
        out = distinct.new_empty(len(starts), distinct.shape[1])
        self.loops.pool(
            float_at(distinct),
            long(distinct.shape[1]),
            ids_at(self.inverse),
            long(self.total),
            longs_at(starts),
            long(len(starts)),
            float_at(bags.weights),
            float_at(out),
        )
        return out

    def pool_back(
        self, gradient: Float[Tensor, "bags width"], bags: Bags
    ) -> Float[Tensor, "distinct width"]:
        """Add where it lies in the cache."""
        gradient = gradient.contiguous()
        out = gradient.new_empty(len(self.distinct), gradient.shape[1])
        self.loops.pool_back(
            float_at(gradient),
            long(gradient.shape[1]),
            ids_at(self.inverse),
            long(self.total),
            longs_at(bags.of),
            float_at(bags.weights),
            long(len(out)),
            float_at(out),
        )
        return out

    linear = staticmethod(layers.linear)
    linear_back = staticmethod(layers.linear_back)

    def project(
        self,
        distinct: Float[Tensor, "distinct width"],
        weight: Float[Tensor, "out_width in_width"],
        start: Float[Tensor, "rows out_width"],
    ) -> Float[Tensor, "rows out_width"]:
        """Multiply each column's distinct rows, and add up each row's parts."""
        distinct, out = distinct.contiguous(), start.float().contiguous()
        done = self.loops.project(
            float_at(distinct),
            long(distinct.shape[1]),
            *_matrix(weight),
            *self._places(),
            self._counts(),
            float_at(out),
            long(BLOCK),
            long(False),
            float_at(out),
        )
        _enough(done)
        return out

    def project_back(
        self,
        distinct: Float[Tensor, "distinct width"],
        weight: Float[Tensor, "out_width in_width"],
        gradient: Float[Tensor, "rows out_width"],
    ) -> tuple[Float[Tensor, "distinct width"], Float[Tensor, "out_width in_width"]]:
        """Add up the gradients of a column's distinct rows, and multiply these in the cache."""
        distinct, gradient = distinct.contiguous(), gradient.contiguous()
        of_distinct, of_weight = torch.empty_like(distinct), weight.new_empty(weight.shape)
        done = self.loops.project_back(
            float_at(distinct),
            long(distinct.shape[1]),
            *_matrix(weight),
            *self._places(),
            self._counts(),
            float_at(gradient),
            float_at(of_distinct),
            float_at(of_weight),
        )
        _enough(done)
        return of_distinct, of_weight

    def _places(self) -> tuple[Any, Any, Any]:
        columns, rows = self.inverse.shape
        return ids_at(self.inverse), long(rows), long(columns)

    def _counts(self) -> Any:
        return longs(self.counts)


def _enough(memory: int) -> None:
    if not memory:
        raise MemoryError


@dataclass(frozen=True)
class NativeStep:
    """One step of row-wise Adagrad in one pass over the touched rows."""

    loops: ctypes.CDLL

    def __call__(
        self,
        table: Float[Tensor, "rows width"],
        squares: Float[Tensor, "rows blocks"],
        touched: Touched,
        group: Mapping[str, Any],
    ) -> None:
        """Update the rows in place."""
        rows, gradient = touched.rows.contiguous(), touched.gradient.contiguous()
        widths = [width for count, width in group["blocks"] for _ in range(count)]
        self.loops.adagrad(
            float_at(table),
            long(table.shape[1]),
            float_at(squares),
            longs(widths),
            long(len(widths)),
            longs_at(rows),
            long(len(rows)),
            float_at(gradient),
            *(ctypes.c_float(group[key] or 0.0) for key in _SCALARS),
        )


_SCALARS = ("lr", "weight_decay", "longest", "eps")


def _matrix(weight: Float[Tensor, "rows columns"]) -> tuple[Any, Any, Any]:
    """Return where a matrix lies, how far apart its rows are, and how many it has."""
    assert weight.stride(1) == 1
    return float_at(weight), long(weight.stride(0)), long(len(weight))
