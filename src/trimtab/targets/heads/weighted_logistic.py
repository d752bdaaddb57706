"""The head ``weighted_logistic``: positives weighted by their label, in one logit."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from trimtab.targets.heads.base import Head, HeadSettings, heads, one_sided, positive_mean

TINY = 1e-30
"""What a label of 0 is taken for under a logarithm."""


@heads.register("weighted_logistic")
class WeightedLogisticSettings(HeadSettings):
    """Weighted logistic regression, whose odds are the mean."""

    kind: Literal["weighted_logistic"] = "weighted_logistic"

    def build(self, *, seconds: float, censored: bool) -> "WeightedLogistic":
        """Build the head."""
        return WeightedLogistic()


class WeightedLogistic(Head):
    """``T softplus(-z) + softplus(z)``, ``T`` in means of the training labels; ``e^z = E[T]``.

    Covington et al., "Deep Neural Networks for YouTube Recommendations", RecSys 2016, section 4.2,
    where only rows without a click are negatives, so that the odds are ``E[T] / (1 - p)`` and the
    mean is right for a small ``p`` alone. Here every row is one unit negative too, and the mean is
    exact.
    """

    scale: Tensor
    highest: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("highest", torch.zeros(()))

    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Learn the mean and the highest log-odds; start from the mean."""
        scale = positive_mean(label)
        self.scale.copy_(scale)
        high = label.double().max() if len(label) else scale
        self.highest.copy_((high / scale).clamp(min=1e-6).log())
        mean = label.double().mean().nan_to_num(1.0)
        return (mean / scale).clamp(min=1e-6).log().float().view(1)

    def loss(
        self,
        logit: Float[Tensor, "rows width"],
        label: Float[Tensor, " rows"],
        *,
        censored: Bool[Tensor, " rows"],
        by: Float[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Return the weighted cross-entropy."""
        weight = label / self.scale
        z = one_sided(logit[:, 0], weight.clamp(min=TINY).log(), censored)
        return weight * softplus(-z) + softplus(z)

    def mean(
        self, logit: Float[Tensor, "rows width"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return the odds, at most the longest label; the loss sees the logit unclipped."""
        return self.scale * logit[:, 0].clamp(max=self.highest).exp()
