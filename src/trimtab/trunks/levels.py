"""Experts and gates over inputs of their own: the second and later levels of a stack of them."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from trimtab.layers import Activation, Normalisation
from trimtab.trunks.experts import BatchedLinear, ExpertLayers, GateWeights


class ExpertsEach(ExpertLayers):
    """One MLP an expert, ``e_j(x_j)``: as ``Experts``, but each over its own input."""

    def __init__(
        self,
        in_width: int,
        names: Sequence[str],
        *,
        widths: Sequence[int],
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Normalisation = "none",
    ) -> None:
        super().__init__(names, widths=widths, activation=activation, dropout=dropout, norm=norm)
        self.first = BatchedLinear(names, in_width, widths[0])

    def forward(
        self, x: Float[Tensor, "rows experts in_width"]
    ) -> Float[Tensor, "rows experts out_width"]:
        """Return every expert's output of every row."""
        return self.go_on(self.first(x))


class GatesEach(GateWeights):
    """A softmax a gate, ``g_k(x_k)``: as ``Gates``, but each over its own input."""

    def __init__(
        self,
        in_width: int,
        names: Sequence[str],
        experts: Sequence[str],
        *,
        sees: Mapping[str, Sequence[str]] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(names, experts, sees=sees, dropout=dropout)
        self.linear = BatchedLinear(names, in_width, len(experts))

    def forward(
        self, x: Float[Tensor, "rows gates in_width"]
    ) -> Float[Tensor, "rows gates experts"]:
        """Return the weights, which sum to 1 over the experts."""
        return self.weigh(self.linear(x))
