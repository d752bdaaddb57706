"""DWA: targets whose loss falls slower than the others' weigh more."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from trimtab.balancing.base import BalancerSettings, balancers
from trimtab.balancing.losses import LossBalancer


@balancers.register("dwa")
class DWASettings(BalancerSettings):
    """Dynamic weight average: targets whose loss falls slower than the others' weigh more."""

    kind: Literal["dwa"] = "dwa"
    temperature: PositiveFloat = 2.0
    """Higher ones make the weights more even."""
    window: PositiveInt = 100
    """Updates that losses are averaged over; the weights change once a window."""

    def build(self, weights: Mapping[str, float]) -> "DWA":
        """Build the balancer."""
        return DWA(weights, temperature=self.temperature, window=self.window)


class DWA(LossBalancer):
    """``weight_t K softmax(r / T)_t``, ``r_t`` the ratio of the last two windows' mean losses.

    Liu et al., "End-to-End Multi-Task Learning with Attention", CVPR 2019, eq. 7; weights are even
    for two windows. Where we differ: a window is a number of updates where the paper has an epoch,
    as trainings of one or two epochs are common here. Means are over the batches that observe the
    target; in a window without any, its mean stays what it was.

    Parameters
    ----------
    temperature
        ``T``.
    window
        Updates in a window.
    """

    sums: Tensor
    batches: Tensor
    means: Tensor
    updates: Tensor

    def __init__(self, weights: Mapping[str, float], *, temperature: float, window: int) -> None:
        super().__init__(weights)
        self.temperature, self.window = temperature, window
        zeros = torch.zeros_like(self.target_weight)
        self.register_buffer("sums", zeros)
        self.register_buffer("batches", zeros.clone())
        self.register_buffer("means", zeros.repeat(2, 1))  # The window before the last, the last.
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def weigh(self, losses: Float[Tensor, " targets"]) -> Float[Tensor, " targets"]:
        """Return the weights of this window, and add the losses to its sums."""
        before, last = self.means
        ratio = torch.where((before != 0) & (last != 0), last / before, 1.0)
        shares = (ratio / self.temperature).softmax(0)
        self.sums += losses
        self.batches += losses != 0
        self.updates += 1
        if self.updates % self.window == 0:
            mean = torch.where(self.batches > 0, self.sums / self.batches, last)
            self.means.copy_(torch.stack([last, mean]))
            self.sums.zero_()
            self.batches.zero_()
        return self.target_weight * len(shares) * shares
