"""STAR: a network a scene, whose weights are shared ones times the scene's own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

from trimtab.features.inputs import Inputs, SharedInputs
from trimtab.layers import ACTIVATIONS, Activation, BatchNorm
from trimtab.trunks.base import Trunk, TrunkSettings, trunks


@trunks.register("star")
class STARSettings(TrunkSettings):
    """A network a scene, grown from one that all scenes share (Sheng et al., CIKM 2021).

    With ``[scenes] stages`` every row counts as of the first.
    """

    kind: Literal["star"] = "star"
    widths: list[PositiveInt] = Field(default=[64, 32, 16], min_length=1)
    """Widths of the layers."""
    auxiliary: list[PositiveInt] = [16]
    """Hidden layers of the network of the scene and the inputs whose output is added."""
    norm: Literal["none", "partitioned"] = "none"
    """Normalisation of the inputs: ``partitioned`` normalises each scene's rows by themselves, as
    the paper does."""
    activation: Activation = "relu"
    """What follows each layer."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of hidden values set to zero in training."""

    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Put every target into one task."""
        return dict.fromkeys(targets, "all")

    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> "STAR":
        """Build the network."""
        return STAR(
            in_width,
            list(tasks),
            scenes,
            widths=self.widths,
            auxiliary=self.auxiliary,
            norm=self.norm,
            activation=self.activation,
            dropout=self.dropout,
        )


class StarLinear(nn.Module):
    """``(W * W_s) x + b + b_s`` in scene s (Sheng et al., "Star Topology FCN").

    ``W_s`` starts at 1 and ``b_s`` at 0, so that scenes start alike. What is learnt is
    ``W_s - 1``: weight decay then pulls the scenes together, not the network to nothing.
    """

    def __init__(self, in_width: int, out_width: int, scenes: int) -> None:
        super().__init__()
        self.shared = nn.Linear(in_width, out_width)
        self.scene_weight = nn.Parameter(torch.empty(scenes, out_width, in_width))
        self.scene_bias = nn.Parameter(torch.empty(scenes, out_width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start every scene as the shared layer."""
        nn.init.zeros_(self.scene_weight)
        nn.init.zeros_(self.scene_bias)

    def forward(
        self, x: Float[Tensor, "rows in_width"], scene: int
    ) -> Float[Tensor, "rows out_width"]:
        """Return the layer's output for rows of one scene."""
        weight = self.shared.weight * (1 + self.scene_weight[scene])
        return linear(x, weight, self.shared.bias + self.scene_bias[scene])


class PartitionedNorm(nn.Module):
    """``(g * g_s) (x - mean_s) / sqrt(var_s + eps) + b + b_s`` in scene s.

    Mean and variance are of the scene's rows in the batch; in evaluation, and where the batch has
    one row of the scene, they are running ones of the scene (Sheng et al., "Partitioned
    Normalization").
    """

    def __init__(self, width: int, scenes: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(BatchNorm(width, affine=False) for _ in range(scenes))
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.scene_weight = nn.Parameter(torch.empty(scenes, width))
        self.scene_bias = nn.Parameter(torch.empty(scenes, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with scales of 1 and shifts of 0."""
        for scale, shift in ((self.weight, self.bias), (self.scene_weight, self.scene_bias)):
            nn.init.ones_(scale)
            nn.init.zeros_(shift)

    def forward(self, x: Float[Tensor, "rows width"], scene: int) -> Float[Tensor, "rows width"]:
        """Normalise rows of one scene."""
        scale = self.weight * self.scene_weight[scene]
        normalised: Tensor = self.norms[scene](x)
        return normalised * scale + self.bias + self.scene_bias[scene]


class Unchanged(nn.Module):
    """No normalisation."""

    def forward(self, x: Float[Tensor, "rows width"], scene: int) -> Float[Tensor, "rows width"]:
        """Return the rows as they are."""
        return x


_NORMALISATIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "none": lambda width, scenes: Unchanged(),
    "partitioned": PartitionedNorm,
}


class SceneNetwork(nn.Module):
    """``f(U x + v_s)``: a small network of the scene and the inputs.

    A linear layer over a scene's embedding beside x is the same: ``v_s`` is its part of the sum.
    """

    def __init__(
        self, in_width: int, widths: Sequence[int], scenes: int, activation: Activation
    ) -> None:
        super().__init__()
        self.first = nn.Linear(in_width, widths[0])
        self.scene = nn.Parameter(torch.empty(scenes, widths[0]))
        later = [nn.Linear(a, b) for a, b in pairwise(widths)]
        self.later = cast(Sequence[nn.Linear], nn.ModuleList(later))
        self.activation = ACTIVATIONS[activation]()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start every scene alike."""
        nn.init.zeros_(self.scene)

    def forward(self, x: SharedInputs, scene: Int[Tensor, " rows"]) -> Float[Tensor, "rows width"]:
        """Return the last linear layer's output."""
        # Unlike with indexing, gradients are added up in one order whatever the threads.
        h = x.project(self.first) + embedding(scene, self.scene)
        for layer in self.later:
            h = layer(self.activation(h))
        return h


class STAR(Trunk):
    """``h = star_s(norm_s(x)) + auxiliary(x, s)`` for a row of scene s.

    Sheng et al., "One Model to Serve All: Star Topology Adaptive Recommender for Multi-Domain CTR
    Prediction", CIKM 2021.

    Where we differ: the paper adds the logit of the auxiliary network to that of the star, and
    this adds its last linear layer to the star's representation, on which the towers stand;
    without normalisation unless asked for. All tasks read the one representation.

    Parameters
    ----------
    auxiliary
        Widths of the auxiliary network's hidden layers.
    """

    def __init__(
        self,
        in_width: int,
        tasks: Sequence[str],
        scenes: int,
        *,
        widths: Sequence[int],
        auxiliary: Sequence[int],
        norm: Literal["none", "partitioned"] = "none",
        activation: Activation = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tasks, self.scenes = list(tasks), scenes
        self.norm = _NORMALISATIONS[norm](in_width, scenes)
        layers = [StarLinear(a, b, scenes) for a, b in pairwise([in_width, *widths])]
        self.layers = cast(Sequence[StarLinear], nn.ModuleList(layers))
        self.after = nn.Sequential(ACTIVATIONS[activation](), nn.Dropout(dropout))
        self.out_width = widths[-1]
        self.auxiliary = SceneNetwork(in_width, [*auxiliary, self.out_width], scenes, activation)

    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return the one representation under every task's name."""
        order = inputs.scene.argsort(stable=True)
        rows = torch.bincount(inputs.scene, minlength=self.scenes).tolist()
        parts = embedding(order, inputs.shared).split(rows)
        star = torch.cat([self._star(part, scene) for scene, part in enumerate(parts)])
        h = embedding(order.argsort(), star) + self.auxiliary(inputs.x, inputs.scene)
        return dict.fromkeys(self.tasks, h)

    def _star(
        self, x: Float[Tensor, "rows in_width"], scene: int
    ) -> Float[Tensor, "rows out_width"]:
        """Return the scene's network's output; any number of rows, also none."""
        h: Tensor = self.norm(x, scene)
        for layer in self.layers:
            h = self.after(layer(h, scene))
        return h

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters."""
        return self.parameters()
