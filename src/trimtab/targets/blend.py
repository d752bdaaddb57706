"""The target kind ``blend``: several behaviours in one logit, by sample reweighting."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import BeforeValidator, Field, PositiveFloat, model_validator
from torch import Tensor
from torch.nn.functional import softplus
from typing_extensions import Annotated

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

    @model_validator(mode="after")
    def _one_form(self) -> "PartSettings":
        if (self.per is None) != (self.cap is None):
            raise ValueError("'per' and 'cap' go together")
        if self.at_least is not None and self.per is not None:
            raise ValueError("give 'at_least', or 'per' with 'cap', not both")
        return self


def _part(value: Any) -> Any:
    return {"weight": value} if isinstance(value, int | float) else value


@targets.register("blend")
class BlendSettings(TargetSettings):
    """One logit for all behaviours; a row with any of them is a positive."""

    kind: Literal["blend"] = "blend"
    of: dict[str, Annotated[PartSettings, BeforeValidator(_part)]] = Field(min_length=1)
    """Behaviour (a target, else a column) to its weight."""
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
            if behaviour in targets and part.column is None:
                labels |= targets[behaviour].labels(behaviour, targets)
            else:
                graded = part.at_least is not None or part.per is not None
                labels[self._label_name(name, behaviour, targets)] = LabelColumn(
                    column=part.column or behaviour,
                    where=f"targets.{name}.of.{behaviour}",
                    rule="not_negative" if graded else "zero_one",
                )
        return labels

    def build(self, name: str, targets: Mapping[str, TargetSettings]) -> "Blend":
        """Build the target."""
        parts = {
            self._label_name(name, behaviour, targets): Part(
                part.weight,
                part.at_least if part.at_least is not None else 1.0,
                part.per or 0.0,
                part.cap or 0.0,
            )
            for behaviour, part in self.of.items()
        }
        return Blend(parts, every_row=self.negatives == "every_row", largest=self.combine == "max")

    def _label_name(self, name: str, behaviour: str, targets: Mapping[str, TargetSettings]) -> str:
        part = self.of[behaviour]
        own = behaviour in targets and part.column is None
        return behaviour if own else f"{name}.{behaviour}"


class Part:
    """The gain of one behaviour: a step at ``at_least``, or a capped line of slope ``1 / per``."""

    def __init__(self, weight: float, at_least: float, per: float, cap: float) -> None:
        self.weight = weight
        self.at_least = at_least
        self.per = per
        self.cap = cap

    def gain(self, label: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Return the gain of each row; NaN where the label is missing."""
        graded = label.clamp(max=self.cap) / self.per if self.per else (label >= self.at_least).to(label.dtype)
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

    def learn(self, label: Float[Tensor, " observed"]) -> Float[Tensor, " width"]:
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
            When the blend has several behaviours: their probabilities cannot be told apart.
        """
        if len(self.parts) != 1:
            raise ValueError(f"A blend of {len(self.parts)} behaviours has no single probability.")
        (part,) = self.parts.values()
        shifted = logit[:, 0] - math.log(part.weight)
        return shifted.exp() if self.every_row else shifted.sigmoid()
