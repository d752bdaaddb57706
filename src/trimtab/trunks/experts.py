"""Experts and gates: many small networks over the same rows, computed as one."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import dropout, layer_norm

from trimtab.features.inputs import SharedInputs
from trimtab.layers import ACTIVATIONS, Activation, BatchNorm, Normalisation, seed_of


class Spread(nn.Linear):
    """The first layer of every expert over the one shared input: ``[rows, experts * width]``."""

    def __init__(self, in_width: int, names: Sequence[str], width: int) -> None:
        self.names = list(names)
        super().__init__(in_width, len(names) * width)

    def reset_parameters(self) -> None:
        """Draw each expert's part from the seed and its name, as ``nn.Linear`` does."""
        weights = self.weight.data.chunk(len(self.names))
        biases = self.bias.data.chunk(len(self.names))
        _draw(self.names, weights, biases, self.in_features)


class BatchedLinear(nn.Module):
    """A linear layer an expert, each over its own input, in one product."""

    def __init__(self, names: Sequence[str], in_width: int, out_width: int) -> None:
        super().__init__()
        self.names = list(names)
        self.weight = nn.Parameter(torch.empty(len(names), in_width, out_width))
        self.bias = nn.Parameter(torch.empty(len(names), out_width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw each expert's part from the seed and its name, as ``nn.Linear`` does."""
        weights, biases = self.weight.data.unbind(), self.bias.data.unbind()
        _draw(self.names, weights, biases, self.weight.shape[1])

    def forward(
        self, x: Float[Tensor, "rows experts in_width"]
    ) -> Float[Tensor, "rows experts out_width"]:
        """Return ``x_e W_e + b_e`` of every expert."""
        return torch.bmm(x.transpose(0, 1), self.weight).transpose(0, 1) + self.bias


def _draw(
    names: Sequence[str], weights: Sequence[Tensor], biases: Sequence[Tensor], in_width: int
) -> None:
    seed, bound = torch.initial_seed(), in_width**-0.5
    for name, weight, bias in zip(names, weights, biases, strict=True):
        generator = torch.Generator().manual_seed(seed_of(seed, name))
        for part in (weight, bias):
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


class Experts(nn.Module):
    """One MLP an expert over a shared input, ``e_j(x)``, all of them in one product a layer.

    The same as a list of ``MLP`` (a test compares them), and several times faster.

    Parameters
    ----------
    names
        Names of the experts; an expert's start depends on its name alone.
    widths
        Of the layers of each expert; one or more.

    Attributes
    ----------
    out_width
        Width of each expert's output.
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
        super().__init__()
        self.names = list(names)
        self.first = Spread(in_width, names, widths[0])
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

    def forward(self, x: SharedInputs) -> Float[Tensor, "rows experts out_width"]:
        """Return every expert's output of every row."""
        first = x.project(self.first)
        return self.go_on(first.view(len(first), len(self.names), -1))

    def go_on(
        self, h: Float[Tensor, "rows experts width"]
    ) -> Float[Tensor, "rows experts out_width"]:
        """Return the outputs, given those of the first linear layers."""
        h = self.after[0](h)
        for linear, after in zip(self.later, list(self.after)[1:], strict=True):
            h = after(linear(h))
        return h


class Gates(nn.Module):
    """A softmax a gate over the experts that it sees: ``g_k(x) = softmax(W_k x)``.

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
        in_width: int,
        names: Sequence[str],
        experts: Sequence[str],
        *,
        sees: Mapping[str, Sequence[str]] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.names, self.experts = list(names), list(experts)
        self.dropout = dropout
        self.linear = Spread(in_width, names, len(experts))
        seen = [[sees is None or e in sees[gate] for e in experts] for gate in names]
        self.register_buffer("hidden", ~torch.tensor(seen), persistent=False)

    def forward(self, x: SharedInputs) -> Float[Tensor, "rows gates experts"]:
        """Return the weights, which sum to 1 over the experts."""
        logits = x.project(self.linear)
        logits = logits.view(len(logits), len(self.names), len(self.experts))
        weights = logits.masked_fill(self.hidden, -torch.inf).softmax(-1)
        if not (self.training and self.dropout):
            return weights
        kept = dropout(weights, self.dropout)
        # Where every weight was dropped, all are kept.
        kept = torch.where(kept.sum(-1, keepdim=True) > 0, kept, weights)
        return kept / kept.sum(-1, keepdim=True)


def mix(
    weights: Float[Tensor, "rows gates experts"], outputs: Float[Tensor, "rows experts width"]
) -> Float[Tensor, "rows gates width"]:
    """Return each gate's weighted sum of the experts' outputs."""
    return torch.bmm(weights, outputs)
