"""RLW: weights drawn anew for every update."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.balancing.base import BalancerSettings, balancers
from trimtab.balancing.losses import LossBalancer


@balancers.register("rlw")
class RLWSettings(BalancerSettings):
    """Random weights an update: the least that a method must beat to be worth its cost."""

    kind: Literal["rlw"] = "rlw"

    def build(self, weights: Mapping[str, float]) -> "RLW":
        """Build the balancer."""
        return RLW(weights)


class RLW(LossBalancer):
    """``weight_t K softmax(x)_t`` with ``x`` drawn from a standard normal at every update.

    Lin et al., "Reasonable Effectiveness of Random Weighting: A Litmus Test for Multi-Task
    Learning", TMLR 2022; times ``K``. Drawn from the run's random state, so that a seed
    gives the same weights again and a resumed run goes on with the same draws.
    """

    def weigh(self, losses: Float[Tensor, " targets"]) -> Float[Tensor, " targets"]:
        """Draw the weights."""
        shares = torch.randn(len(losses)).softmax(0).to(losses)
        return self.target_weight * len(shares) * shares
