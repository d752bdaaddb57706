"""Embedding tables: every feature's rows in one array, gathered and updated in one pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding, embedding_bag

from trimtab.layers import seed_of


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
    """

    rows: Int[Tensor, " total"]
    distinct: Int[Tensor, " distinct"]
    order: Int[Tensor, " total"]
    starts: Int[Tensor, " distinct"]

    @classmethod
    def of(cls, rows: Int[Tensor, " total"]) -> "Lookup":
        """Sort the rows, once."""
        ordered, order = torch.sort(rows, stable=True)
        first = torch.ones_like(ordered, dtype=torch.bool)
        torch.ne(ordered[1:], ordered[:-1], out=first[1:])
        starts = first.nonzero().view(-1)
        return cls(rows=rows, distinct=ordered[starts], order=order, starts=starts)


class _Gather(torch.autograd.Function):
    """Rows of a table; its gradient is sparse, with each touched row once, in rising order."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, lookup: Lookup) -> Tensor:
        ctx.lookup, ctx.shape = lookup, table.shape
        return embedding(lookup.rows, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        lookup: Lookup = ctx.lookup
        sums = embedding_bag(lookup.order, gradients[0].contiguous(), lookup.starts, mode="sum")
        sparse = torch.sparse_coo_tensor(
            lookup.distinct[None].long(), sums, ctx.shape, is_coalesced=True, check_invariants=False
        )
        return sparse, None


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
                part = torch.empty(rows, width).normal_(0, self.deviation, generator=generator)
                self.weight.data[start : start + rows, column : column + width] = part
                column += width

    def forward(self, lookup: Lookup) -> Float[Tensor, "total width"]:
        """Return the wanted rows; their gradient is sparse."""
        rows: Tensor = _Gather.apply(self.weight, lookup)  # type: ignore[no-untyped-call]
        return rows
