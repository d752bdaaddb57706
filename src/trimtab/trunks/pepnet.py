"""PEPNet: gates that scale the inputs and every hidden layer of a task, row by row."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import embedding

from trimtab.features.inputs import Dense, Inputs, SharedInputs
from trimtab.layers import ACTIVATIONS, Activation
from trimtab.trunks.base import Trunk, TrunkSettings, trunks
from trimtab.trunks.experts import BatchedLinear, Spread


@trunks.register("pepnet")
class PEPNetSettings(TrunkSettings):
    """A network a task whose inputs and hidden values are scaled by gates (Chang et al., KDD 2023).

    With ``[scenes] stages`` every row counts as of the first.
    """

    kind: Literal["pepnet"] = "pepnet"
    widths: list[PositiveInt] = Field(default=[64, 32], min_length=1)
    """Widths of the layers of each task's network."""
    gate_width: PositiveInt = 16
    """Width of the hidden layer of each gate."""
    activation: Activation = "relu"
    """What follows each layer."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of hidden values set to zero in training."""

    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Give every target a task of its own."""
        return {target: target for target in targets}

    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> "PEPNet":
        """Build the network."""
        return PEPNet(
            in_width,
            list(tasks),
            scenes,
            widths=self.widths,
            gate_width=self.gate_width,
            activation=self.activation,
            dropout=self.dropout,
        )


class Gate(nn.Module):
    """``2 sigmoid(V relu(U p + v_s) + c)`` from a prior p and the scene s: the paper's Gate NU.

    A linear layer over a scene's embedding beside the prior is the same: ``v_s`` is its part of
    the sum. One gate a name; they share the hidden layer.
    """

    def __init__(
        self, prior_width: int, hidden_width: int, names: Sequence[str], width: int, scenes: int
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(prior_width, hidden_width)
        self.scene = nn.Parameter(torch.empty(scenes, hidden_width))
        self.out = Spread(hidden_width, names, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start every scene alike."""
        nn.init.zeros_(self.scene)

    def forward(
        self, prior: SharedInputs, scene: Int[Tensor, " rows"]
    ) -> Float[Tensor, "rows names width"]:
        """Return factors between 0 and 2."""
        # Unlike with indexing, gradients are added up in one order whatever the threads.
        hidden = (prior.project(self.hidden) + embedding(scene, self.scene)).relu()
        logits: Tensor = self.out(hidden).unflatten(1, (len(self.out.names), -1))
        return 2 * logits.sigmoid()


class PEPNet(Trunk):
    """``x' = G(s, sg(x)) * x``, then ``h <- G_kl(s, sg(x')) * f(W_kl h + b_kl)`` a task and layer.

    Here ``G`` is a gate, ``sg`` stops the gradient, and the first h is x'. Chang et al., "PEPNet:
    Parameter and Embedding Personalized Network for Infusing with Personalized Prior
    Information", KDD 2023: EPNet, then PPNet.

    Where we differ: the paper's priors are the scene's features in EPNet, and embeddings of user,
    item and author in PPNet, which the gates train; a trunk sees no single feature, so x itself,
    which holds them, is the prior, and no gate trains it. The numbers of x are scaled as the
    embeddings are. As in the paper, a layer's gates of all tasks share their hidden layer.

    Parameters
    ----------
    gate_width
        Width of the hidden layer of each gate.
    """

    def __init__(
        self,
        in_width: int,
        tasks: Sequence[str],
        scenes: int,
        *,
        widths: Sequence[int],
        gate_width: int,
        activation: Activation = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.input_gate = Gate(in_width, gate_width, ["x"], in_width, scenes)
        gates = [Gate(in_width, gate_width, tasks, width, scenes) for width in widths]
        self.gates = cast(Sequence[Gate], nn.ModuleList(gates))
        self.first = Spread(in_width, tasks, widths[0])
        later = [BatchedLinear(tasks, a, b) for a, b in pairwise(widths)]
        self.later = cast(Sequence[BatchedLinear], nn.ModuleList(later))
        self.after = nn.Sequential(ACTIVATIONS[activation](), nn.Dropout(dropout))
        self.out_width = widths[-1]

    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return the last hidden layer of each task's network."""
        x, scene = inputs.shared, inputs.scene
        scaled = self.input_gate(Dense(x.detach()), scene)[:, 0] * x
        prior = Dense(scaled.detach())
        h = self.first(scaled).unflatten(1, (len(self.tasks), -1))
        h = self.gates[0](prior, scene) * self.after(h)
        for layer, gate in zip(self.later, self.gates[1:], strict=True):
            h = gate(prior, scene) * self.after(layer(h))
        return dict(zip(self.tasks, h.unbind(1), strict=True))

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters; each task trains its slice of those that are batched."""
        return self.parameters()
