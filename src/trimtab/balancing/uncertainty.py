"""Uncertainty: each target learns the log variance that scales its loss."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trimtab.balancing.base import BalancerSettings, balancers
from trimtab.balancing.losses import LossBalancer


@balancers.register("uncertainty")
class UncertaintySettings(BalancerSettings):
    """A learnt weight a target, which settles near one over twice its loss."""

    kind: Literal["uncertainty"] = "uncertainty"

    def build(self, weights: Mapping[str, float]) -> "Uncertainty":
        """Build the balancer."""
        return Uncertainty(weights)


class Uncertainty(LossBalancer):
    """``sum_t weight_t (exp(-s_t) loss_t + s_t / 2)`` with ``s = log variance`` learnt, from 0.

    Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", CVPR 2018: eq. 10 for cross-entropies. For squared errors, eq. 7 has
    ``exp(-s) / 2``, which is the same objective with ``s`` moved by ``log 2``: only the start
    differs, where the factor is 1 here and 1/2 there. Where we differ: a target without an observed
    row leaves its ``s`` alone, which would else sink by the ``s / 2`` of each such batch.

    ``s`` is trained by the dense part's optimiser, without weight decay.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__(weights)
        self.log_variance = nn.Parameter(torch.zeros_like(self.target_weight))

    def weigh(self, losses: Float[Tensor, " targets"]) -> Float[Tensor, " targets"]:
        """Return ``weight exp(-s)``."""
        scale = (-self.log_variance).exp()
        slope = self.target_weight * (0.5 - scale * losses)
        self.log_variance.grad = torch.where(losses != 0, slope, 0.0).to(scale.dtype)
        return self.target_weight * scale

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the log variances."""
        return [{"params": [self.log_variance], "weight_decay": 0.0}]
