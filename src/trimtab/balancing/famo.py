"""FAMO: learnt weights under which the logarithms of all losses fall alike."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from trimtab.balancing.base import BalancerSettings, balancers
from trimtab.balancing.logarithm import logarithms
from trimtab.balancing.losses import LossBalancer


@balancers.register("famo")
class FAMOSettings(BalancerSettings):
    """Learnt weights under which all losses fall by the same share; no gradient a target."""

    kind: Literal["famo"] = "famo"
    learning_rate: PositiveFloat = 0.025
    """Of the weights."""
    decay: NonNegativeFloat = 1e-3
    """Pull of the weights towards even ones."""

    def build(self, weights: Mapping[str, float]) -> "FAMO":
        """Build the balancer."""
        return FAMO(weights, learning_rate=self.learning_rate, decay=self.decay)


class FAMO(LossBalancer):
    """``c sum_t z_t log loss_t``, ``z = softmax(xi)``, ``1 / c = sum_t z_t / loss_t``.

    After an update, ``xi`` goes down the slope ``J' d + decay xi``, where ``d_t`` is how much
    ``log loss_t`` fell and ``J`` the softmax's Jacobian: what fell much weighs less.
    Liu et al., "FAMO: Fast Adaptive Multitask Optimization", NeurIPS 2023, algorithm 1.

    Where we differ: the paper computes the losses of the same batch again after the update. Here
    ``d`` is between a target's losses in two batches that follow each other, which costs nothing;
    what differs between batches cancels over many. ``xi`` so learns one update later. A target
    that was not observed counts as if it fell as much as the others did on average. A weight is a
    factor of ``z``, and ``c`` is multiplied by the sum of the observed targets' weights.

    Parameters
    ----------
    learning_rate, decay
        Of ``xi``, by Adam in the dense part's optimiser.
    """

    last: Tensor

    def __init__(self, weights: Mapping[str, float], *, learning_rate: float, decay: float) -> None:
        super().__init__(weights)
        self.learning_rate, self.decay = learning_rate, decay
        self.xi = nn.Parameter(torch.zeros_like(self.target_weight))
        self.register_buffer("last", torch.zeros_like(self.target_weight))

    def weigh(self, losses: Float[Tensor, " targets"]) -> Float[Tensor, " targets"]:
        """Return ``c z_t / loss_t``, and let ``xi`` learn from how the losses changed."""
        observed, logarithm = logarithms(losses, self.target_weights)
        share = (self.xi + self.target_weight.log()).softmax(0)
        fall = self.last.log() - logarithm
        known = observed & (self.last > 0)
        counted = torch.where(known, share * fall, 0.0)
        mean = counted.sum() / (share * known).sum().clamp(min=torch.finfo(share.dtype).tiny)
        slope = counted - share * known * mean
        self.xi.grad = (slope + self.decay * self.xi).to(share.dtype)
        self.last.copy_(torch.where(observed, losses, self.last))
        inverse = torch.where(observed, share * (-logarithm).exp(), 0.0)
        total = inverse.sum().clamp(min=torch.finfo(share.dtype).tiny)
        return (self.target_weight * observed).sum() * inverse / total

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return ``xi``."""
        return [{"params": [self.xi], "lr": self.learning_rate, "weight_decay": 0.0}]
