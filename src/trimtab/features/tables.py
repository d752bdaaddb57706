"""Embedding tables: every feature's rows in one array, gathered and updated in one pass."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trimtab.features.lookup import Bags, Lookup
from trimtab.layers import seed_of

_SLICE = 1 << 16
"""Rows whose start is drawn together; all of a table would be a second copy of it."""


class _Distinct(torch.autograd.Function):
    """The different rows of a table; their gradient is sparse, each row once."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, tables: "Tables", lookup: Lookup) -> Tensor:
        ctx.lookup, ctx.shape = lookup, weight.shape
        return tables.gather(lookup)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        rows = ctx.lookup.distinct[None].long()
        sparse = torch.sparse_coo_tensor(
            rows, gradients[0], ctx.shape, is_coalesced=True, check_invariants=False
        )
        return sparse, None, None


class _Expand(torch.autograd.Function):
    """Distinct rows put where they are wanted; the gradients of equal ones are summed."""

    @staticmethod
    def forward(ctx: Any, distinct: Tensor, lookup: Lookup) -> Tensor:
        ctx.lookup = lookup
        return lookup.spread(distinct)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        lookup: Lookup = ctx.lookup
        return lookup.collect(gradients[0]), None


class _Pool(torch.autograd.Function):
    """Distinct rows added up bag by bag; the gradients of equal ones are summed."""

    @staticmethod
    def forward(ctx: Any, distinct: Tensor, lookup: Lookup, bags: Bags) -> Tensor:
        ctx.lookup, ctx.bags = lookup, bags
        return lookup.pool(distinct, bags)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        lookup: Lookup = ctx.lookup
        return lookup.pool_back(gradients[0], ctx.bags), None, None


class _Project(torch.autograd.Function):
    """``y_r = sum_f W_f e_rf + W_n n_r + b``, with each distinct ``W_f e`` computed once."""

    @staticmethod
    def forward(
        ctx: Any, distinct: Tensor, weight: Tensor, bias: Tensor, numbers: Tensor, lookup: Lookup
    ) -> Tensor:
        ctx.save_for_backward(distinct, weight, numbers)
        ctx.lookup = lookup
        over_ids, over_numbers = _of_ids_and_numbers(weight, numbers)
        return lookup.project(distinct, over_ids, lookup.linear(numbers, over_numbers, bias))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        distinct, weight, numbers = ctx.saved_tensors
        lookup: Lookup = ctx.lookup
        over_ids, _ = _of_ids_and_numbers(weight, numbers)
        of_distinct, of_ids = lookup.project_back(distinct, over_ids, gradients[0])
        of_numbers, of_bias = lookup.linear_back(numbers, gradients[0])
        return of_distinct, torch.cat([of_ids, of_numbers], 1), of_bias, None, None


