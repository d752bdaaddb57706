"""What the page has a slider for, and formulas written in those terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from trimtab.errors import InputError
from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.formulas import Additive, Formula
from trimtab.steering.formulas.additive import Weight
from trimtab.steering.formulas.base import SECONDS

EVERYWHERE = ""
"""In place of a scene: the weight counts wherever no scene has its own."""

_LONGEST = {"s": 60.0, "min": 3600.0}
"""Unit of time to the mean, in seconds, from which the next one reads better."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """One weight that can be moved.

    Attributes
    ----------
    key
        Target, or product of targets, as in an additive formula.
    scene
        The scene that the weight is for, or ``EVERYWHERE``.
    per
        Unit of time that the weight is for; ``None`` where the prediction has none.
    anchor
        Weight in the middle of the slider, above 0: that of now.
    """

    key: str
    scene: str
    per: str | None
    anchor: float


def additive(formula: Formula) -> Additive | None:
    """Return the formula if it is additive, the only kind that sliders can move."""
    try:
        return Additive.model_validate(formula.model_dump())
    except ValidationError:
        return None


def factors(key: str) -> list[str]:
    """Return the predictions that a key multiplies."""
    return [name.strip() for name in key.split("*")]


def measured(candidates: Candidates) -> list[str]:
    """Return the targets with a prediction and a label somewhere.

    Raises
    ------
    InputError
        When there are none.
    """
    labels = candidates.labels
    named = [n for n in candidates.units if n in labels and n in candidates.predictions]
    found = [name for name in named if not np.isnan(labels[name]).all()]
    if not found:
        raise InputError("the steering page: no row has a label; give rows with what happened.")
    return found


class Terms:
    """The sliders of a page: every measured target, and whatever else a formula weighs.

    Parameters
    ----------
    formulas
        The current formula first.
    """

    def __init__(self, candidates: Candidates, formulas: Sequence[Additive]) -> None:
        self.candidates = candidates
        self.targets = measured(candidates)
        now, *_ = formulas
        given = [self._given(formula) for formula in formulas]
        self._weights = [
            item for one in given for inside in one.values() for item in inside.items()
        ]
        self.keys = list(dict.fromkeys([*self.targets, *(key for key, _ in self._weights)]))
        self._per = {key: self._unit(key) for key in self.keys}
        inside = {(scene, key): None for one in given for scene in one for key in one[scene]}
        everywhere = {(EVERYWHERE, key): None for key in self.keys}
        fair = self._fair(now)
        self.terms = [
            Term(
                key=key,
                scene=scene,
                per=self._per[key],
                anchor=self._anchor(given[0].get(scene, {}), key, fair),
            )
            for scene, key in everywhere | inside
        ]

    def _given(self, formula: Additive) -> dict[str, dict[str, Weight]]:
        return {EVERYWHERE: formula.weights, **formula.scenes}

    def _unit(self, key: str) -> str | None:
        given = [weight.per for name, weight in self._weights if name == key and weight.per]
        unit = self.candidates.units.get(key, "")
        if given or unit not in SECONDS:
            return given[0] if given else None
        seconds = _mean(self.candidates.predictions[key]) * SECONDS[unit]
        return next((name for name, longest in _LONGEST.items() if seconds < longest), "h")

    def _fair(self, now: Additive) -> float:
        """Return what a weight of the current formula adds to the mean score, on average."""
        added = [
            abs(self.restated(key, weight)["weight"]) * self._mean(key)
            for key, weight in now.weights.items()
            if weight.weight
        ]
        return sum(added) / len(added) if any(added) else 1.0

    def _anchor(self, now: Mapping[str, Weight], key: str, fair: float) -> float:
        """Return the size of the weight now; where that is 0, one that adds as much as others."""
        size = abs(self.restated(key, now[key])["weight"]) if key in now else 0.0
        return size or float(f"{fair / (self._mean(key) or 1.0):.3g}")

    def _mean(self, key: str) -> float:
        return _mean(self.worth(key, self.candidates.predictions))

    def factor(self, key: str) -> float:
        """Return the units that a weight is for in one unit of the prediction."""
        unit, per = self.candidates.units.get(key, ""), self._per[key]
        return SECONDS.get(unit, 1.0) / SECONDS.get(per or unit, 1.0)

    def worth(self, key: str, columns: Mapping[str, Floats], cap: float | None = None) -> Floats:
        """Return the units of a key that count in each row; NaN where a column of it is."""
        values = np.prod([columns[name] for name in factors(key)], axis=0) * self.factor(key)
        return np.asarray(np.minimum(values, cap or np.inf))

    def restated(self, key: str, weight: Weight) -> dict[str, Any]:
        """Return the same weight and cap, for the unit of the key's slider."""
        unit, per = self.candidates.units.get(key, ""), self._per[key]
        ratio = SECONDS.get(per or "", 1.0) / SECONDS.get(weight.per or unit, 1.0) if per else 1.0
        cap = weight.cap and weight.cap / ratio
        return {"weight": weight.weight * ratio, "cap": cap}

    def state(self, formula: Additive) -> list[dict[str, Any]]:
        """Return a weight and a cap for each term.

        A common weight that the formula lacks is 0; one of a scene is None: as elsewhere.
        """
        given = self._given(formula)
        nothing = {EVERYWHERE: {"weight": 0.0, "cap": None}}
        found = []
        for term in self.terms:
            weight = given.get(term.scene, {}).get(term.key)
            absent = nothing.get(term.scene, {"weight": None, "cap": None})
            found.append(self.restated(term.key, weight) if weight else absent)
        return found


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.abs(known).mean()) if known.size else 0.0
