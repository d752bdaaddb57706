"""The target kind ``blend``: several behaviours in one logit, by sample reweighting."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import BeforeValidator, Field, PositiveFloat, model_validator
from torch import Tensor
from torch.nn.functional import softplus

from trimtab.data.labels import LabelColumn
from trimtab.settings import Settings
from trimtab.targets.base import Given, Target, TargetSettings, targets


class PartSettings(Settings):
    """One behaviour of a blend. A bare number is its weight."""

    weight: PositiveFloat
    """Gain of the behaviour."""
    column: str | None = None
    """Column, where the behaviour is no target of the run; its own name when left out."""
    at_least: PositiveFloat | None = None
    """Least duration or amount that counts as 1, in the target's unit."""
    per: PositiveFloat | None = None
    """Gain ``weight`` for each ``per`` units, instead of a threshold; needs ``cap``."""
    cap: PositiveFloat | None = None
    """Units beyond which the gain does not grow."""

    @property
    def graded(self) -> bool:
        """Whether the behaviour is a quantity, not 0 or 1."""
        return self.at_least is not None or self.per is not None

    @model_validator(mode="after")
    def _one_form(self) -> "PartSettings":
        if (self.per is None) != (self.cap is None):
            raise ValueError("'per' and 'cap' go together")
        if self.at_least is not None and self.per is not None:
            raise ValueError("give 'at_least', or 'per' with 'cap', not both")
        return self


def _part(value: Any) -> Any:
    return value if isinstance(value, dict | PartSettings) else {"weight": value}


@targets.register("blend")
class BlendSettings(TargetSettings):
    """One logit for all behaviours; a row with any of them is a positive."""

    kind: Literal["blend"] = "blend"
    of: dict[str, Annotated[PartSettings, BeforeValidator(_part)]] = Field(min_length=1)
    """Behaviour (another target, else a column) to its weight."""
    negatives: Literal["unlabelled", "every_row"] = "unlabelled"
    """Which rows count as a negative: those without any of the behaviours, or every row."""
    combine: Literal["sum", "max"] = "sum"
    """The gain of a row with several behaviours."""

    @model_validator(mode="after")
    def _no_column(self) -> "BlendSettings":
        if self.column is not None or self.given is not None:
            raise ValueError("a blend has neither 'column' nor 'given'; name behaviours in 'of'")
        return self

    def labels(self, name: str, targets: Mapping[str, TargetSettings]) -> dict[str, LabelColumn]:
        """Return the labels of the behaviours; those of targets are the targets' own."""
        labels: dict[str, LabelColumn] = {}
        for behaviour, part in self.of.items():
            if self._is_target(name, behaviour, targets):
                labels |= targets[behaviour].labels(behaviour, targets)
            else:
                labels[f"{name}.{behaviour}"] = LabelColumn(
                    column=part.column or behaviour,
                    where=f"targets.{name}.of.{behaviour}",
                    rule="not_negative" if part.graded else "zero_one",
                )
        return labels

    def problems(self, name: str, targets: Mapping[str, TargetSettings]) -> list[str]:
        """Refuse raw durations, thresholds on what is 0 or 1, and blends of blends."""
        problems = []
        for behaviour, part in self.of.items():
            where = f"targets.{name}.of.{behaviour}"
            if not self._is_target(name, behaviour, targets):
                continue
            if isinstance(targets[behaviour], BlendSettings):
                problems.append(f"{where}: {behaviour!r} is a blend itself; name its behaviours")
                continue
            rule = targets[behaviour].labels(behaviour, targets)[behaviour].rule
            if rule == "zero_one" and part.graded:
                problems.append(f"{where}: {behaviour!r} is 0 or 1; give its weight alone")
            if rule != "zero_one" and not part.graded:
                problems.append(
                    f"{where}: {behaviour!r} is a quantity; give 'at_least', or 'per' with 'cap'"
                )
        return problems

    def build(self, name: str, targets: Mapping[str, TargetSettings]) -> "Blend":
        """Build the target."""
        parts = {
            behaviour if self._is_target(name, behaviour, targets) else f"{name}.{behaviour}": Part(
                part.weight,
                part.at_least if part.at_least is not None else 1.0,
                part.per or 0.0,
                part.cap or 0.0,
            )
            for behaviour, part in self.of.items()
        }
        return Blend(parts, every_row=self.negatives == "every_row", largest=self.combine == "max")

    def _is_target(self, name: str, behaviour: str, targets: Mapping[str, TargetSettings]) -> bool:
        """Say whether a behaviour's label is another target's; else it is a column's."""
        return behaviour in targets and behaviour != name and self.of[behaviour].column is None


