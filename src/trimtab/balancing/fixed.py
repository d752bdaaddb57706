"""Fixed weights: the losses of the targets are added, each times its weight."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor


class FixedWeights:
    """``sum_t weight_t loss_t``; a target of weight 0 takes no part at all."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = dict(weights)

    def combine(self, losses: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """Return the one loss whose gradient trains every parameter."""
        terms = [weight * losses[name] for name, weight in self.weights.items() if weight]
        return torch.stack(terms).sum()
