"""Experts and gates: many small networks over the same rows, computed as one."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import dropout, layer_norm

from trimtab.features.inputs import SharedInputs
from trimtab.layers import ACTIVATIONS, Activation, BatchNorm, Normalisation, seed_of
from trimtab.native.layers import experts as native_experts


class Spread(nn.Linear):
    """The first layer of every expert over the one shared input: ``[rows, experts * width]``.

    Parameters
    ----------
    reads
        How many inputs each expert's first layer has in all, where it has others beside this one;
        its start depends on it.
    """

    def __init__(
        self, in_width: int, names: Sequence[str], width: int, *, reads: Sequence[int] | None = None
    ) -> None:
        self.names = list(names)
        self.reads = list(reads or [in_width] * len(names))
        super().__init__(in_width, len(names) * width)

    def reset_parameters(self) -> None:
        """Draw each expert's part from the seed and its name, as ``nn.Linear`` does."""
        weights = self.weight.data.chunk(len(self.names))
        biases = self.bias.data.chunk(len(self.names))
        _draw(self.names, self.reads, weights, biases)


class BatchedLinear(nn.Module):
    """A linear layer an expert, each over its own input, in one product.

    Parameters
    ----------
    reads
        As of ``Spread``.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        names: Sequence[str],
        in_width: int,
        out_width: int,
        *,
        bias: bool = True,
        reads: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.names = list(names)
        self.reads = list(reads or [in_width] * len(names))
        self.weight = nn.Parameter(torch.empty(len(names), in_width, out_width))
        self.bias = nn.Parameter(torch.empty(len(names), out_width)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw each expert's part from the seed and its name, as ``nn.Linear`` does."""
        parts = [self.weight] if self.bias is None else [self.weight, self.bias]
        _draw(self.names, self.reads, *(part.data.unbind() for part in parts))

    def forward(
        self, x: Float[Tensor, "rows experts in_width"]
    ) -> Float[Tensor, "rows experts out_width"]:
        """Return ``x_e W_e + b_e`` of every expert."""
        out = torch.bmm(x.transpose(0, 1), self.weight).transpose(0, 1)
        return out if self.bias is None else out + self.bias


def _draw(names: Sequence[str], reads: Sequence[int], *parts: Sequence[Tensor]) -> None:
    seed = torch.initial_seed()
    for name, width, *parameters in zip(names, reads, *parts, strict=True):
        generator = torch.Generator().manual_seed(seed_of(seed, name))
        bound = max(width, 1) ** -0.5
        for part in parameters:
            part.copy_(torch.empty(part.shape).uniform_(-bound, bound, generator=generator))


class LayerNormEach(nn.Module):
    """Layer normalisation of each expert's output, with its own scale and shift."""

    def __init__(self, experts: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(experts, width))
        self.bias = nn.Parameter(torch.zeros(experts, width))

    def forward(
        self, x: Float[Tensor, "rows experts width"]
    ) -> Float[Tensor, "rows experts width"]:
        """Normalise over the last axis."""
        return layer_norm(x, x.shape[-1:]) * self.weight + self.bias


class BatchNormEach(nn.Module):
    """Batch normalisation of each column of each expert."""

    def __init__(self, experts: int, width: int) -> None:
        super().__init__()
        self.norm = BatchNorm(experts * width)

    def forward(
        self, x: Float[Tensor, "rows experts width"]
    ) -> Float[Tensor, "rows experts width"]:
        """Normalise over the rows."""
        out: Tensor = self.norm(x.flatten(1)).view(x.shape)
        return out


_NORMALISATIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "none": lambda experts, width: nn.Identity(),
    "layer": LayerNormEach,
    "batch": BatchNormEach,
}


