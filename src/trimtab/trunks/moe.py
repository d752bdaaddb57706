"""Mixture of experts: one gate for all tasks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from trimtab.features.inputs import Inputs
from trimtab.layers import Activation, LayerSettings, Normalisation
from trimtab.trunks.base import Trunk, TrunkSettings, trunks
from trimtab.trunks.experts import Experts, Gates, mix


@trunks.register("moe")
class MoESettings(TrunkSettings, LayerSettings):
    """Experts and one gate for all tasks (OMoE in Ma et al., KDD 2018)."""

    kind: Literal["moe"] = "moe"
    experts: PositiveInt = 4
    """How many experts there are."""
    widths: list[PositiveInt] = Field(default=[64, 32], min_length=1)
    """Widths of the layers of each expert."""
    gate_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance of each weight of a gate to be zero in training."""

    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Put every target into one task."""
        return dict.fromkeys(targets, "all")

    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> "MoE":
        """Build the experts and the gate."""
        return MoE(
            in_width,
            list(tasks),
            experts=self.experts,
            widths=self.widths,
            activation=self.activation,
            dropout=self.dropout,
            norm=self.norm,
            gate_dropout=self.gate_dropout,
        )


class MoE(Trunk):
    """``h = sum_j g(x)_j e_j(x)``, the same for every task.

    OMoE, the baseline of Ma et al., "Modeling Task Relationships in Multi-task Learning with
    Multi-gate Mixture-of-Experts", KDD 2018, eq. 5. Our gate has a bias.

    Parameters
    ----------
    experts
        How many; each is an MLP of ``widths``.
    gate_dropout
        As ``dropout`` of ``Gates``.
    """

    def __init__(
        self,
        in_width: int,
        tasks: Sequence[str],
        *,
        experts: int,
        widths: Sequence[int],
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Normalisation = "none",
        gate_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tasks = list(tasks)
        names = [str(expert) for expert in range(experts)]
        self.experts = Experts(
            in_width, names, widths=widths, activation=activation, dropout=dropout, norm=norm
        )
        self.gates = Gates(in_width, ["all"], names, dropout=gate_dropout)
        self.out_width = self.experts.out_width

    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return the one mixture under every task's name."""
        mixture = mix(self.gates(inputs.x), self.experts(inputs.x))
        return dict.fromkeys(self.tasks, mixture[:, 0])

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters."""
        return self.parameters()
