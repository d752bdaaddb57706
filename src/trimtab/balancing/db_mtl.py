"""DB-MTL: gradients of log losses, all made as long as the longest."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from trimtab.balancing.base import BalancerSettings, balancers
from trimtab.balancing.gradients import GradientBalancer, Meeting
from trimtab.balancing.logarithm import logarithms
from trimtab.balancing.norms import AverageNorms


@balancers.register("db_mtl")
class DBMTLSettings(BalancerSettings):
    """Gradients of log losses, all made as long as the longest."""

    kind: Literal["db_mtl"] = "db_mtl"
    at: Meeting = "output"
    """Where gradients are compared: the trunk's ``output``, or its shared ``parameters``."""
    keep: float = Field(default=0.9, ge=0, lt=1)
    """Share of the running average of the norms that an update keeps."""

    def build(self, weights: Mapping[str, float]) -> "DBMTL":
        """Build the balancer."""
        return DBMTL(weights, at=self.at, keep=self.keep)


class DBMTL(GradientBalancer):
    """``sum_t weight_t (max_s m_s / m_t) grad log loss_t``, ``m`` the averages of its norms.

    Lin et al., "Dual-Balancing for Multi-Task Learning", arXiv 2308.12029, algorithm 1. Where we
    differ: the paper averages gradients over updates and measures those, which has no meaning at
    the trunk's output, where every batch holds other rows; we average their norms. Targets' own
    parts learn from the losses, not from their logarithms.

    Parameters
    ----------
    keep
        Share of an average that an update keeps.
    """

    def __init__(self, weights: Mapping[str, float], *, at: Meeting, keep: float) -> None:
        super().__init__(weights, at=at)
        self.norms = AverageNorms(len(self.target_weights), keep)

    def weigh(
        self, losses: Float[Tensor, " targets"], gramian: Float[Tensor, "targets targets"]
    ) -> Float[Tensor, " targets"]:
        """Return ``weight_t (max_s m_s / m_t) / loss_t``."""
        observed, logarithm = logarithms(losses, self.target_weights)
        inverse = torch.where(observed, (-logarithm).exp(), 0.0)
        norms: Tensor = self.norms(gramian.diagonal().sqrt() * inverse)
        scale = torch.where(norms > 0, norms.max() / norms, 0.0)
        return self.target_weight * scale * inverse
