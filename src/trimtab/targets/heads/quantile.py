"""The head ``quantile``: the label's quantiles, each by its pinball loss."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from trimtab.targets.heads.base import (
    Head,
    HeadSettings,
    first_lifted,
    heads,
    positive_mean,
    quantiles,
)

APART = 0.2
"""Least distance of the first quantile and the last at the start; equal ones lose their gradient.
"""


@heads.register("quantile")
class QuantileSettings(HeadSettings):
    """Quantiles at equal distances in rank; their mean is the prediction."""

    kind: Literal["quantile"] = "quantile"
    quantiles: int = Field(default=32, ge=2)
    """How many quantiles."""

    def build(self, *, seconds: float, censored: bool) -> "Quantile":
        """Build the head."""
        return Quantile(self.quantiles)


class Quantile(Head):
    """Mean pinball loss ``max(a d, (a - 1) d)``, ``d = y - q_a``, at levels ``(k - 1/2) / N``.

    ``y = log(1 + T / mean)``, ``q_1`` is the first number and each next quantile is the one before
    plus ``softplus`` of its own, so that they never cross. A quantile of a logarithm is the
    logarithm of the quantile. The mean of the label is the mean over quantiles, which leaves out
    the end of a heavy tail; the target's factor makes up for it on the whole.

    Lin et al., "Conditional Quantile Estimation for Uncertain Watch Time in Short-Video
    Recommendation", 2024, who take the quantiles of ``T`` itself.
    """

    levels: Tensor
    scale: Tensor
    highest: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.width = count
        levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        self.register_buffer("levels", levels.float(), persistent=False)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("highest", torch.zeros(()))

    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Learn the mean and the highest label; start from the quantiles of all labels."""
        self.scale.copy_(positive_mean(label))
        logs = torch.log1p(label.double() / self.scale)
        self.highest.copy_(logs.max() if len(logs) else torch.zeros(()))
        start = quantiles(logs, self.levels.double())
        apart = start.diff().clamp(min=APART / self.width).expm1().log()
        return torch.cat([start[:1], apart]).float()

    def lifted(
        self, logit: Float[Tensor, "rows width"], weight: Float[Tensor, "rows 1"]
    ) -> Float[Tensor, "rows width"]:
        """Return the numbers with all quantiles moved by the weight, as far apart as before."""
        return first_lifted(logit, weight)

    def loss(
        self,
        logit: Float[Tensor, "rows width"],
        label: Float[Tensor, " rows"],
        *,
        censored: Bool[Tensor, " rows"],
        by: Float[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Return the mean over levels; a quantile above a censored label costs nothing."""
        short = torch.log1p(label / self.scale)[:, None] - self._quantiles(logit)
        above = torch.where(censored[:, None], torch.zeros_like(short), (self.levels - 1) * short)
        return torch.maximum(self.levels * short, above).mean(1)

    def mean(
        self, logit: Float[Tensor, "rows width"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return the mean over quantiles, each between 0 and the highest label."""
        values = self._quantiles(logit).clamp(min=0).clamp(max=self.highest)
        return self.scale * torch.expm1(values).mean(1)

    def typical(
        self, logit: Float[Tensor, "rows width"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return the median: of an even number of quantiles the mean of the middle two."""
        middle = self._quantiles(logit)[:, (self.width - 1) // 2 : self.width // 2 + 1].clamp(min=0)
        return self.scale * torch.expm1(middle.clamp(max=self.highest)).mean(1)

    def _quantiles(self, logit: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        return torch.cat([logit[:, :1], softplus(logit[:, 1:])], 1).cumsum(1)
