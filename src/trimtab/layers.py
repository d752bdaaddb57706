"""Blocks that more than one part is built from."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, cast

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import batch_norm, linear

from trimtab.native.layers import layers as native_layers
from trimtab.settings import Settings

Activation = Literal["relu", "silu", "gelu", "tanh", "identity"]
Normalisation = Literal["none", "layer", "batch"]


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that takes a batch of one row (a rare scene's) by the running mean."""

    def forward(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """Normalise each column."""
        if len(x) > 1:
            return super().forward(x)
        return batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "identity": nn.Identity,
}
_OF_A_LAYER = ACTIVATIONS | {"relu": partial(nn.ReLU, inplace=True)}
"""Those of ``MLP``, where nobody else reads a linear layer's output, so that relu may be in place.
Experts' outputs are views of one tensor; there that would cost a copy."""
_NORMALISATIONS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "layer": nn.LayerNorm,
    "batch": BatchNorm,
}


class MLP(nn.Sequential):
    """Linear layers, each followed by normalisation, activation and dropout.

    Attributes
    ----------
    out_width
        Width of the output; ``in_width`` when there are no layers.
    fused
        Whether C++ computes it in training, where it can: relu behind every layer, nothing else.
    """

    fused: bool = False

    def __init__(
        self,
        in_width: int,
        widths: Sequence[int],
        *,
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Normalisation = "none",
    ) -> None:
        layers: list[nn.Module] = []
        self_width = in_width
        for width in widths:
            layers.append(nn.Linear(self_width, width))
            layers.append(_NORMALISATIONS[norm](width))
            layers.append(_OF_A_LAYER[activation]())
            layers.append(nn.Dropout(dropout))
            self_width = width
        kept = [layer for layer in layers if not _is_nothing(layer)]
        super().__init__(*kept)
        self.out_width = self_width
        self._plain = activation == "relu" and norm == "none" and not dropout

    def forward(self, x: Float[Tensor, "rows in_width"]) -> Float[Tensor, "rows out_width"]:
        """Apply every layer in turn."""
        return self.after(0, x)

    def after(self, layers: int, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows out_width"]:
        """Apply the layers behind the first ``layers``, whose output is ``x``, perhaps in place."""
        rest = list(self)[layers:]
        behind_linear = layers % 2
        linears = cast(list[nn.Linear], rest[behind_linear::2])
        if linears and self._in_cpp():
            return native_layers(x, linears, rectify=bool(behind_linear))[0]
        for layer in rest:
            x = layer(x)
        return x

    def heads(
        self, x: Float[Tensor, "rows in_width"], groups: Sequence[Sequence[nn.Linear]]
    ) -> list[Tensor]:
        """Apply every layer, and to what comes out each group of heads, as one product a group."""
        if len(self) and self._in_cpp():
            return [o for heads in groups for o in native_layers(x, self.linears(), heads)]
        hidden = self(x)
        return [out for heads in groups for out in _side_by_side(hidden, heads)]

    def linears(self) -> list[nn.Linear]:
        """Return the linear layers where C++ computes this one, else nothing."""
        return cast(list[nn.Linear], list(self)[::2]) if self._in_cpp() else []

    def _in_cpp(self) -> bool:
        return self.fused and self._plain and self.training


def _side_by_side(x: Float[Tensor, "rows width"], heads: Sequence[nn.Linear]) -> Sequence[Tensor]:
    if len(heads) == 1:
        return [heads[0](x)]
    weight, bias = torch.cat([h.weight for h in heads]), torch.cat([h.bias for h in heads])
    parts: Sequence[Tensor] = linear(x, weight, bias).split([h.out_features for h in heads], 1)
    return parts


def _is_nothing(layer: nn.Module) -> bool:
    return type(layer) is nn.Identity or getattr(layer, "p", None) == 0.0


def seed_of(seed: int, name: str) -> int:
    """Return a seed for the parameter ``name``: the same whatever else the model holds."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7], "big")


def initialise(model: nn.Module, seed: int) -> None:
    """Give every part of ``model`` its start, drawn from the seed and the part's own name.

    Adding a target or a feature changes no other part's start (but for the first layer over the
    features, whose shape changes).
    """
    with torch.random.fork_rng(devices=[]):
        for name, part in model.named_modules():
            reset = getattr(part, "reset_parameters", None)
            if reset is not None:
                torch.manual_seed(seed_of(seed, name))
                reset()


class LayerSettings(Settings):
    """What is common to hidden layers, wherever a run file describes some."""

    activation: Activation = "relu"
    """What follows each layer."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of hidden values set to zero in training."""
    norm: Normalisation = "none"
    """Normalisation of each layer's output."""


class TowerSettings(LayerSettings):
    """The ``[tower]`` table: the hidden layers between the trunk and the heads."""

    widths: list[PositiveInt] = [32]
    """Widths of the hidden layers of each tower; none is allowed."""
