"""MetaBalance: gradients of the other targets brought near the main one's length."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from trimtab.balancing.base import BalancerSettings, balancers
from trimtab.balancing.gradients import GradientBalancer, Meeting
from trimtab.balancing.norms import AverageNorms
from trimtab.errors import nearest


@balancers.register("metabalance")
class MetaBalanceSettings(BalancerSettings):
    """Gradients of the other targets brought near the main one's length."""

    kind: Literal["metabalance"] = "metabalance"
    toward: str | None = None
    """The main target; the first whose weight is above 0 when left out."""
    share: float = Field(default=0.7, ge=0, le=1)
    """How near: 0 leaves gradients as they are, 1 makes all as long as the main one's."""
    at: Meeting = "output"
    """Where gradients are compared: the trunk's ``output``, or its shared ``parameters``."""
    keep: float = Field(default=0.9, ge=0, lt=1)
    """Share of the running average of the norms that an update keeps."""

    def build(self, weights: Mapping[str, float]) -> "MetaBalance":
        """Build the balancer."""
        learnt = [name for name, weight in weights.items() if weight]
        toward = learnt.index(self.toward) if self.toward else 0
        return MetaBalance(weights, toward=toward, share=self.share, at=self.at, keep=self.keep)

    def problems(self, weights: Mapping[str, float]) -> list[str]:
        """Refuse a main target that there is not, or that is not learnt."""
        if self.toward is None or weights.get(self.toward):
            return []
        if self.toward in weights:
            return [f"balancing.toward: {self.toward!r} has weight 0; expected a target to learn"]
        return [
            f"balancing.toward: no target named {self.toward!r}. {nearest(self.toward, weights)}"
        ]


class MetaBalance(GradientBalancer):
    """``g_t (share m_main / m_t + 1 - share)`` times the weight, ``m`` the averages of ``|g|``.

    He et al., "MetaBalance: Improving Multi-Task Recommendations via Adapting Gradient Magnitudes
    of Auxiliary Tasks", WWW 2022 (``share`` is its relax factor r). Where we differ:
    norms are over all places where gradients meet together, where the paper takes each layer's
    parameters apart; and they are those of the losses before their weights, so that a weight is not
    divided out again.

    Parameters
    ----------
    toward
        Position of the main target among those whose weight is above 0.
    share
        How far the norms go towards the main target's.
    keep
        Share of an average that an update keeps.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        *,
        toward: int,
        share: float,
        at: Meeting,
        keep: float,
    ) -> None:
        super().__init__(weights, at=at)
        self.toward, self.share = toward, share
        self.norms = AverageNorms(len(self.target_weights), keep)

    def weigh(
        self, losses: Float[Tensor, " targets"], gramian: Float[Tensor, "targets targets"]
    ) -> Float[Tensor, " targets"]:
        """Return the weights times how much each gradient is lengthened."""
        norms: Tensor = self.norms(gramian.diagonal().sqrt())
        main = norms[self.toward]
        ratio = torch.where((norms > 0) & (main > 0), main / norms, 1.0)
        return self.target_weight * (self.share * ratio + 1 - self.share)
