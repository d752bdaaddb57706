"""The target kind ``binary``: something happens or not."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat
from torch import Tensor

from trimtab.data.labels import LabelColumn
from trimtab.data.settings import Scalar
from trimtab.targets.base import Given, Target, TargetSettings, targets
from trimtab.targets.funnel import reached_and_missed


@targets.register("binary")
class BinarySettings(TargetSettings):
    """A click, a like, a purchase."""

    kind: Literal["binary"] = "binary"
    positive: Scalar | None = None
    """Value of the column that counts as 1, where it does not hold 0 and 1."""
    positive_weight: PositiveFloat = 1.0
    """Weight of the positive rows in the loss; predictions stay calibrated all the same."""

    def labels(self, name: str, targets: Mapping[str, TargetSettings]) -> dict[str, LabelColumn]:
        """Return the one label: 0, 1 or missing."""
        return {name: self.label_column(name, "zero_one", self.positive)}

    def build(self, name: str, targets: Mapping[str, TargetSettings]) -> "Binary":
        """Build the target."""
        return Binary(name, positive_weight=self.positive_weight)


class Binary(Target):
    """Weighted cross-entropy ``-w y log q - (1 - y) log(1 - q)``, in nats.

    The head's logit is that of ``q``, whose optimum is ``w p / (w p + 1 - p)``; the calibrated
    log-odds of ``p`` are the logit minus ``log w``. Behind other steps, ``p`` is the product of
    the steps (``reached_and_missed``) and all rows train it.
    """

    kind = "binary"
    measure = "probability"

    def __init__(self, name: str, *, positive_weight: float = 1.0) -> None:
        super().__init__()
        self.name = name
        self.log_weight = math.log(positive_weight)

    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Return the log-odds of the base rate, weighted."""
        rate = label.double().mean().nan_to_num(0.5).clamp(1e-6, 1 - 1e-6)
        return (rate.logit() + self.log_weight).float().view(1)

    def loss(
        self, logit: Float[Tensor, "rows width"], labels: Mapping[str, Tensor], given: Given
    ) -> Float[Tensor, " rows"]:
        """Return the weighted cross-entropy."""
        label = labels[self.name]
        reached, missed = reached_and_missed((*given.steps, self.log_odds(logit)))
        if self.log_weight:  # log q and log(1 - q) of the weighted odds.
            weighted = reached + self.log_weight
            whole = torch.logaddexp(weighted, missed)
            reached, missed = math.exp(self.log_weight) * (weighted - whole), missed - whole
        loss = -torch.where(label == 1, reached, missed)
        return torch.where(label.isnan(), torch.zeros_like(loss), loss)

    def observed(
        self, labels: Mapping[str, Tensor], happened: Float[Tensor, " rows"]
    ) -> Bool[Tensor, " rows"]:
        """Return the rows with a label: those where no earlier step happened teach it too."""
        return ~labels[self.name].isnan()

    def label(self, labels: Mapping[str, Tensor]) -> Float[Tensor, " rows"]:
        """Return 0, 1 or NaN."""
        return labels[self.name]

    def predict(self, logit: Float[Tensor, "rows width"], given: Given) -> Float[Tensor, " rows"]:
        """Return the calibrated probability over all rows."""
        return reached_and_missed((*given.steps, self.log_odds(logit)))[0].exp()

    def log_odds(self, logit: Float[Tensor, "rows width"]) -> Float[Tensor, " rows"]:
        """Return the calibrated log-odds given the step before."""
        return logit[:, 0] - self.log_weight
