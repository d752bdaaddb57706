"""The target kind ``number``: an unbounded quantity."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat
from torch import Tensor

from trimtab.data.labels import LabelColumn
from trimtab.targets.base import TargetSettings, targets
from trimtab.targets.heads.base import Head, mean_and_deviation
from trimtab.targets.quantity import Quantity


@targets.register("number")
class NumberSettings(TargetSettings):
    """A rating, a price, a count."""

    kind: Literal["number"] = "number"
    loss: Literal["squared", "huber"] = "squared"
    """Squared error, or Huber's: squared up to ``delta`` and linear beyond."""
    delta: PositiveFloat = 1.0
    """Where Huber's loss turns linear, in the label's deviations (its units without scaling)."""
    scale: Literal["standard", "none"] = "standard"
    """Learn the label with mean 0 and deviation 1, or as it is."""

    def labels(self, name: str, targets: Mapping[str, TargetSettings]) -> dict[str, LabelColumn]:
        """Return the one label: finite or missing."""
        return {name: self.label_column(name, "finite")}

    def build(self, name: str, targets: Mapping[str, TargetSettings]) -> "Number":
        """Build the target; squared error is Huber's with an infinite ``delta``."""
        delta = self.delta if self.loss == "huber" else float("inf")
        return Number(name, Squared(delta=delta, scaled=self.scale == "standard"))


class Number(Quantity):
    """Any number; the mean needs no factor, which a mean near 0 would make nonsense of."""

    kind = "number"
    corrected = False


class Squared(Head):
    """Squared or Huber loss ``d^2`` for ``|d| <= delta``, else ``delta (2 |d| - delta)``.

    ``d`` is the difference of the logit and the label, in the label's deviations where it is
    scaled. Twice Huber's loss (Annals of Statistics 1964), so that an infinite ``delta`` is the
    squared error.
    """

    center: Tensor
    deviation: Tensor

    def __init__(self, *, delta: float, scaled: bool) -> None:
        super().__init__()
        self.delta = delta
        self.scaled = scaled
        self.register_buffer("center", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Learn mean and deviation, where the label is scaled; start from the mean."""
        center, deviation = mean_and_deviation(label.double())
        if not self.scaled:
            return center.float().view(1)
        self.center.copy_(center)
        self.deviation.copy_(deviation)
        return torch.zeros(1)

    def loss(
        self,
        logit: Float[Tensor, "rows width"],
        label: Float[Tensor, " rows"],
        *,
        censored: Bool[Tensor, " rows"],
        by: Float[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Return the loss; no number is censored."""
        difference = logit[:, 0] - (label - self.center) / self.deviation
        size = difference.abs().clamp(max=self.delta)
        return size * (2 * difference.abs() - size)

    def mean(
        self, logit: Float[Tensor, "rows width"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return the logit, in the label's unit."""
        return logit[:, 0] * self.deviation + self.center