class ExpertLayers(nn.Module):
    """The layers of experts behind the first linear ones, all experts in one product a layer.

    Attributes
    ----------
    activation
        Name of what follows each layer.
    out_width
        Width of each expert's output.
    fused
        Whether C++ computes them in training, where it can: relu behind every layer, nothing else.
    """

    fused: bool = False

    def __init__(
        self,
        names: Sequence[str],
        *,
        widths: Sequence[int],
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Normalisation = "none",
    ) -> None:
        super().__init__()
        self.names, self.activation = list(names), activation
        later = [BatchedLinear(names, a, b) for a, b in pairwise(widths)]
        self.later = nn.ModuleList(later)
        self.after = nn.ModuleList(
            nn.Sequential(
                _NORMALISATIONS[norm](len(names), width),
                ACTIVATIONS[activation](),
                nn.Dropout(dropout),
            )
            for width in widths
        )
        self.out_width = widths[-1]
        self._plain = bool(later) and activation == "relu" and norm == "none" and not dropout

    def go_on(
        self, h: Float[Tensor, "rows experts width"]
    ) -> Float[Tensor, "rows experts out_width"]:
        """Return the outputs, given those of the first linear layers."""
        if self.fused and self._plain and self.training:
            later = cast(list[BatchedLinear], list(self.later))
            return native_experts(
                h, [x.weight for x in later], [cast(Tensor, x.bias) for x in later]
            )
        h = self.after[0](h)
        for linear, after in zip(self.later, list(self.after)[1:], strict=True):
            h = after(linear(h))
        return h


class Experts(ExpertLayers):
    """One MLP an expert over a shared input, ``e_j(x)``, all of them in one product a layer.

    The same as a list of ``MLP`` (a test compares them), and several times faster.

    Parameters
    ----------
    names
        Names of the experts; an expert's start depends on its name alone.
    widths
        Of the layers of each expert; one or more.
    """

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
        self.first = Spread(in_width, names, widths[0])

    def forward(self, x: SharedInputs) -> Float[Tensor, "rows experts out_width"]:
        """Return every expert's output of every row."""
        first = x.project(self.first)
        return self.go_on(first.unflatten(1, (len(self.names), -1)))


class GateWeights(nn.Module):
    """From a gate's logits to its weights of the experts.

    Parameters
    ----------
    names
        Names of the gates, such as the tasks; a gate's start depends on its name alone.
    sees
        Gate to the experts that it may weigh; every gate sees all when left out.
    dropout
        Chance of each weight to be zero in training; the rest is scaled to sum to 1 again
        (Zhao et al., "Recommending What Video to Watch Next", RecSys 2019, section 4.2).
    """

    hidden: Tensor

    def __init__(
        self,
        names: Sequence[str],
        experts: Sequence[str],
        *,
        sees: Mapping[str, Sequence[str]] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.names, self.experts = list(names), list(experts)
        self.dropout = dropout
        seen = [[sees is None or e in sees[gate] for e in experts] for gate in names]
        self.register_buffer("hidden", ~torch.tensor(seen), persistent=False)
        self._hides = not all(map(all, seen))

    def weigh(
        self, logits: Float[Tensor, "rows gates experts"]
    ) -> Float[Tensor, "rows gates experts"]:
        """Return the weights, which sum to 1 over the experts that a gate sees."""
        shown = logits.masked_fill(self.hidden, -torch.inf) if self._hides else logits
        # Over the first axis PyTorch's loops are eight times as fast as over a short last one.
        weights = shown.movedim(-1, 0).softmax(0).movedim(0, -1)
        if not (self.training and self.dropout):
            return weights
        kept = dropout(weights, self.dropout)
        # Where every weight was dropped, all are kept.
        kept = torch.where(kept.sum(-1, keepdim=True) > 0, kept, weights)
        return kept / kept.sum(-1, keepdim=True)


class Gates(GateWeights):
    """A softmax a gate over the experts that it sees: ``g_k(x) = softmax(W_k x + b_k)``.

    For the parameters see ``GateWeights``.
    """

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
        self.linear = Spread(in_width, names, len(experts))

    def forward(self, x: SharedInputs) -> Float[Tensor, "rows gates experts"]:
        """Return the weights, which sum to 1 over the experts."""
        logits = x.project(self.linear)
        return self.weigh(logits.view(len(logits), len(self.names), len(self.experts)))


def mix(
    weights: Float[Tensor, "rows gates experts"], outputs: Float[Tensor, "rows experts width"]
) -> Float[Tensor, "rows gates width"]:
    """Return each gate's weighted sum of the experts' outputs."""
    return torch.bmm(weights, outputs)
