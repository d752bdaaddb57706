"""A plain model's steps in one call; those of every other one are done part by part."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from trimtab.balancing.base import Balancer
from trimtab.balancing.fixed import FixedWeights
from trimtab.balancing.objective import Objective
from trimtab.batch import Batches
from trimtab.config.training import TrainingSettings
from trimtab.features.encoder import REPEATED
from trimtab.features.engines.native import BLOCK
from trimtab.model import RankingModel
from trimtab.native.step import Network, Plain, Rules
from trimtab.targets.binary import Binary
from trimtab.training.adam import FusedAdamW
from trimtab.trunks.shared_bottom import SharedBottom

_KNOWN = {SharedBottom, FixedWeights, Binary}
"""What the call computes; a class derived from one of these may do something else."""

AtOnce = Callable[[Batches], list[dict[str, Tensor]]]
"""Does steps, one a batch, until one cannot be done; returns each target's loss before each."""


def in_parts(batches: Batches) -> list[dict[str, Tensor]]:
    """Do nothing: each part of a step is to be called for itself."""
    return []


def at_once(
    model: RankingModel,
    objective: Objective,
    balancer: Balancer,
    optimizers: tuple[FusedAdamW, torch.optim.Optimizer],
    training: TrainingSettings,
) -> AtOnce:
    """Return how steps are done in one call, where the model is plain enough for it.

    That is, in float32 with the engine ``native``: single ids and numbers without tables of the
    targets' own, layers with relu behind each and no more, one bottom, one tower for all rows,
    binary targets that depend on no other, fixed weights. Part by part, Python and what it
    calls are a third of such a step; the deeper a model, the less they count.
    """
    (tower, *others), names = model.towers.values(), list(model.targets)
    hidden = [mlp.linears() for mlp in tower.hidden.values()]
    groups = [group for task in tower.groups.values() for group in task]
    made_of = {type(part) for part in (model.trunk, balancer, *model.targets.values())}
    bottom = cast(SharedBottom, model.trunk).bottom.linears() if made_of == _KNOWN else []
    plain = (
        model.features.plain
        and len(bottom) > 1
        and len(hidden) == 1
        and hidden[0]
        and groups == model.together == [names]
        and not (others or model.own or model.given)
        and model.everywhere
        and (objective.even, objective.denominator) == (True, "rows")
        and list(balancer.target_weights) == names
        and training.max_gradient_norm is None
    )
    heads = [tower.heads[name] for name in names] if plain else []
    return _PlainStep(model, balancer, optimizers, bottom, hidden[0], heads) if plain else in_parts


class _PlainStep:
    def __init__(
        self,
        model: RankingModel,
        balancer: Balancer,
        optimizers: tuple[FusedAdamW, torch.optim.Optimizer],
        bottom: Sequence[nn.Linear],
        tower: Sequence[nn.Linear],
        heads: Sequence[nn.Linear],
    ) -> None:
        self.model = model
        self.adam, self.adagrad = optimizers
        self.plain = Plain(
            table=model.features.tables.weight,
            offsets=model.features.offsets,
            bottom=bottom,
            tower=tower,
            heads=heads,
            target_weights=torch.tensor(list(balancer.target_weights.values())),
        )
        self.pieces = model.features.pieces
        self.labels = {name: target.label for name, target in model.targets.items()}
        self.network: Network | None = None

    def __call__(self, batches: Batches) -> list[dict[str, Tensor]]:
        rows = batches.rows
        if rows.weights or not self.model.training:
            return []
        labels = [label(rows.labels) for label in self.labels.values()]
        done = self._network().steps(rows.ids, self.pieces(rows.numbers), labels, batches.sizes)
        return [dict(zip(self.labels, losses.unbind(), strict=True)) for losses in done.unbind()]

    def _network(self) -> Network:
        """Return what a step changes, found anew where a checkpoint was read since."""
        plain = self.plain
        state = self.adam.started(plain.bottom[0].weight)
        squares = self.adagrad.state[plain.table]["sum"]
        if self.network is None or not self.network.stands(state, squares):
            rules = Rules(
                states=[self.adam.started(weight) for weight in plain.dense],
                squares=squares,
                adam=self.adam.param_groups[0],
                adagrad=self.adagrad.param_groups[0],
            )
            self.network = Network(plain, rules, repeated=REPEATED, block=BLOCK)
        return self.network
