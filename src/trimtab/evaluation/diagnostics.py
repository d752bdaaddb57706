"""What targets do to each other inside a model: correlations, gradients, experts, embeddings.

All functions return plain numbers for JSON, NaN where one is undefined, and leave the model
exactly as it was.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from trimtab.batch import Batch
from trimtab.features.tables import spans
from trimtab.model import RankingModel
from trimtab.trunks.experts import ExpertLayers, GateWeights

Table = dict[str, dict[str, float]]

TABLES, TRUNK, TOWERS = "tables", "trunk", "towers"
"""Parts of a model that targets share; those of the trunk are ``trunk`` and ``trunk.NAME``."""
DEAD = 0.9
"""A unit that gives nothing on more than this share of the rows is dead."""
NOTHING, OF_LAYER = {"relu": 0.0}, 0.01
"""Activation to the most that a unit gives where it gives nothing, in the root mean square of its
layer's outputs; and that of all others, which give exactly 0 nowhere."""
FULL = 4
"""Rows a dimension that a table needs before one can say whether it uses its width."""
_ROWS = 1 << 20


def label_correlation(labels: Mapping[str, NDArray[np.float32]]) -> Table:
    """Return the rank correlation of each two labels, over the rows where both were observed.

    For two labels of 0 and 1 it is phi, their plain correlation.
    """
    return {a: {b: _spearman(labels[a], labels[b]) for b in labels} for a in labels}


def _spearman(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    both = ~np.isnan(first) & ~np.isnan(second)
    ranks = []
    for label in (first[both], second[both]):
        _, place, counts = np.unique(label, return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - (counts - 1) / 2
        ranks.append(middle[place] - middle[place].mean() if len(place) else middle[place])
    size = np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    return float(ranks[0] @ ranks[1] / size) if size > 0 else float("nan")


def information_abundance(model: RankingModel) -> Table:
    """Return for each embedding table and block the sum of singular values over the largest.

    From 1, where all rows lie on one line, to the block's width. Low means that the embeddings
    have collapsed into few dimensions. Guo et al., "On the Embedding Collapse when Scaling up
    Recommendation Models", ICML 2024, definition 1. Blocks of width 1 are left out, and so are
    tables of fewer than ``FULL`` rows a dimension, which are narrow whatever they learn.
    """
    tables = model.features.tables
    wide = {block: at for block, at in spans(tables.blocks).items() if tables.blocks[block] > 1}
    least = FULL * max((tables.blocks[block] for block in wide), default=0)
    weight, found = tables.read(), Table()
    for name, rows in spans(tables.tables).items():
        if tables.tables[name] >= least:
            found[name] = {block: _abundance(weight[rows, at]) for block, at in wide.items()}
    return {name: blocks for name, blocks in found.items() if blocks}


def _abundance(table: Tensor) -> float:
    """Take the singular values from the width x width products, which need one pass."""
    products = torch.zeros(table.shape[1], table.shape[1], dtype=torch.float64)
    for rows in table.split(_ROWS):
        wide = rows.double()
        products += (wide.t() @ wide).cpu()
    values = torch.linalg.eigvalsh(products).clamp(min=0).sqrt()
    return float(values.sum() / values[-1]) if values[-1] > 0 else float("nan")


@torch.no_grad()
def expert_health(model: RankingModel, batches: Iterable[Batch]) -> dict[str, Any]:
    """Return how experts and gates of the trunk are used; empty where it has none.

    Returns
    -------
    dict
        ``experts``: part of the trunk to ``{expert: share of its units that are dead}``, a unit
        being dead that gives nothing on more than 90 % of the rows: 0 with relu (Wang et al.,
        "HoME", KDD 2025), with other activations less than 1 % of its layer's root mean square.
        ``gates``: part to ``{gate: {"weights": {expert: mean weight}, "entropy": ..}}``, the mean
        entropy of its weights over that of equal ones: 0 where each row has one expert.
    """
    parts = list(model.trunk.named_modules())
    experts = [(name, part) for name, part in parts if isinstance(part, ExpertLayers)]
    gates = [(name, part) for name, part in parts if isinstance(part, GateWeights)]
    if not experts and not gates:
        return {}
    off, weights, entropy = _Means(), _Means(), _Means()
    with _hooks() as hooks:
        for name, part in experts:  # The last layer: a trunk may skip ``Experts.forward`` itself.
            near = NOTHING.get(part.activation, OF_LAYER)
            _watch(hooks, part.after[-1], lambda x, n=name, k=near: off.add(n, _nothing(x, k)))
        for name, gate in gates:
            _watch(hooks, gate, lambda w, n=name: weights.add(n, w))
            _watch(hooks, gate, lambda w, n=name: entropy.add(n, torch.special.entr(w).sum(-1)))
        for batch in batches:
            model(batch)
    return {
        "experts": {n: _dead(m.names, off.of(n)) for n, m in experts if n in off.sums},
        "gates": {
            n: _usage(m, weights.of(n), entropy.of(n)) for n, m in gates if n in weights.sums
        },
    }


class _Means:
    """Means over rows of several batches, by name."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.rows: dict[str, int] = {}

    def add(self, name: str, values: Tensor) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + values.double().sum(0)
        self.rows[name] = self.rows.get(name, 0) + len(values)

    def of(self, name: str) -> Tensor:
        return self.sums[name] / max(self.rows[name], 1)


@contextmanager
def _hooks() -> Iterator[list[RemovableHandle]]:
    hooks: list[RemovableHandle] = []
    try:
        yield hooks
    finally:
        for hook in hooks:
            hook.remove()


def _watch(hooks: list[RemovableHandle], part: nn.Module, see: Any) -> None:
    hooks.append(part.register_forward_hook(lambda _, __, out: see(out)))


def _nothing(x: Tensor, near: float) -> Tensor:
    """Return 1 where a unit gives nothing beside what its layer gives, else 0."""
    return (x.abs() <= near * x.square().mean().sqrt()).float()


def _dead(names: Sequence[str], off: Tensor) -> dict[str, float]:
    return dict(zip(names, (off > DEAD).double().mean(1).tolist(), strict=True))


def _usage(gates: GateWeights, weights: Tensor, entropy: Tensor) -> dict[str, Any]:
    """Describe each gate by the experts that it may weigh."""
    found = {}
    for name, hidden, means, spread in zip(
        gates.names, gates.hidden.tolist(), weights.tolist(), entropy.tolist(), strict=True
    ):
        seen = {e: w for e, w, h in zip(gates.experts, means, hidden, strict=True) if not h}
        most = math.log(len(seen)) if len(seen) > 1 else math.nan
        found[name] = {"weights": seen, "entropy": spread / most}
    return found
