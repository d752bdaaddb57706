"""Single target: a network a task, and none of it shared."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from trimtab.features.inputs import Inputs
from trimtab.layers import Activation, LayerSettings, Normalisation
from trimtab.trunks.base import Trunk, TrunkSettings, trunks
from trimtab.trunks.experts import BatchedLinear, ExpertLayers, Spread


@trunks.register("single_target")
class SingleTargetSettings(TrunkSettings, LayerSettings):
    """A network a task and nothing shared above the tables.

    Each network reads the shared embeddings, the numbers and the own embeddings of its targets.
    With ``embedding.width = 0`` and ``embedding.own_width`` above 0 the targets share no table
    either: as many models of one target as there are targets, trained in one pass. What they then
    still have in common is when training stops, a funnel's ``given``, and
    ``training.max_gradient_norm`` where it is set.
    """

    kind: Literal["single_target"] = "single_target"
    widths: list[PositiveInt] = Field(default=[64, 32, 16], min_length=1)
    """Widths of the layers of each network."""

    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Give every target a task of its own."""
        return {target: target for target in targets}

    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> "SingleTarget":
        """Build the networks."""
        return SingleTarget(
            in_width,
            own_width,
            tasks,
            widths=self.widths,
            activation=self.activation,
            dropout=self.dropout,
            norm=self.norm,
        )


class SingleTarget(Trunk):
    """``h_k = f_k([x, own_k])``, all networks in one product a layer.

    ``own_k`` are the own embeddings of the task's targets side by side. A first layer over
    ``[x, own]`` is the sum of one over x and one over each target's own, so the part over x is one
    layer for all tasks.

    Parameters
    ----------
    own_width
        Width of a target's own embeddings, flattened; 0 for none.
    tasks
        Task to its targets.
    """

    task: Tensor

    def __init__(
        self,
        in_width: int,
        own_width: int,
        tasks: Mapping[str, Sequence[str]],
        *,
        widths: Sequence[int],
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Normalisation = "none",
    ) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.targets = [target for targets in tasks.values() for target in targets]
        reads = [in_width + own_width * len(targets) for targets in tasks.values()]
        places = [i for i, targets in enumerate(tasks.values()) for _ in targets]
        self.first = Spread(in_width, self.tasks, widths[0], reads=reads)
        self.own = (
            BatchedLinear(
                self.targets, own_width, widths[0], bias=False, reads=[reads[i] for i in places]
            )
            if own_width and self.targets
            else None
        )
        self.register_buffer("task", torch.tensor(places), persistent=False)
        self.later = ExpertLayers(
            self.tasks, widths=widths, activation=activation, dropout=dropout, norm=norm
        )
        self.out_width = self.later.out_width

    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return each network's output."""
        h = inputs.x.project(self.first).unflatten(1, (len(self.tasks), -1))
        if self.own is not None:
            own = torch.stack([inputs.own[target] for target in self.targets])
            mine = self.own(own.flatten(2).transpose(0, 1))
            h = h.index_add(1, self.task, mine.to(h.dtype))
        return dict(zip(self.tasks, self.later.go_on(h).unbind(1), strict=True))

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters: each task trains its slice of them, and no other's."""
        return self.parameters()
