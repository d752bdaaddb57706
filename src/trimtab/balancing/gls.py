"""GLS: the geometric mean of the losses in place of their sum."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.balancing.base import BalancerSettings, balancers
from trimtab.balancing.logarithm import logarithms
from trimtab.balancing.losses import LossBalancer


@balancers.register("gls")
class GLSSettings(BalancerSettings):
    """The geometric mean of the losses, to which their scales are of no account."""

    kind: Literal["gls"] = "gls"

    def build(self, weights: Mapping[str, float]) -> "GLS":
        """Build the balancer."""
        return GLS(weights)


class GLS(LossBalancer):
    """``W (prod_t loss_t ^ weight_t) ^ (1 / W)`` with ``W = sum_t weight_t``.

    Chennupati et al., "MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss Strategy for
    Multi-Task Learning", CVPR workshops 2019. Where we differ: the weights, which as factors of
    the losses would be of no account; times ``W``; and over the targets that the batch observes, as
    one loss of 0 would make the product 0.
    """

    def weigh(self, losses: Float[Tensor, " targets"]) -> Float[Tensor, " targets"]:
        """Return the mean's derivative by each loss, ``mean weight_t / loss_t``."""
        observed, logarithm = logarithms(losses, self.target_weights)
        weight = self.target_weight * observed
        mean = (weight * logarithm).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)
        return weight * (mean - logarithm).exp()
