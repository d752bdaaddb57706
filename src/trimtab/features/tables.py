"""Embedding tables: every feature's rows in one array, gathered and updated in one pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding, embedding_bag

from trimtab.layers import seed_of

_SLICE = 1 << 16
"""Rows whose start is drawn together; all of a table would be a second copy of it."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Table rows to gather, and how equal ones lie together; one sort serves every table.

    Attributes
    ----------
    rows
        Table rows, in the order in which they are wanted.
    distinct
        The different rows, rising.
    order, starts
        ``order[starts[i] : starts[i + 1]]`` are the places in ``rows`` that hold ``distinct[i]``.
    inverse
        ``distinct[inverse]`` are the wanted rows again.
    """

    rows: Int[Tensor, " total"]
    distinct: Int[Tensor, " distinct"]
    order: Int[Tensor, " total"]
    starts: Int[Tensor, " distinct"]
    inverse: Int[Tensor, " total"]

    @classmethod
    def of(cls, rows: Int[Tensor, " total"]) -> "Lookup":
        """Sort the rows, once."""
        ordered, order = torch.sort(rows, stable=True)
        first = torch.ones_like(ordered, dtype=torch.bool)
        torch.ne(ordered[1:], ordered[:-1], out=first[1:])
        starts = first.nonzero().view(-1)
        inverse = torch.empty_like(order)
        inverse[order] = first.cumsum(0) - 1
        return cls(rows=rows, distinct=ordered[starts], order=order, starts=starts, inverse=inverse)


class _Distinct(torch.autograd.Function):
    """The different rows of a table; their gradient is sparse, in rising order."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, lookup: Lookup) -> Tensor:
        ctx.lookup, ctx.shape = lookup, table.shape
        return embedding(lookup.distinct, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        rows = ctx.lookup.distinct[None].long()
        sparse = torch.sparse_coo_tensor(
            rows, gradients[0], ctx.shape, is_coalesced=True, check_invariants=False
        )
        return sparse, None


class _Expand(torch.autograd.Function):
    """Distinct rows put where they are wanted; the gradients of equal ones are summed."""

    @staticmethod
    def forward(ctx: Any, distinct: Tensor, lookup: Lookup) -> Tensor:
        ctx.lookup = lookup
        return embedding(lookup.inverse, distinct)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        lookup: Lookup = ctx.lookup
        gradient = gradients[0].contiguous()
        return embedding_bag(lookup.order, gradient, lookup.starts, mode="sum"), None


class _Project(torch.autograd.Function):
    """``y_r = sum_f W_f e_rf``, with each distinct ``W_f e`` computed once."""

    @staticmethod
    def forward(
        ctx: Any, distinct: Tensor, weight: Tensor, lookup: Lookup, counts: tuple[int, ...]
    ) -> Tensor:
        ctx.save_for_backward(distinct, weight)
        ctx.lookup, ctx.counts = lookup, counts
        products = distinct.new_empty(len(distinct), len(weight))
        for rows, columns in _fields(counts, distinct.shape[1]):
            torch.mm(distinct[rows], weight[:, columns].t(), out=products[rows])
        return embedding_bag(lookup.inverse.view(-1, len(counts)), products, mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        distinct, weight = ctx.saved_tensors
        lookup: Lookup = ctx.lookup
        row_of_place = lookup.order // len(ctx.counts)
        sums = embedding_bag(row_of_place, gradients[0].contiguous(), lookup.starts, mode="sum")
        of_distinct, of_weight = torch.empty_like(distinct), torch.empty_like(weight)
        for rows, columns in _fields(ctx.counts, distinct.shape[1]):
            torch.mm(sums[rows], weight[:, columns], out=of_distinct[rows])
            of_weight[:, columns] = sums[rows].t() @ distinct[rows]
        return of_distinct, of_weight, None, None


def _fields(counts: tuple[int, ...], width: int) -> Iterator[tuple[slice, slice]]:
    """Return each feature's distinct rows and its columns of the layer's weight."""
    start = 0
    for field, count in enumerate(counts):
        yield slice(start, start + count), slice(field * width, (field + 1) * width)
        start += count


def expand(
    distinct: Float[Tensor, "distinct width"], lookup: Lookup
) -> Float[Tensor, "total width"]:
    """Return the wanted rows, ``distinct[lookup.inverse]``; equal ones' gradients are summed."""
    rows: Tensor = _Expand.apply(distinct, lookup)  # type: ignore[no-untyped-call]
    return rows


def project(
    distinct: Float[Tensor, "distinct width"],
    weight: Float[Tensor, "out_width in_width"],
    lookup: Lookup,
    counts: tuple[int, ...],
) -> Float[Tensor, "rows out_width"]:
    """Return ``[e_1 .. e_F] @ weight.T`` of each row, where feature f has ``counts[f]`` rows.

    The lookup holds the features of one row next to each other, and each feature's distinct rows
    lie together, in the order of the features.
    """
    out: Tensor = _Project.apply(distinct, weight, lookup, counts)  # type: ignore[no-untyped-call]
    return out


class Tables(nn.Module):
    """The embedding tables of all features as one array, a table after the other.

    Parameters
    ----------
    tables
        Table name to its rows.
    blocks
        Block name to its width: each row holds the blocks side by side, and each block has a
        step size of its own.
    deviation
        Standard deviation of the normal start.
    """

    def __init__(
        self, tables: Mapping[str, int], blocks: Mapping[str, int], deviation: float
    ) -> None:
        super().__init__()
        self.tables = dict(tables)
        self.blocks = dict(blocks)
        self.deviation = deviation
        ends = torch.tensor([0, *tables.values()]).cumsum(0)
        self.offset = dict(zip(tables, ends.tolist(), strict=False))
        self.weight = nn.Parameter(torch.empty(int(ends[-1]), sum(blocks.values())))

    def reset_parameters(self) -> None:
        """Draw each table's block from the seed and their names."""
        seed = torch.initial_seed()
        for table, rows in self.tables.items():
            start, column = self.offset[table], 0
            for block, width in self.blocks.items():
                generator = torch.Generator().manual_seed(seed_of(seed, f"{table}/{block}"))
                for first, last in _slices(rows, width):
                    part = torch.empty(last - first, width)
                    part.normal_(0, self.deviation, generator=generator)
                    place = slice(start + first, start + last)
                    self.weight.data[place, column : column + width] = part
                column += width

    def distinct(self, lookup: Lookup) -> Float[Tensor, "distinct width"]:
        """Return the different rows that are wanted; their gradient is sparse."""
        rows: Tensor = _Distinct.apply(self.weight, lookup)  # type: ignore[no-untyped-call]
        return rows

    def forward(self, lookup: Lookup) -> Float[Tensor, "total width"]:
        """Return the wanted rows; the table's gradient is sparse."""
        return expand(self.distinct(lookup), lookup)


def _slices(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Cut rows so that drawing them slice by slice draws what drawing all at once does.

    Normal numbers are drawn in sixteens, and fewer at the end in another way.
    """
    firsts = [0, *(i for i in range(_SLICE, rows, _SLICE) if (rows - i) * width >= 16)]
    return pairwise([*firsts, rows])