class Part:
    """The gain of one behaviour: a step at ``at_least``, or a capped line of slope ``1 / per``."""

    def __init__(self, weight: float, at_least: float, per: float, cap: float) -> None:
        self.weight = weight
        self.at_least = at_least
        self.per = per
        self.cap = cap

    def gain(self, label: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Return the gain of each row; NaN where the label is missing."""
        if self.per:
            graded = label.clamp(min=0, max=self.cap) / self.per
        else:
            graded = (label >= self.at_least).to(label.dtype)
        return torch.where(label.isnan(), torch.nan, self.weight * graded)


class Blend(Target):
    """Sample loss reweighting: gain ``g_i = sum_k w_k y_ik`` (or the largest of them).

    ``every_row=False``: cross-entropy with label ``[g > 0]`` and weight ``g`` on positives, 1 on
    negatives; the optimum odds are ``E[g | x] / P(g = 0 | x)``. A positive of integer weight w has
    the summed gradient of w copies of it in the batch.
    ``every_row=True``: every row is also one unit negative, ``g softplus(-z) + softplus(z)``; the
    optimum is ``e^z = E[g | x]``, the additive fusion of calibrated predictions.
    A row that misses the label of any behaviour adds nothing.
    """

    kind = "blend"
    measure = "gain"

    def __init__(self, parts: Mapping[str, Part], *, every_row: bool, largest: bool) -> None:
        super().__init__()
        self.parts = dict(parts)
        self.every_row = every_row
        self.largest = largest

    def gain(self, labels: Mapping[str, Tensor]) -> Float[Tensor, " rows"]:
        """Return the gain of each row; NaN where a behaviour's label is missing."""
        gains = torch.stack([part.gain(labels[name]) for name, part in self.parts.items()])
        return gains.amax(0) if self.largest else gains.sum(0)

    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Return the log of the mean odds, or of the mean gain."""
        if not len(label):
            return torch.zeros(1)
        rest = torch.ones(()) if self.every_row else (label == 0).double().mean()
        return (label.double().mean().clamp(min=1e-6) / rest.clamp(min=1e-6)).log().float().view(1)

    def loss(
        self, logit: Float[Tensor, "rows width"], labels: Mapping[str, Tensor], given: Given
    ) -> Float[Tensor, " rows"]:
        """Return the weighted cross-entropy."""
        gain, z = self.gain(labels), logit[:, 0]
        known = gain.nan_to_num()
        negative = torch.ones_like(known) if self.every_row else (known == 0).to(known.dtype)
        loss = known * softplus(-z) + negative * softplus(z)
        return torch.where(gain.isnan(), torch.zeros_like(loss), loss)

    def observed(
        self, labels: Mapping[str, Tensor], happened: Float[Tensor, " rows"]
    ) -> Bool[Tensor, " rows"]:
        """Return the rows that miss no behaviour's label."""
        return ~self.gain(labels).isnan()

    def label(self, labels: Mapping[str, Tensor]) -> Float[Tensor, " rows"]:
        """Return the gain."""
        return self.gain(labels)

    def predict(self, logit: Float[Tensor, "rows width"], given: Given) -> Float[Tensor, " rows"]:
        """Return ``e^z``: the expected gain with ``every_row``, else the weighted odds."""
        return logit[:, 0].exp()

    def log_odds(self, logit: Float[Tensor, "rows width"]) -> Float[Tensor, " rows"]:
        """Refuse: a blend is no step of a funnel (the run file's check says so first)."""
        raise NotImplementedError("A blend is no step of a funnel.")

    def probability(self, logit: Float[Tensor, "rows width"]) -> Float[Tensor, " rows"]:
        """Return the calibrated probability of the one behaviour of the blend.

        First form: ``p = q / (q + w (1 - q))`` with ``q = sigmoid(z)``; second: ``p = e^z / w``.

        Raises
        ------
        ValueError
            When the blend has several behaviours, or one with a gain by the unit: many
            probabilities would have the same optimum.
        """
        part, *others = self.parts.values()
        if others or part.per:
            raise ValueError(
                f"no single probability stands behind a blend of {', '.join(self.parts)}; "
                "it takes one behaviour that happens or not."
            )
        shifted = logit[:, 0] - math.log(part.weight)
        return shifted.exp() if self.every_row else shifted.sigmoid()
