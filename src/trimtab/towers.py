"""Towers: a scene's part of the network, from the tasks' representations to logits."""

from collections.abc import Mapping, Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from trimtab.layers import MLP, Activation, Normalisation


class Tower(nn.Module):
    """One small MLP a task and one linear head a target.

    Parameters
    ----------
    tasks
        Target to the task whose representation it reads.
    head_widths
        Target to how many numbers its head gives.
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
    ) -> None:
        super().__init__()
        self.tasks = dict(tasks)
        hidden = {
            task: MLP(in_width, widths, activation=activation, dropout=dropout, norm=norm)
            for task in dict.fromkeys(tasks.values())
        }
        width = widths[-1] if widths else in_width
        heads = {target: nn.Linear(width, head_widths[target]) for target in tasks}
        self.hidden = cast(Mapping[str, MLP], nn.ModuleDict(hidden))
        self.heads = cast(Mapping[str, nn.Linear], nn.ModuleDict(heads))

    def forward(self, tasks: Mapping[str, Float[Tensor, "rows in_width"]]) -> dict[str, Tensor]:
        """Return each target's logits, ``[rows, head width]``."""
        hidden = {task: mlp(tasks[task]) for task, mlp in self.hidden.items()}
        return {target: head(hidden[self.tasks[target]]) for target, head in self.heads.items()}
