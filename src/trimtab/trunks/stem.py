"""STEM: each task has embeddings of its own and an expert over them; all read, each trains its."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from trimtab.errors import SettingsError
from trimtab.features.inputs import Inputs, SharedInputs
from trimtab.layers import Activation, LayerSettings, Normalisation
from trimtab.trunks.base import Trunk, TrunkSettings, trunks
from trimtab.trunks.experts import BatchedLinear, Experts, GateWeights, Spread, mix
from trimtab.trunks.levels import ExpertsEach


@trunks.register("stem")
class STEMSettings(TrunkSettings, LayerSettings):
    """Experts over shared embeddings and over each task's own (Su et al., AAAI 2024).

    It needs ``[embedding] own_width``.
    """

    kind: Literal["stem"] = "stem"
    experts: PositiveInt = 1
    """How many experts each task has, over its own embeddings."""
    shared_experts: PositiveInt = 1
    """How many experts all tasks share, over the shared embeddings and the numbers."""
    widths: list[PositiveInt] = Field(default=[64, 32], min_length=1)
    """Widths of the layers of each expert."""
    gate_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance of each weight of a gate to be zero in training."""

    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Give every target a task of its own."""
        return {target: target for target in targets}

    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> "STEM":
        """Build the network.

        Raises
        ------
        SettingsError
            When the targets have no embeddings of their own.
        """
        if not own_width:
            raise SettingsError(
                "embedding.own_width: the trunk 'stem' reads embeddings of each target's own, and "
                "this run has none; set [embedding] own_width to 1 or more (4 by default), and "
                "have an id among the features."
            )
        return STEM(
            in_width,
            own_width,
            tasks,
            experts=self.experts,
            shared_experts=self.shared_experts,
            widths=self.widths,
            activation=self.activation,
            dropout=self.dropout,
            norm=self.norm,
            gate_dropout=self.gate_dropout,
        )


class OwnGates(GateWeights):
    """A softmax a task over the experts, ``softmax(A_k x + B_k own_k)``.

    Parameters
    ----------
    in_widths
        Widths of x and of own_k.
    """

    def __init__(
        self,
        in_widths: tuple[int, int],
        names: Sequence[str],
        experts: Sequence[str],
        *,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(names, experts, dropout=dropout)
        width, own_width = in_widths
        reads = [width + own_width] * len(names)  # The parts of one layer over both.
        self.over_x = Spread(width, names, len(experts), reads=reads)
        self.over_own = BatchedLinear(names, own_width, len(experts), bias=False, reads=reads)

    def forward(
        self, x: SharedInputs, own: Float[Tensor, "rows gates own_width"]
    ) -> Float[Tensor, "rows gates experts"]:
        """Return the weights, which sum to 1 over the experts."""
        over_x = x.project(self.over_x).unflatten(1, (len(self.names), -1))
        return self.weigh(over_x + self.over_own(own))


class STEM(Trunk):
    """``h_k = w_kk e_k(own_k) + sum_s w_ks e_s(x) + sum_{j != k} w_kj sg(e_j(own_j))``.

    Here ``sg`` stops the gradient and ``w_k = softmax(A_k x + B_k own_k)``: a task reads the
    experts of all, and its loss reaches no other task's embeddings or experts ("all forward,
    task-specific backward"). Su et al., "STEM: Unleashing the Power of Embeddings for Multi-task
    Recommendation", AAAI 2024, the gating of STEM-Net, one layer.

    Where we differ: own embeddings are narrower than the shared ones, so that tables stay small;
    a gate is one linear layer over x and own_k, where the authors' code has an MLP over their sum;
    the activation follows an expert's last layer too. A task of several targets reads the mean of
    their embeddings.

    Parameters
    ----------
    in_width, own_width
        Widths of x, and of one target's own embeddings, flattened.
    tasks
        Task to its targets.
    experts, shared_experts
        How many each task has, and all share; each is an MLP of ``widths``.
    gate_dropout
        As ``dropout`` of ``Gates``.
    """

    def __init__(
        self,
        in_width: int,
        own_width: int,
        tasks: Mapping[str, Sequence[str]],
        *,
        experts: int,
        shared_experts: int,
        widths: Sequence[int],
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Normalisation = "none",
        gate_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tasks = {task: list(targets) for task, targets in tasks.items()}
        self.experts, self.shared_experts = experts, shared_experts
        shared = [f"shared/{i}" for i in range(shared_experts)]
        own = [f"{task}/{i}" for task in tasks for i in range(experts)]
        self.shared = Experts(
            in_width, shared, widths=widths, activation=activation, dropout=dropout, norm=norm
        )
        self.own = ExpertsEach(
            own_width, own, widths=widths, activation=activation, dropout=dropout, norm=norm
        )
        self.gates = OwnGates(
            (in_width, own_width), list(tasks), [*shared, *own], dropout=gate_dropout
        )
        self.out_width = self.shared.out_width

    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return each task's mixture of the experts."""
        own = torch.stack([_own(inputs, targets) for targets in self.tasks.values()], 1)
        theirs = self.own(own.repeat_interleave(self.experts, 1))
        mixtures = self._mix(self.gates(inputs.x, own), self.shared(inputs.x), theirs)
        return dict(zip(self.tasks, mixtures.unbind(1), strict=True))

    def _mix(
        self,
        weights: Float[Tensor, "rows tasks experts"],
        shared: Float[Tensor, "rows shared_experts width"],
        own: Float[Tensor, "rows own_experts width"],
    ) -> Float[Tensor, "rows tasks width"]:
        """Return each task's weighted sum, whose gradient reaches only its own experts."""
        h = mix(weights, torch.cat([shared, own.detach()], 1))
        by_task = (len(self.tasks), -1)
        to_own = weights[..., self.shared_experts :].unflatten(2, by_task).diagonal(dim1=1, dim2=2)
        # What is added is 0, for h holds every expert; its gradient is that of the task's own.
        nothing = (own - own.detach()).unflatten(1, by_task)
        added: Tensor = (to_own.detach().transpose(1, 2).unsqueeze(-1) * nothing).sum(2)
        return h + added

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters; each task trains its slice of those that are batched."""
        return self.parameters()


def _own(inputs: Inputs, targets: Sequence[str]) -> Float[Tensor, "rows own_width"]:
    """Return the mean of the targets' own embeddings, the fields side by side."""
    return torch.stack([inputs.own[target] for target in targets]).mean(0).flatten(1)
