"""Why sharing helps or hurts: what the targets' gradients do to each other, on training rows."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trimtab.batch import Batch
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared
from trimtab.evaluation.diagnostics import (
    TABLES,
    TOWERS,
    TRUNK,
    expert_health,
    information_abundance,
    label_correlation,
)
from trimtab.evaluation.evaluate import finite
from trimtab.features.encoder import SHARED
from trimtab.model import RankingModel
from trimtab.training.build import build_model, build_objective
from trimtab.training.passes import make_room

BATCHES, BATCH_ROWS = 16, 4096
SAMPLE = 200_000
"""Most training rows that labels are correlated on."""
GAIN = 1e-3
"""Share of its own loss that a look-ahead step takes off, to first order."""

Losses = Mapping[str, Tensor]
"""Each target's loss of a batch, with its graph."""
LossesOf = Callable[[Batch], Losses]


def diagnose(settings: RunSettings, prepared: Prepared, model: RankingModel) -> dict[str, Any]:
    """Return everything that may explain a seesaw, at the model's weights as they are."""
    device = model.present.device
    if not model.features.tables.in_weight:
        model = as_served(settings, prepared, model)
    objective = build_objective(settings, prepared.statistics.scenes.names).to(device)
    learnt = [name for name, target in settings.targets.items() if target.weight > 0]
    rows = prepared.train
    drawn = np.random.default_rng(settings.training.seed).permutation(len(rows))
    size = min(BATCH_ROWS, max(len(rows) // 4, 1))
    starts = range(0, min(BATCHES * size, len(rows) // size * size), size)
    batches = [rows.batch(drawn[i : i + size]).to(device) for i in starts]
    sample = rows.batch(np.sort(drawn[:SAMPLE]))

    def losses(batch: Batch) -> dict[str, Tensor]:
        found = objective(model, batch, model(batch))
        return {name: found[name] for name in learnt}

    training = model.training
    model.eval()
    try:
        return finite(
            {
                "labels": label_correlation(_labels(model, sample, learnt)),
                "gradients": gradients(model, losses, batches),
                "affinity": affinity(model, losses, batches),
                "experts": expert_health(model, batches),
                "abundance": information_abundance(model),
            }
        )
    finally:
        model.train(training)


def as_served(settings: RunSettings, prepared: Prepared, model: RankingModel) -> RankingModel:
    """Return a copy of a model with tables in plain PyTorch, whose rows a step can move."""
    device = model.present.device
    engine = settings.embedding.engine.serve(device)
    copied = build_model(settings, prepared.statistics, prepared.train.names, engine)
    make_room(copied, len(model.earlier))
    copied.load_state_dict(model.state_dict())
    return copied.to(device)


def _labels(model: RankingModel, batch: Batch, names: Sequence[str]) -> dict[str, Any]:
    """Return what happened; a quantity whose earlier step did not happen is 0."""
    labels = {}
    for name in names:
        label = model.targets[name].label(batch.labels)
        if name in model.given:
            unreached = batch.labels[model.given[name]] == 0
            label = torch.where(unreached, torch.zeros_like(label), label)
        here = model.present[list(model.targets).index(name)].cpu()[batch.scene]
        labels[name] = torch.where(here, label, torch.nan).numpy()
    return labels


def shared_parts(model: RankingModel) -> dict[str, list[nn.Parameter]]:
    """Return the weights that targets may compete for, by part: tables first, trunk, towers."""
    parts = {TABLES: [model.features.tables.weight]}
    for name, child in model.trunk.named_children():
        parts[f"{TRUNK}.{name}"] = list(child.parameters())
    parts[TRUNK] = list(model.trunk.parameters(recurse=False))
    hidden = [mlp for tower in model.towers.values() for mlp in tower.hidden.values()]
    parts[TOWERS] = [weight for mlp in hidden for weight in mlp.parameters()]
    return {name: weights for name, weights in parts.items() if weights}


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """The gradients of one batch's losses.

    Attributes
    ----------
    rows
        Table rows that any loss reaches.
    of
        Target to its gradient of each weight; of the tables, of the shared block of ``rows``.
    """

    rows: Int[Tensor, " distinct"]
    of: Mapping[str, Sequence[Tensor]]

    @classmethod
    def take(cls, model: RankingModel, losses: Losses, weights: Sequence[Tensor]) -> "Gradients":
        """Differentiate each loss by the weights, of which the tables are the first."""
        raw = {name: _gradients(loss, weights) for name, loss in losses.items()}
        table, width = weights[0], model.features.tables.blocks.get(SHARED, 0)
        sparse = {name: table_of[0] for name, table_of in raw.items()}
        reached = [g._indices()[0] for g in sparse.values() if g is not None]
        rows = torch.cat([*reached, table.new_zeros(0, dtype=torch.long)]).unique()
        of = {}
        for name, (gradient, *others) in raw.items():
            block = table.new_zeros(len(rows), width)
            if gradient is not None:
                places = torch.searchsorted(rows, gradient._indices()[0])
                block.index_add_(0, places, gradient._values()[:, :width])
            dense = zip(others, weights[1:], strict=True)
            of[name] = [block, *(torch.zeros_like(w) if g is None else g for g, w in dense)]
        return cls(rows=rows, of=of)


def _gradients(loss: Tensor, weights: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Return each gradient; None where the loss does not reach."""
    if not loss.requires_grad:  # Not where no row's scene has the target.
        return [None] * len(weights)
    return torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)


def gradients(
    model: RankingModel, losses: LossesOf, batches: Sequence[Batch]
) -> dict[str, dict[str, Any]]:
    """Return for each part how the targets' gradients lie to each other.

    Of the tables only the block that all targets read counts.

    Returns
    -------
    dict
        Part to ``cosine`` and its standard ``error`` over the batches, ``{a: {b: ..}}``, and to
        ``norm``, the mean length of each target's gradient. A cosine below 0 says that a step
        that lowers one loss raises the other.
    """
    parts = shared_parts(model)
    weights = [weight for part in parts.values() for weight in part]
    products: dict[str, list[Tensor]] = {part: [] for part in parts}
    names: list[str] = []
    for batch in batches:
        taken = Gradients.take(model, losses(batch), weights)
        names, start = list(taken.of), 0
        for part, inside in parts.items():
            span = slice(start, start + len(inside))
            flat = [torch.cat([g.flatten() for g in of[span]]).double() for of in taken.of.values()]
            products[part].append(torch.stack(flat) @ torch.stack(flat).t())
            start = span.stop
    return {part: _angles(names, torch.stack(of)) for part, of in products.items() if of}


def _angles(names: Sequence[str], products: Float[Tensor, "batches a b"]) -> dict[str, Any]:
    """Return cosines, their errors and lengths, given the products in every batch."""
    norms = products.diagonal(dim1=1, dim2=2).sqrt()
    cosines = products / (norms[:, :, None] * norms[:, None, :])
    cosines = torch.where(cosines.isfinite(), cosines, torch.nan)
    count, mean = (~cosines.isnan()).sum(0), cosines.nanmean(0)
    variance = ((cosines - mean) ** 2).nansum(0) / (count - 1)
    return {
        "cosine": _table(names, mean),
        "error": _table(names, torch.where(count > 1, (variance / count).sqrt(), torch.nan)),
        "norm": dict(zip(names, norms.mean(0).tolist(), strict=True)),
    }


def _table(names: Sequence[str], values: Float[Tensor, "a b"]) -> dict[str, dict[str, float]]:
    rows = [dict(zip(names, row, strict=True)) for row in values.tolist()]
    return dict(zip(names, rows, strict=True))


def affinity(
    model: RankingModel, losses: LossesOf, batches: Sequence[Batch]
) -> dict[str, dict[str, float]]:
    """Return ``{a: {b: ..}}``: what a small step for target a does to the loss of target b.

    The step is down a's gradient of the shared tables and the trunk, and as long as takes .1 % off
    a's loss to first order; 0.5 says that .05 % went off b's, on the same batch, -0.5 that as much
    came on. Fifty et al., "Efficiently Identifying Task Groupings for Multi-Task Learning",
    NeurIPS 2021, eq. 1, but for the length of the step, which there is the optimiser's: so the
    numbers of targets with losses of different size can be compared.
    """
    parts = shared_parts(model)
    weights = [w for part, inside in parts.items() if part != TOWERS for w in inside]
    found: list[Tensor] = []
    names: list[str] = []
    for batch in batches:
        graph = losses(batch)
        taken, names = Gradients.take(model, graph, weights), list(graph)
        before = torch.stack([loss.detach() for loss in graph.values()])
        rows = []
        for loss, of in zip(before, taken.of.values(), strict=True):
            length = sum(float(g.double().square().sum()) for g in of)
            rate = GAIN * float(loss.abs()) / length if length > 0 else math.nan
            with torch.no_grad(), _stepped(weights, taken.rows, [rate * g for g in of]):
                after = torch.stack(list(losses(batch).values()))
            rows.append((before - after) / before.abs() / GAIN)
        found.append(torch.stack(rows))
    if not found:
        return {}
    every = torch.stack(found)
    return _table(names, torch.where(every.isfinite(), every, torch.nan).nanmean(0))


@contextmanager
def _stepped(weights: Sequence[Tensor], rows: Tensor, steps: Sequence[Tensor]) -> Iterator[None]:
    """Have the weights moved by ``-steps`` for a while; then they are what they were, exactly."""
    table, dense = weights[0].data, [weight.data for weight in weights[1:]]
    kept_rows, kept = table.index_select(0, rows), [weight.clone() for weight in dense]
    try:
        moved = kept_rows.clone()
        moved[:, : steps[0].shape[1]] -= steps[0]
        table.index_copy_(0, rows, moved)
        for weight, step in zip(dense, steps[1:], strict=True):
            weight -= step
        yield
    finally:
        table.index_copy_(0, rows, kept_rows)
        for weight, before in zip(dense, kept, strict=True):
            weight.copy_(before)
