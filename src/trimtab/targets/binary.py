"""The target kind ``binary``: something happens or not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveFloat, field_validator, model_validator
from torch import Tensor
from torch.nn.functional import logsigmoid

from trimtab.data.labels import LabelColumn
from trimtab.data.settings import Scalar, seconds_of
from trimtab.native.losses import cross_entropies as native_cross_entropies
from trimtab.targets.base import Given, RowLosses, Target, TargetSettings, targets
from trimtab.targets.funnel import inverse_propensity, reached_and_missed


def cross_entropies(
    logits: Sequence[Float[Tensor, "rows 1"]], labels: Sequence[Float[Tensor, " rows"]]
) -> Float[Tensor, "targets rows"]:
    """Return ``-log P(label)`` of each target and row, 0 where the label is missing."""
    logit, label = torch.cat(list(logits), 1), torch.stack(list(labels), 1)
    losses = -logsigmoid(torch.where(label == 1, logit, -logit))
    return torch.where(label.isnan(), torch.zeros_like(losses), losses).t()


@targets.register("binary")
class BinarySettings(TargetSettings):
    """A click, a like, a purchase."""

    kind: Literal["binary"] = "binary"
    positive: Scalar | None = None
    """Value of the column that counts as 1, where it does not hold 0 and 1."""
    positive_weight: PositiveFloat = 1.0
    """Weight of the positive rows in the loss; predictions stay calibrated all the same."""
    window: str | None = None
    """Time within which it may still happen, such as ``"7d"`` or ``"12h"``: rows younger than that
    at the end of the log do not count as observed, for this target and those given it."""
    entire_space: Literal["esmm", "ips"] = "esmm"
    """How a target with ``given`` is learnt over all rows: from the product of the steps alone, or
    also from the rows where the step before happened, by the inverse of how likely that was."""
    propensity_floor: float = Field(default=0.05, gt=0, le=1)
    """With ``ips``: least probability that is divided by."""
    ips_weight: PositiveFloat = 1.0
    """With ``ips``: weight of that second term."""

    @field_validator("window")
    @classmethod
    def _is_a_time(cls, window: str | None) -> str | None:
        if window is not None and not seconds_of(window):
            raise ValueError(f"expected a stretch of time such as '7d' or '12h'; found {window!r}")
        return window

    @model_validator(mode="after")
    def _behind_a_step(self) -> "BinarySettings":
        if self.entire_space != "esmm" and self.given is None:
            raise ValueError("entire_space = 'ips' needs 'given', the step before")
        return self

    def over_all_rows(self) -> TargetSettings:
        """Return the same target behind no other one, which leaves ``entire_space`` nothing."""
        return super().over_all_rows().model_copy(update={"entire_space": "esmm"})

    def labels(self, name: str, targets: Mapping[str, TargetSettings]) -> dict[str, LabelColumn]:
        """Return the one label: 0, 1 or missing."""
        column = self.label_column(name, "zero_one", self.positive)
        window = None if self.window is None else seconds_of(self.window)
        return {name: replace(column, window=window)}

    def build(self, name: str, targets: Mapping[str, TargetSettings]) -> "Binary":
        """Build the target."""
        return Binary(
            name,
            positive_weight=self.positive_weight,
            ips_weight={"esmm": 0.0, "ips": self.ips_weight}[self.entire_space],
            propensity_floor=self.propensity_floor,
        )


class Binary(Target):
    """Weighted cross-entropy ``-w y log q - (1 - y) log(1 - q)``, in nats.

    The head's logit is that of ``q``, whose optimum is ``w p / (w p + 1 - p)``; the calibrated
    log-odds of ``p`` are the logit minus ``log w``. Behind other steps, ``p`` is the product of
    the steps (``reached_and_missed``) and all rows train it.

    With ``ips_weight``, rows where the step before happened add their cross-entropy given that
    step, ``o e(b | a) / P(a)`` (``inverse_propensity``), whose mean over all rows estimates that of
    a world where the step before always happens.
    Wang et al., "ESCM2: Entire Space Counterfactual Multi-Task Model", SIGIR 2022, the IPS form;
    here no gradient goes into the propensity, and with several steps it is their product.
    """

    kind = "binary"
    measure = "probability"

    def __init__(
        self,
        name: str,
        *,
        positive_weight: float = 1.0,
        ips_weight: float = 0.0,
        propensity_floor: float = 0.05,
    ) -> None:
        super().__init__()
        self.name = name
        self.log_weight = math.log(positive_weight)
        self.ips_weight = ips_weight
        self.propensity_floor = propensity_floor

    @property
    def together(self) -> RowLosses | None:
        """The plain cross-entropy; None where positive rows have a weight."""
        if self.log_weight:
            return None
        return native_cross_entropies if self.fused and self.training else cross_entropies

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
        loss = self._cross_entropy(label, (*given.steps, self.log_odds(logit)))
        if self.ips_weight:
            alone = self._cross_entropy(label, (self.log_odds(logit),))
            chance = inverse_propensity(given.steps, self.propensity_floor)
            happened = (given.happened == 1).to(loss.dtype)
            loss = loss + self.ips_weight * chance * happened * alone
        return torch.where(label.isnan(), torch.zeros_like(loss), loss)

    def _cross_entropy(
        self, label: Float[Tensor, " rows"], steps: Sequence[Float[Tensor, " rows"]]
    ) -> Float[Tensor, " rows"]:
        """Return the weighted cross-entropy of the last of some steps; NaN counts as 0."""
        reached, missed = reached_and_missed(steps)
        if self.log_weight:  # log q and log(1 - q) of the weighted odds.
            weighted = reached + self.log_weight
            whole = torch.logaddexp(weighted, missed)
            reached, missed = math.exp(self.log_weight) * (weighted - whole), missed - whole
        return -torch.where(label == 1, reached, missed)

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
