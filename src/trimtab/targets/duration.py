"""The target kind ``duration``: seconds watched, with many short and few very long ones."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trimtab.data.labels import LabelColumn
from trimtab.targets.base import Given, Target, TargetSettings, targets
from trimtab.targets.number import mean_and_deviation, probability


@targets.register("duration")
class DurationSettings(TargetSettings):
    """Play time, dwell time; at least 0."""

    kind: Literal["duration"] = "duration"
    unit: Literal["ms", "s", "min", "h"] = "s"
    """Unit of the column; predictions and metrics are in it too."""

    def labels(self, name: str, targets: Mapping[str, TargetSettings]) -> dict[str, LabelColumn]:
        """Return the one label: finite and not negative, or missing."""
        return {name: self.label_column(name, "not_negative")}

    def build(self, name: str, targets: Mapping[str, TargetSettings]) -> "Duration":
        """Build the target; logarithms are of seconds, whatever the unit."""
        seconds = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}[self.unit]
        return Duration(name, seconds=seconds)


class Duration(Target):
    """Squared error of ``log(1 + seconds)``, scaled to mean 0 and deviation 1.

    The mean of a logarithm is not the logarithm of a mean: predictions are multiplied by the
    factor that makes their mean the training labels' (a ratio form of Duan's smearing, JASA
    1983), learnt after training.
    """

    kind = "duration"
    measure = "quantity"

    center: Tensor
    deviation: Tensor
    highest: Tensor
    smearing: Tensor

    def __init__(self, name: str, *, seconds: float) -> None:
        super().__init__()
        self.name = name
        self.seconds = seconds
        for buffer in ("center", "highest"):
            self.register_buffer(buffer, torch.zeros(()))
        for buffer in ("deviation", "smearing"):
            self.register_buffer(buffer, torch.ones(()))

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
        self, logit: Float[Tensor, "rows width"], labels: Mapping[str, Tensor], given: Given
    ) -> Float[Tensor, " rows"]:
        """Return the loss where the step before happened and the label is known."""
        logs = torch.log1p(labels[self.name].nan_to_num() * self.seconds)
        wanted = (logs - self.center) / self.deviation
        loss = (logit[:, 0] - wanted).square()
        return torch.where(self.observed(labels, given.happened), loss, torch.zeros_like(loss))

    def observed(
        self, labels: Mapping[str, Tensor], happened: Float[Tensor, " rows"]
    ) -> Bool[Tensor, " rows"]:
        """Return the rows with a label where the step before happened."""
        return ~labels[self.name].isnan() & (happened == 1)

    def label(self, labels: Mapping[str, Tensor]) -> Float[Tensor, " rows"]:
        """Return the label, in its unit."""
        return labels[self.name]

    def predict(self, logit: Float[Tensor, "rows width"], given: Given) -> Float[Tensor, " rows"]:
        """Return ``P(steps) E[b | a]``, in the label's unit."""
        return self.smearing * self._raw(logit) * probability(given)

    def log_odds(self, logit: Float[Tensor, "rows width"]) -> Float[Tensor, " rows"]:
        """Refuse: a duration is no step of a funnel (the run file's check says so first)."""
        raise NotImplementedError(f"{self.name} is a duration; only a binary target can be given.")

    def finish(
        self, logit: Float[Tensor, "rows width"], labels: Mapping[str, Tensor], given: Given
    ) -> None:
        """Learn the smearing factor."""
        seen = self.observed(labels, given.happened)
        total = self._raw(logit)[seen].double().sum()
        if total > 0:
            self.smearing.copy_(labels[self.name][seen].double().sum() / total)

    def _raw(self, logit: Float[Tensor, "rows width"]) -> Float[Tensor, " rows"]:
        logs = (logit[:, 0] * self.deviation + self.center).clamp(max=self.highest)
        return torch.expm1(logs).clamp(min=0) / self.seconds
