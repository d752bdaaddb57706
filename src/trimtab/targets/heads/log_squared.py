"""The head ``log_squared``: squared error of the label's logarithm."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trimtab.targets.heads.base import Head, HeadSettings, heads, mean_and_deviation, one_sided


@heads.register("log_squared")
class LogSquaredSettings(HeadSettings):
    """Squared error of ``log(1 + label)``, of seconds where the label is a duration."""

    kind: Literal["log_squared"] = "log_squared"

    def build(self, *, seconds: float, censored: bool) -> "LogSquared":
        """Build the head; logarithms are of seconds, whatever the unit."""
        return LogSquared(seconds=seconds)


class LogSquared(Head):
    """Squared error of ``log(1 + seconds)``, scaled to mean 0 and deviation 1.

    The mean of a logarithm is not the logarithm of a mean: by itself it predicts too little, and
    leaves the rest to the target's factor (``Quantity.finish``).
    """

    center: Tensor
    deviation: Tensor
    highest: Tensor

    def __init__(self, *, seconds: float = 1.0) -> None:
        super().__init__()
        self.seconds = seconds
        for buffer in ("center", "highest"):
            self.register_buffer(buffer, torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Learn mean, deviation and the highest value of the logarithm; start from the mean."""
        logs = torch.log1p(label.double() * self.seconds)
        center, deviation = mean_and_deviation(logs)
        self.center.copy_(center)
        self.deviation.copy_(deviation)
        self.highest.copy_(logs.max() if len(logs) else torch.zeros(()))
        return torch.zeros(1)

    def loss(
        self,
        logit: Float[Tensor, "rows width"],
        label: Float[Tensor, " rows"],
        *,
        censored: Bool[Tensor, " rows"],
        by: Float[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Return the squared difference, in deviations of the logarithm."""
        wanted = (torch.log1p(label * self.seconds) - self.center) / self.deviation
        return (one_sided(logit[:, 0], wanted, censored) - wanted).square()

    def mean(
        self, logit: Float[Tensor, "rows width"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return what the logarithm stands for; at most the longest label of the training rows."""
        logs = (logit[:, 0] * self.deviation + self.center).clamp(max=self.highest)
        return torch.expm1(logs).clamp(min=0) / self.seconds
