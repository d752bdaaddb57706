"""From a batch to what the network reads: pooled embeddings and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trimtab.batch import Batch
from trimtab.features.attention import TargetAttention
from trimtab.features.engines.base import Engine
from trimtab.features.engines.pytorch import PyTorch
from trimtab.features.inputs import Dense, Embedded, Inputs, SharedInputs
from trimtab.features.lookup import Bags, Lookup
from trimtab.features.pieces import Pieces
from trimtab.features.tables import expand, pool

SHARED = "shared"
"""The block of a table row that every target reads."""

REPEATED = 3
"""How often the ids of a batch repeat, on average, before each is multiplied once instead."""


@dataclass(frozen=True, kw_only=True)
class IdFeature:
    """One id feature: the table it reads, and for lists how embeddings are pooled.

    Attributes
    ----------
    pool
        ``mean``, ``sum`` or ``attention``; None for a single id.
    query
        Single id feature of the same table that attention weighs the list by.
    longest
        Most values that a row's list keeps.
    """

    name: str
    table: str
    pool: str | None = None
    query: str | None = None
    longest: int = 0


def length_of(feature: str) -> str:
    """Return the name of the table of a list feature's lengths."""
    return f"{feature}.length"


class FeatureEncoder(nn.Module):
    """Embeds and pools the ids, and puts the numbers beside them.

    The length of a list is an id too, of a table of its own: pooled embeddings no longer tell it,
    and how much a user has liked is often the best that is known of the next like.

    Parameters
    ----------
    single, lists
        Features with one id a row, in the order of ``Batch.ids``, and with a list of them.
    tables
        Embedding table to its rows.
    numbers
        For each number of a row the linear pieces it is read in; 0 where it is read as it is.
    width, own_width, first_order
        Of the shared embeddings, of each target's own, and whether there are first-order weights.
    engine
        What keeps and updates the tables; plain PyTorch when left out.

    Attributes
    ----------
    plain
        Whether there is nothing but single ids, each column's of its own table, and numbers.
    out_width, own_out_width
        Widths of ``Inputs.shared`` and of each of ``Inputs.own``.
    """

    offsets: Tensor

    def __init__(
        self,
        single: Sequence[IdFeature],
        lists: Sequence[IdFeature],
        *,
        tables: Mapping[str, int],
        numbers: Sequence[int],
        targets: Sequence[str],
        width: int,
        own_width: int,
        first_order: bool,
        deviation: float,
        dropout: float,
        attention_hidden: Sequence[int] = (),
        engine: Engine | None = None,
    ) -> None:
        super().__init__()
        self.engine = engine or PyTorch()
        self.lists = list(lists)
        self.own_targets = list(targets) if own_width else []
        self.first_targets = list(targets) if first_order else []
        blocks = {SHARED: width} if width else {}
        blocks |= {f"own/{target}": own_width for target in self.own_targets}
        blocks |= {f"first/{target}": 1 for target in self.first_targets}
        lengths = {length_of(feature.name): feature.longest + 1 for feature in lists}
        self.tables = self.engine.tables({**tables, **lengths}, blocks, deviation)
        self.width = width
        self.rest = [own_width] * len(self.own_targets) + [len(self.first_targets)]
        self.pieces = Pieces(numbers)
        self.dropout = nn.Dropout(dropout)
        read = [*(feature.table for feature in single), *lengths]
        places = [self.tables.offset[table] for table in read]
        self.register_buffer("offsets", torch.tensor(places, dtype=torch.int32), persistent=False)
        in_order = places == list(self.tables.offset.values())
        names = [feature.name for feature in single]
        self.queries = {f.name: names.index(f.query) for f in lists if f.query is not None}
        self.attention = nn.ModuleDict(
            {name: TargetAttention(width, attention_hidden) for name in self.queries}
        )
        self.apart = bool(places and width) and in_order and not lists and not dropout
        self.plain = self.apart and not sum(self.rest)
        fields = len(single) + 2 * len(self.lists)
        self.out_width = fields * width + self.pieces.out_width
        self.own_out_width = fields * own_width

    def lookup(self, batch: Batch) -> Lookup:
        """Return the table rows that ``batch`` needs, single ids first, then list by list."""
        lengths = [batch.lists[f.name].lengths.clamp(max=f.longest)[:, None] for f in self.lists]
        rows = [
            (_joined([batch.ids, *lengths], 1) + self.offsets).flatten(),
            *(batch.lists[f.name].values + self.tables.offset[f.table] for f in self.lists),
        ]
        joined = _joined([part.int() for part in rows], 0)
        return self.engine.lookup(joined, self.offsets if self.apart else None)

    def forward(self, batch: Batch) -> Inputs:
        """Embed a batch."""
        lookup, numbers = self.lookup(batch), self.pieces(batch.numbers)
        distinct = self.tables.distinct(lookup)
        if self.apart and REPEATED * len(lookup.distinct) < lookup.total:
            shared, rest = self._shared_and_rest(distinct)
            shape = (*batch.ids.shape, rest.shape[1])
            rests = [expand(rest, lookup).view(shape)] if rest.shape[1] else []
            x: SharedInputs = Embedded(distinct=shared, lookup=lookup, numbers=numbers)
        else:
            features = self._features(batch, distinct, lookup)
            cut = [self._shared_and_rest(feature) for feature in features]
            rests = [rest for _, rest in cut]
            flat = _joined([shared for shared, _ in cut], 1).flatten(1)
            x = Dense(self.dropout(_joined([flat, numbers], 1)))
        own, first_order = self._own_and_first(rests)
        return Inputs(x=x, own=own, first_order=first_order, scene=batch.scene)

    def _own_and_first(self, rests: list[Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return each target's own embeddings, and the sum of its first-order weights."""
        if not sum(self.rest):
            return {}, {}
        *own, first = _joined(rests, 1).split(self.rest, 2)
        # Fields last and contiguous: else how a sum is rounded depends on the number of targets.
        first_order = first.transpose(1, 2).contiguous().sum(2)
        names = self.first_targets
        apart = dict(zip(names, first_order.chunk(len(names), 1), strict=True)) if names else {}
        return dict(zip(self.own_targets, own, strict=True)), apart

    def _shared_and_rest(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shared block, and the targets' own with their first-order weights."""
        if not sum(self.rest):  # A split, even of one part, copies in its backward.
            return rows, rows[..., :0]
        shared, rest = rows.split([self.width, sum(self.rest)], -1)
        return shared, rest

    def _features(self, batch: Batch, distinct: Tensor, lookup: Lookup) -> list[Tensor]:
        """Return ``[rows, features, width]`` of the single ids together and of each list."""
        rows, fields, width = len(batch), len(self.offsets), distinct.shape[1]
        if not self.lists:
            return [expand(distinct, lookup).view(rows, fields, width)]
        bags = [_each(rows * fields, distinct)]
        bags += [self._bags(feature, batch, distinct) for feature in self.lists]
        single, *lists = pool(distinct, lookup, _together(bags)).split([len(b) for b, _ in bags])
        single = single.view(rows, fields, width)
        for place, feature in enumerate(self.lists):
            if feature.name in self.queries:
                query = single[:, self.queries[feature.name], : self.width]
                values, lengths = lists[place], batch.lists[feature.name].lengths
                attend = self.attention[feature.name]
                lists[place] = attend(query, values[:, : self.width], values, lengths)
        return [single, *(pooled.unsqueeze(1) for pooled in lists)]

    def _bags(self, feature: IdFeature, batch: Batch, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return how long each bag of a list feature is, and its values' weights."""
        packed = batch.lists[feature.name]
        if feature.pool == "attention":
            return _each(len(packed.values), like)
        share = packed.lengths.to(like.dtype) ** (-1 if feature.pool == "mean" else 0)
        return packed.lengths, torch.repeat_interleave(share, packed.lengths)


def _each(count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return bags of one row each."""
    return torch.ones(count, dtype=torch.int64, device=like.device), like.new_ones(count)


def _together(bags: Sequence[tuple[Tensor, Tensor]]) -> Bags:
    """Return the bags one after the other, given their lengths and their rows' weights."""
    lengths, weights = (torch.cat(parts) for parts in zip(*bags, strict=True))
    starts = lengths.cumsum(0) - lengths
    return Bags(starts=starts, of=torch.repeat_interleave(lengths), weights=weights)


def _joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Concatenate; one part with anything in it is not copied."""
    some = [part for part in parts if part.shape[dim]] or [parts[0]]
    return some[0] if len(some) == 1 else torch.cat(some, dim)
