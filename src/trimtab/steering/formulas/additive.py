"""The formula ``additive``: a weighted sum of predictions."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat, PositiveFloat, field_validator, model_validator

from trimtab.errors import nearest
from trimtab.settings import Settings
from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.formulas.base import SECONDS, Formula, formulas


class Weight(Settings):
    """What one unit of a prediction is worth."""

    weight: FiniteFloat
    """Score a unit; below 0 for what is not wanted."""
    per: str | None = None
    """The unit that the weight is for, such as ``min``; that of the prediction when left out."""
    cap: PositiveFloat | None = None
    """Most units that count."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return value if hasattr(value, "keys") else {"weight": value}

    def worth(self, values: Floats, unit: str) -> Floats:
        """Return the score of predictions in ``unit``."""
        return self.weight * np.minimum(values * self.units(unit), self.cap or np.inf)

    def units(self, unit: str) -> float:
        """Return how many of the weight's units one ``unit`` is."""
        return 1.0 if self.per is None else SECONDS.get(unit, 1.0) / SECONDS.get(self.per, 1.0)


@formulas.register("additive")
class Additive(Formula):
    """``sum_k w_k p_k``: of calibrated predictions, the optimum of sample reweighting.

    In a blend whose rows are also unit negatives the optimum is ``e^z = sum_k w_k p_k``; in the
    other form it is a rising function of it for behaviours that exclude each other. A key may be a
    product, ``click * long_view``, which counts where both are likely.
    """

    kind: Literal["additive"] = "additive"
    weights: dict[str, Weight] = Field(min_length=1)
    """Prediction, or product of predictions, to what a unit of it is worth."""
    scenes: dict[str, dict[str, Weight]] = {}
    """Scene to weights that replace the others there."""

    @field_validator("weights", mode="before")
    @classmethod
    def _spelled(cls, weights: Any) -> Any:
        return _once(weights)

    @field_validator("scenes", mode="before")
    @classmethod
    def _spelled_inside(cls, scenes: Any) -> Any:
        if not hasattr(scenes, "items"):
            return scenes
        return {scene: _once(weights) for scene, weights in scenes.items()}

    @model_validator(mode="after")
    def _not_all_zero(self) -> "Additive":
        every = [*self.weights.values(), *(w for s in self.scenes.values() for w in s.values())]
        if not any(weight.weight for weight in every):
            raise ValueError("every weight is 0, so there is no order; give one another value")
        return self

    def targets(self) -> list[str]:
        """Return the predictions that the weights name."""
        keys = [*self.weights, *(key for inside in self.scenes.values() for key in inside)]
        return list(dict.fromkeys(name for key in keys for name in _factors(key)))

    def problems(self, units: Mapping[str, str], scenes: tuple[str, ...]) -> list[str]:
        """Check targets, scenes and units."""
        found = super().problems(units, scenes)
        found += [
            f"no scene named {scene!r}. {nearest(scene, scenes)}"
            for scene in self.scenes
            if scene not in scenes
        ]
        for weights in (self.weights, *self.scenes.values()):
            for key, weight in weights.items():
                unit = units.get(key, "")
                if weight.per is not None and (unit not in SECONDS or weight.per not in SECONDS):
                    has = f"is in {unit!r}" if unit else "has no unit of time"
                    found.append(
                        f"{key}: a weight per {weight.per!r}, but the prediction {has}; "
                        f"expected one of {', '.join(SECONDS)} for a duration, and none otherwise"
                    )
        return found

    def raw(self, candidates: Candidates) -> Floats:
        """Return the weighted sum of every row."""
        return self._sum(candidates, candidates.prediction)

    def gain(self, candidates: Candidates) -> Floats | None:
        """Return the same sum of labels; None where a prediction that is weighed has no label."""
        if not set(self.targets()) <= set(candidates.labels):
            return None
        return self._sum(candidates, candidates.label)

    def linear(self, units: Mapping[str, str]) -> dict[str, float] | None:
        """Return the weights; None where scenes have their own, or any is capped or a product's."""
        if self.scenes or any(w.cap or key not in units for key, w in self.weights.items()):
            return None
        return {key: w.weight * w.units(units[key]) for key, w in self.weights.items()}

    def _sum(self, candidates: Candidates, values: Callable[[str], Floats]) -> Floats:
        def total(weights: Mapping[str, Weight]) -> Floats:
            found = np.zeros(len(candidates))
            for key, weight in weights.items():
                if weight.weight:  # A label that is not known is NaN, also times 0.
                    product = np.prod([values(name) for name in _factors(key)], axis=0)
                    found = found + weight.worth(product, candidates.units.get(key, ""))
            return found

        score = total(self.weights)
        for scene, weights in self.scenes.items():
            here = candidates.scene == candidates.scenes.index(scene)
            score = np.where(here, total(self.weights | weights), score)
        return score


def _once(weights: Any) -> Any:
    """Write each product in one way, so that a scene's weight replaces that of the same product.

    Raises
    ------
    ValueError
        When a product is weighed twice.
    """
    if not hasattr(weights, "items"):
        return weights
    found: dict[Any, Any] = {}
    for key, weight in weights.items():
        once = " * ".join(sorted(_factors(key))) if hasattr(key, "split") else key
        if once in found:
            raise ValueError(f"{once!r} is weighed twice")
        found[once] = weight
    return found


def _factors(key: str) -> list[str]:
    return [name.strip() for name in key.split("*")]
