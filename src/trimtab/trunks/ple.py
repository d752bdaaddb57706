"""Progressive layered extraction: levels of the tasks' own experts and of shared ones."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from trimtab.features.inputs import Inputs
from trimtab.layers import Activation, LayerSettings, Normalisation
from trimtab.trunks.base import Trunk, TrunkSettings, trunks
from trimtab.trunks.experts import Experts, Gates, mix
from trimtab.trunks.levels import ExpertsEach, GatesEach

SHARED = ""
"""The group of the shared experts; no task has this name."""


@trunks.register("ple")
class PLESettings(TrunkSettings, LayerSettings):
    """Levels of the tasks' own experts and of shared ones (Tang et al., RecSys 2020)."""

    kind: Literal["ple"] = "ple"
    experts: PositiveInt = 1
    """How many experts each task has for itself, on each level."""
    shared_experts: PositiveInt = 2
    """How many experts all tasks share, on each level."""
    levels: PositiveInt = 2
    """How many levels there are; one is CGC."""
    widths: list[PositiveInt] = Field(default=[64, 32], min_length=1)
    """Widths of the layers of each expert."""
    gate_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance of each weight of a gate to be zero in training."""

    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Give every target a task of its own."""
        return {target: target for target in targets}

    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> "PLE":
        """Build the levels."""
        return PLE(
            in_width,
            list(tasks),
            experts=self.experts,
            shared_experts=self.shared_experts,
            levels=self.levels,
            widths=self.widths,
            activation=self.activation,
            dropout=self.dropout,
            norm=self.norm,
            gate_dropout=self.gate_dropout,
        )


class PLE(Trunk):
    """``h_k' = g_k(h_k)^T [E_k(h_k); E_s(h_s)]`` on each level, from ``h_k = h_s = x``.

    The shared ``h_s' = g_s(h_s)^T [E_1(h_1); ..; E_K(h_K); E_s(h_s)]`` feeds the next level, so the
    last one has none. Tang et al., "Progressive Layered Extraction (PLE)", RecSys 2020: one level
    is CGC, eq. 1 to 3; eq. 5 stacks them. Our gates have a bias.

    Parameters
    ----------
    experts, shared_experts
        How many each task has, and all share, on each level; each is an MLP of ``widths``.
    gate_dropout
        As ``dropout`` of ``Gates``.
    """

    def __init__(
        self,
        in_width: int,
        tasks: Sequence[str],
        *,
        experts: int,
        shared_experts: int,
        levels: int,
        widths: Sequence[int],
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Normalisation = "none",
        gate_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tasks = list(tasks)
        groups = {task: _named(task, experts) for task in tasks}
        groups[SHARED] = _named(SHARED, shared_experts)
        names = [name for members in groups.values() for name in members]
        sees = {task: groups[task] + groups[SHARED] for task in tasks} | {SHARED: names}
        gates = [[*tasks, SHARED]] * (levels - 1) + [self.tasks]
        self.experts = Experts(
            in_width, names, widths=widths, activation=activation, dropout=dropout, norm=norm
        )
        self.gates = Gates(in_width, gates[0], names, sees=sees, dropout=gate_dropout)
        self.later = nn.ModuleList(
            Level(
                ExpertsEach(
                    widths[-1],
                    names,
                    widths=widths,
                    activation=activation,
                    dropout=dropout,
                    norm=norm,
                ),
                GatesEach(widths[-1], gated, names, sees=sees, dropout=gate_dropout),
                [i for i, members in enumerate(groups.values()) for _ in members],
            )
            for gated in gates[1:]
        )
        self.out_width = self.experts.out_width

    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return each task's mixture of the last level."""
        h = mix(self.gates(inputs.x), self.experts(inputs.x))
        for level in self.later:
            h = level(h)
        return dict(zip(self.tasks, h.unbind(1), strict=True))

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters; of the experts' and gates' each task trains the parts it sees."""
        return self.parameters()


class Level(nn.Module):
    """A level above the first: an expert reads its group's mixture of the level below.

    Parameters
    ----------
    groups
        Index of each expert's group: its task, or the shared experts as the last.
    """

    groups: Tensor

    def __init__(self, experts: ExpertsEach, gates: GatesEach, groups: Sequence[int]) -> None:
        super().__init__()
        self.experts, self.gates = experts, gates
        self.register_buffer("groups", torch.tensor(groups), persistent=False)

    def forward(
        self, h: Float[Tensor, "rows groups in_width"]
    ) -> Float[Tensor, "rows gates out_width"]:
        """Return each gate's mixture; the last level has no gate of the shared experts."""
        outputs = self.experts(h.index_select(1, self.groups))
        return mix(self.gates(h[:, : len(self.gates.names)]), outputs)


def _named(group: str, experts: int) -> list[str]:
    return [f"{group}/{expert}" for expert in range(experts)]
