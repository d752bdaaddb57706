"""The target kind ``number``: an unbounded quantity."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn.functional import logsigmoid

from trimtab.data.labels import LabelColumn
from trimtab.targets.base import Given, Target, TargetSettings, targets


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
        return Number(name, delta=delta, scaled=self.scale == "standard")


class Number(Target):
    """Squared or Huber loss ``d^2`` for ``|d| <= delta``, else ``delta (2 |d| - delta)``.

    ``d`` is the difference of the logit and the label, in the label's deviations where it is
    scaled. Twice Huber's loss (Annals of Statistics 1964), so that an infinite ``delta`` is the
    squared error.
    """

    kind = "number"
    measure = "quantity"

    center: Tensor
    deviation: Tensor

    def __init__(self, name: str, *, delta: float, scaled: bool) -> None:
        super().__init__()
        self.name = name
        self.delta = delta
        self.scaled = scaled
        self.register_buffer("center", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Learn mean and deviation, where the label is scaled; start from the mean."""
        if self.scaled:
            center, deviation = mean_and_deviation(label.double())
            self.center.copy_(center)
            self.deviation.copy_(deviation)
        return torch.zeros(1)

    def loss(
        self, logit: Float[Tensor, "rows width"], labels: Mapping[str, Tensor], given: Given
    ) -> Float[Tensor, " rows"]:
        """Return the loss where the step before happened and the label is known."""
        label = labels[self.name].nan_to_num()
        difference = logit[:, 0] - (label - self.center) / self.deviation
        size = difference.abs().clamp(max=self.delta)
        loss = size * (2 * difference.abs() - size)
        return torch.where(self.observed(labels, given.happened), loss, torch.zeros_like(loss))

    def observed(
        self, labels: Mapping[str, Tensor], happened: Float[Tensor, " rows"]
    ) -> Bool[Tensor, " rows"]:
        """Return the rows with a label where the step before happened."""
        return ~labels[self.name].isnan() & (happened == 1)

    def label(self, labels: Mapping[str, Tensor]) -> Float[Tensor, " rows"]:
        """Return the label."""
        return labels[self.name]

    def predict(self, logit: Float[Tensor, "rows width"], given: Given) -> Float[Tensor, " rows"]:
        """Return ``P(steps) E[b | a]``."""
        value = logit[:, 0] * self.deviation + self.center
        return value * probability(given)

    def log_odds(self, logit: Float[Tensor, "rows width"]) -> Float[Tensor, " rows"]:
        """Refuse: a number is no step of a funnel (the run file's check says so first)."""
        raise NotImplementedError(f"{self.name} is a number; only a binary target can be given.")


def mean_and_deviation(values: Float[Tensor, " observed"]) -> tuple[Tensor, Tensor]:
    """Return what scales values to mean 0 and deviation 1; values all alike keep deviation 1."""
    if not len(values):
        return torch.zeros(()), torch.ones(())
    deviation = values.std(correction=0)
    return values.mean(), torch.where(deviation > 1e-12, deviation, 1.0)


def probability(given: Given) -> Tensor:
    """Return the probability that every earlier step happens."""
    steps = [logsigmoid(step) for step in given.steps]
    return torch.stack(steps).sum(0).exp() if steps else torch.ones_like(given.happened)