def _of_ids_and_numbers(weight: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    count = numbers.shape[1]
    return weight[:, : weight.shape[1] - count], weight[:, weight.shape[1] - count :]


def expand(
    distinct: Float[Tensor, "distinct width"], lookup: Lookup
) -> Float[Tensor, "total width"]:
    """Return the wanted rows, in their order; equal ones' gradients are summed."""
    rows: Tensor = _Expand.apply(distinct, lookup)  # type: ignore[no-untyped-call]
    return rows


def pool(
    distinct: Float[Tensor, "distinct width"], lookup: Lookup, bags: Bags
) -> Float[Tensor, "bags width"]:
    """Return the sum of each bag's rows, times their weights."""
    rows: Tensor = _Pool.apply(distinct, lookup, bags)  # type: ignore[no-untyped-call]
    return rows


def project(
    distinct: Float[Tensor, "distinct width"],
    weight: Float[Tensor, "out_width in_width"],
    bias: Float[Tensor, " out_width"],
    numbers: Float[Tensor, "rows numbers"],
    lookup: Lookup,
) -> Float[Tensor, "rows out_width"]:
    """Return ``[e_1 .. e_F, n] @ weight.T + bias`` of each row; numbers get no gradient.

    The lookup holds the features of one row next to each other, each of its own table.
    """
    apply: Any = _Project.apply
    out: Tensor = apply(distinct, weight, bias, numbers, lookup)
    return out


def spans(sizes: Mapping[str, int]) -> dict[str, slice]:
    """Return where each part lies when parts of these sizes are put one after the other."""
    ends = [0, *accumulate(sizes.values())]
    return {name: slice(a, b) for name, (a, b) in zip(sizes, pairwise(ends), strict=True)}


class Tables(nn.Module, ABC):
    """The embedding tables of all features, a table after the other.

    Parameters
    ----------
    tables
        Table name to its rows.
    blocks
        Block name to its width: each row holds the blocks side by side, and each block has a
        step size of its own.
    deviation
        Standard deviation of the normal start.

    Attributes
    ----------
    weight
        What gradients are taken by, ``[rows, width]``; the rows themselves are ``read``.
    in_weight
        Whether ``weight`` holds the rows too.
    """

    weight: nn.Parameter
    in_weight: bool = True

    def __init__(
        self, tables: Mapping[str, int], blocks: Mapping[str, int], deviation: float
    ) -> None:
        super().__init__()
        self.tables = dict(tables)
        self.blocks = dict(blocks)
        self.deviation = deviation
        self.offset = {table: place.start for table, place in spans(tables).items()}
        self.rows, self.width = sum(tables.values()), sum(blocks.values())

    @abstractmethod
    def read(self) -> Float[Tensor, "rows width"]:
        """Return every row, its blocks side by side."""

    @abstractmethod
    def write(self, rows: slice, columns: slice, values: Float[Tensor, "some columns"]) -> None:
        """Set some columns of some rows."""

    @abstractmethod
    def gather(self, lookup: Lookup) -> Float[Tensor, "distinct width"]:
        """Return the different rows that are wanted."""

    def reset_parameters(self) -> None:
        """Draw each table's block from the seed and their names."""
        seed = torch.initial_seed()
        for table, rows in self.tables.items():
            start = self.offset[table]
            for block, columns in spans(self.blocks).items():
                width = self.blocks[block]
                generator = torch.Generator().manual_seed(seed_of(seed, f"{table}/{block}"))
                for first, last in _slices(rows, width):
                    part = torch.empty(last - first, width)
                    part.normal_(0, self.deviation, generator=generator)
                    self.write(slice(start + first, start + last), columns, part)

    def distinct(self, lookup: Lookup) -> Float[Tensor, "distinct width"]:
        """Return the different rows that are wanted; their gradient is sparse."""
        rows: Tensor = _Distinct.apply(self.weight, self, lookup)  # type: ignore[no-untyped-call]
        return rows

    def forward(self, lookup: Lookup) -> Float[Tensor, "total width"]:
        """Return the wanted rows; the table's gradient is sparse."""
        return expand(self.distinct(lookup), lookup)


class ArrayTables(Tables):
    """Tables whose rows are one array, the blocks of a row side by side: the parameter itself."""

    def __init__(
        self, tables: Mapping[str, int], blocks: Mapping[str, int], deviation: float
    ) -> None:
        super().__init__(tables, blocks, deviation)
        self.weight = nn.Parameter(torch.empty(self.rows, self.width))

    def read(self) -> Float[Tensor, "rows width"]:
        """Return the array."""
        return self.weight.data

    def write(self, rows: slice, columns: slice, values: Float[Tensor, "some columns"]) -> None:
        """Set a part of the array."""
        self.weight.data[rows, columns] = values

    def gather(self, lookup: Lookup) -> Float[Tensor, "distinct width"]:
        """Gather as the engine of the lookup does."""
        return lookup.gather(self.weight)


def _slices(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Cut rows so that drawing them slice by slice draws what drawing all at once does.

    Normal numbers are drawn in sixteens, and fewer at the end in another way.
    """
    firsts = [0, *(i for i in range(_SLICE, rows, _SLICE) if (rows - i) * width >= 16)]
    return pairwise([*firsts, rows])
