"""Towers: a scene's part of the network, from the tasks' representations to logits."""

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from trimtab.layers import MLP, Activation, Normalisation


class Tower(nn.Module):
    """One small MLP a task and one linear head a target.

    Parameters
    ----------
    tasks
        Target to the task whose representation it reads.
    head_widths
        Target to how many numbers its head gives.
    apart
        Targets whose heads are computed by themselves, so that the others' numbers do not depend on
        them in the last bit.
    """

    hidden: Mapping[str, MLP]
    heads: Mapping[str, nn.Linear]

    def __init__(
        self,
        in_width: int,
        tasks: Mapping[str, str],
        head_widths: Mapping[str, int],
        *,
        widths: Sequence[int],
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Normalisation = "none",
        apart: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.tasks = dict(tasks)
        hidden = {
            task: MLP(in_width, widths, activation=activation, dropout=dropout, norm=norm)
            for task in dict.fromkeys(tasks.values())
        }
        width = widths[-1] if widths else in_width
        heads = {target: nn.Linear(width, head_widths[target]) for target in tasks}
        self.members = {
            task: [t for t in tasks if tasks[t] == task and t not in apart] for task in hidden
        }
        self.apart = [target for target in tasks if target in apart]
        self.hidden = cast(Mapping[str, MLP], nn.ModuleDict(hidden))
        self.heads = cast(Mapping[str, nn.Linear], nn.ModuleDict(heads))

    def forward(self, tasks: Mapping[str, Float[Tensor, "rows in_width"]]) -> dict[str, Tensor]:
        """Return each target's logits, ``[rows, head width]``."""
        hidden = {task: mlp(tasks[task]) for task, mlp in self.hidden.items()}
        logits: dict[str, Tensor] = {}
        for task, targets in self.members.items():
            logits |= self._heads(targets, hidden[task])
        for target in self.apart:
            logits[target] = self.heads[target](hidden[self.tasks[target]])
        return {target: logits[target] for target in self.tasks}

    def _heads(
        self, targets: Sequence[str], hidden: Float[Tensor, "rows width"]
    ) -> dict[str, Tensor]:
        """Apply the heads of one task as one product."""
        heads = [self.heads[target] for target in targets]
        if len(heads) < 2:
            return {target: head(hidden) for target, head in zip(targets, heads, strict=True)}
        weight, bias = torch.cat([h.weight for h in heads]), torch.cat([h.bias for h in heads])
        parts = linear(hidden, weight, bias).split([h.out_features for h in heads], 1)
        return dict(zip(targets, parts, strict=True))
