"""Shared bottom: one network whose output every task reads."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn

from trimtab.features.inputs import Inputs
from trimtab.layers import MLP, Activation, LayerSettings, Normalisation
from trimtab.trunks.base import Trunk, TrunkSettings, trunks


@trunks.register("shared_bottom")
class SharedBottomSettings(TrunkSettings, LayerSettings):
    """One network for all tasks (Caruana, Machine Learning 1997)."""

    kind: Literal["shared_bottom"] = "shared_bottom"
    widths: list[PositiveInt] = [64, 32, 16]
    """Widths of the layers."""

    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Put every target into one task."""
        return dict.fromkeys(targets, "all")

    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> "SharedBottom":
        """Build the network."""
        return SharedBottom(
            in_width,
            list(tasks),
            widths=self.widths,
            activation=self.activation,
            dropout=self.dropout,
            norm=self.norm,
        )


class SharedBottom(Trunk):
    """``h = f(x)``, the same for every task (Caruana, Machine Learning 1997)."""

    def __init__(
        self,
        in_width: int,
        tasks: Sequence[str],
        *,
        widths: Sequence[int],
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Normalisation = "none",
    ) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.bottom = MLP(in_width, widths, activation=activation, dropout=dropout, norm=norm)
        self.out_width = self.bottom.out_width

    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return the one representation under every task's name."""
        if not len(self.bottom):
            return dict.fromkeys(self.tasks, inputs.shared)
        first = inputs.x.project(cast(nn.Linear, self.bottom[0]))
        return dict.fromkeys(self.tasks, self.bottom.after(1, first))

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters."""
        return self.bottom.parameters()
