"""The head ``zero_inflated``: nothing, or a log-normal quantity."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn.functional import softplus

from trimtab.targets.heads.base import Head, HeadSettings, first_lifted, heads, mean_and_deviation

SMALLEST = 0.1
"""Least deviation of the logarithm, in that of all training labels."""


@heads.register("zero_inflated")
class ZeroInflatedSettings(HeadSettings):
    """A probability of more than 0 and a log-normal above it, for spend and other rare amounts."""

    kind: Literal["zero_inflated"] = "zero_inflated"
    cap: PositiveFloat = 3.0
    """Largest deviation of the logarithm that a prediction uses: its mean grows with the
    exponential of half its square."""

    def build(self, *, seconds: float, censored: bool) -> "ZeroInflated":
        """Build the head."""
        return ZeroInflated(cap=self.cap)


class ZeroInflated(Head):
    """Cross-entropy of ``T > 0`` and, where it is, the log-normal's ``-log density``.

    The numbers are the logit ``z``, the mean ``m`` of ``log T`` and its deviation
    ``s = .1 + softplus``, the last two in deviations of the training labels' logarithms:
    ``softplus(-z) + log(s / .1) + (log T - m)^2 / 2 s^2``, or ``softplus(z)`` where ``T = 0``. The
    mean is ``sigmoid(z) exp(m + s^2 / 2)``. A label known only to be at least ``t > 0`` costs
    ``-log P(T >= t)``.

    Wang, Liu and Miao, "A Deep Probabilistic Model for Customer Lifetime Value Prediction", 2019,
    eq. 2 and 3; constants are left out, and the deviation has a least value, so that the loss is
    never negative.
    """

    width = 3

    center: Tensor
    deviation: Tensor
    highest: Tensor

    def __init__(self, *, cap: float = 3.0) -> None:
        super().__init__()
        self.cap = cap
        for buffer in ("center", "highest"):
            self.register_buffer(buffer, torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Learn the logarithms' scale; start from the share above 0 and their distribution."""
        logs = label[label > 0].double().log()
        center, deviation = mean_and_deviation(logs)
        self.center.copy_(center)
        self.deviation.copy_(deviation)
        self.highest.copy_(logs.max() if len(logs) else torch.zeros(()))
        share = (label > 0).double().mean().nan_to_num(0.5).clamp(1e-6, 1 - 1e-6)
        one = math.log(math.expm1(1 - SMALLEST))
        return torch.tensor([share.logit().item(), 0.0, one])

    def lifted(
        self, logit: Float[Tensor, "rows width"], weight: Float[Tensor, "rows 1"]
    ) -> Float[Tensor, "rows width"]:
        """Return the numbers with the weight added to the logit of ``T > 0``, and to no scale."""
        return first_lifted(logit, weight)

    def loss(
        self,
        logit: Float[Tensor, "rows width"],
        label: Float[Tensor, " rows"],
        *,
        censored: Bool[Tensor, " rows"],
        by: Float[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Return the negative log-likelihood."""
        z, middle, spread = logit.unbind(1)
        some, spread = label > 0, SMALLEST + softplus(spread)
        logs = (torch.where(some, label, 1.0).log() - self.center) / self.deviation
        away = (logs - middle) / spread
        seen = softplus(-z) + (spread / SMALLEST).log() + away.square() / 2
        beyond = softplus(-z) - torch.special.log_ndtr(-away)
        nothing = torch.where(censored, torch.zeros_like(z), softplus(z))
        return torch.where(some, torch.where(censored, beyond, seen), nothing)

    def mean(
        self, logit: Float[Tensor, "rows width"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return the mean; what is above 0 is at most the highest label on average."""
        z, middle, spread = logit.unbind(1)
        spread = (self.deviation * (SMALLEST + softplus(spread))).clamp(max=self.cap)
        logs = self.center + self.deviation * middle + spread.square() / 2
        return z.sigmoid() * logs.clamp(max=self.highest).exp()
