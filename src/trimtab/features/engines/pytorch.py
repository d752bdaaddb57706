"""The engine ``torch``: one array of rows, one sort a step, nothing but PyTorch."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding, embedding_bag

from trimtab.features.engines.base import ArrayEngine, EngineSettings, engines
from trimtab.features.lookup import Bags, Lookup


@engines.register("torch")
class PyTorchSettings(EngineSettings):
    """Plain PyTorch, on any device."""

    kind: Literal["torch"] = "torch"

    def build(self, device: torch.device) -> "PyTorch":
        """Build the engine."""
        return PyTorch()

    def serve(self, device: torch.device) -> "PyTorch":
        """Build the same."""
        return PyTorch()


class PyTorch(ArrayEngine):
    """Rows of all tables in one array, sorted once a step, updated in place."""

    def lookup(
        self, rows: Int[Tensor, " total"], columns: Int[Tensor, " columns"] | None
    ) -> "SortedLookup":
        """Sort the rows."""
        return SortedLookup.of(rows, columns)


@dataclass(frozen=True, slots=True)
class SortedLookup(Lookup):
    """The different rows by one sort, rising.

    Attributes
    ----------
    order, starts
        ``order[starts[i] : starts[i + 1]]`` are the wanted places that hold ``distinct[i]``.
    inverse
        ``distinct[inverse]`` are the wanted rows again.
    """

    distinct: Int[Tensor, " distinct"]
    order: Int[Tensor, " total"]
    starts: Int[Tensor, " distinct"]
    inverse: Int[Tensor, " total"]
    counts: tuple[int, ...]
    total: int

    @classmethod
    def of(
        cls, rows: Int[Tensor, " total"], columns: Int[Tensor, " columns"] | None = None
    ) -> "SortedLookup":
        """Sort the rows, once."""
        ordered, order = torch.sort(rows, stable=True)
        first = torch.ones_like(ordered, dtype=torch.bool)
        torch.ne(ordered[1:], ordered[:-1], out=first[1:])
        starts = first.nonzero().view(-1)
        inverse = torch.empty_like(order)
        inverse[order] = first.cumsum(0) - 1
        distinct = ordered[starts]
        ends = [] if columns is None else torch.searchsorted(distinct, columns[1:]).tolist()
        counts = tuple(b - a for a, b in pairwise([0, *ends, len(distinct)]))
        return cls(distinct, order, starts, inverse, counts, len(rows))

    def gather(self, table: Float[Tensor, "rows width"]) -> Float[Tensor, "distinct width"]:
        """Gather by ``distinct``."""
        return embedding(self.distinct, table)

    def spread(self, distinct: Float[Tensor, "distinct width"]) -> Float[Tensor, "total width"]:
        """Gather by ``inverse``."""
        return embedding(self.inverse, distinct)

    def collect(self, gradient: Float[Tensor, "total width"]) -> Float[Tensor, "distinct width"]:
        """Add up runs of equal rows."""
        return embedding_bag(self.order, gradient.contiguous(), self.starts, mode="sum")

    def pool(
        self, distinct: Float[Tensor, "distinct width"], bags: Bags
    ) -> Float[Tensor, "bags width"]:
        """Add up by ``inverse``."""
        return embedding_bag(
            self.inverse, distinct, bags.starts, mode="sum", per_sample_weights=bags.weights
        )

    def pool_back(
        self, gradient: Float[Tensor, "bags width"], bags: Bags
    ) -> Float[Tensor, "distinct width"]:
        """Add up runs of equal rows, each place's gradient that of its bag."""
        return embedding_bag(
            bags.of[self.order],
            gradient.contiguous(),
            self.starts,
            mode="sum",
            per_sample_weights=bags.weights[self.order],
        )

    def project(
        self,
        distinct: Float[Tensor, "distinct width"],
        weight: Float[Tensor, "out_width in_width"],
        start: Float[Tensor, "rows out_width"],
    ) -> Float[Tensor, "rows out_width"]:
        """Multiply each feature's distinct rows, and add up each row's parts."""
        products = distinct.new_empty(len(distinct), len(weight))
        for rows, columns in self._fields(distinct.shape[1]):
            torch.mm(distinct[rows], weight[:, columns].t(), out=products[rows])
        places = self.inverse.view(-1, len(self.counts))
        return embedding_bag(places, products, mode="sum").add_(start)

    def project_back(
        self,
        distinct: Float[Tensor, "distinct width"],
        weight: Float[Tensor, "out_width in_width"],
        gradient: Float[Tensor, "rows out_width"],
    ) -> tuple[Float[Tensor, "distinct width"], Float[Tensor, "out_width in_width"]]:
        """Add up the gradients of each distinct row's product, and multiply once."""
        row_of_place = self.order // len(self.counts)
        sums = embedding_bag(row_of_place, gradient.contiguous(), self.starts, mode="sum")
        of_distinct, of_weight = torch.empty_like(distinct), torch.empty_like(weight)
        for rows, columns in self._fields(distinct.shape[1]):
            torch.mm(sums[rows], weight[:, columns], out=of_distinct[rows])
            of_weight[:, columns] = sums[rows].t() @ distinct[rows]
        return of_distinct, of_weight

    def _fields(self, width: int) -> Iterator[tuple[slice, slice]]:
        """Return each feature's distinct rows and its columns of the layer's weight."""
        start = 0
        for field, count in enumerate(self.counts):
            yield slice(start, start + count), slice(field * width, (field + 1) * width)
            start += count
