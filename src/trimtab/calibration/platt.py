"""The calibration ``platt``: a line on the scale of the predictions."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from trimtab.calibration.base import CalibratorSettings, Map, calibrators
from trimtab.calibration.newton import depart
from trimtab.calibration.scale import BY_NAME, Floats, Rows, Scale

_TRUST = 10.0
"""How much the slope is held to 1: as by ten positives that lie one unit from the middle."""
_LEAST_SLOPE = 0.1


@calibrators.register("platt")
class PlattSettings(CalibratorSettings):
    """``logit p' = a logit p + b`` of probabilities, ``log q' = a log q + b`` of quantities."""

    kind: Literal["platt"] = "platt"

    def fit(self, prediction: Rows, label: Rows, scale: Scale) -> "Platt":
        """Fit slope and level."""
        return Platt.fitted(prediction, label, scale)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Platt":
        """Return the map of a state."""
        return Platt(BY_NAME[state["scale"]], float(state["slope"]), float(state["level"]))


class Platt(Map):
    """``back(slope * forward(prediction) + level)``; sums match those of the rows it was fitted on.

    Platt, "Probabilistic Outputs for Support Vector Machines", 1999, on log-odds, with the labels
    as they are; his smoothed ones would not keep the sums. Instead the slope has a normal prior
    around 1, which a few dozen positives outweigh, and is at least 0.1.
    """

    def __init__(self, scale: Scale, slope: float, level: float) -> None:
        if not (np.isfinite(level) and 0 < slope < np.inf):
            raise ValueError(f"Expected a finite level and a slope above 0; found {level}, {slope}")
        self.scale = scale
        self.slope = slope
        self.level = level

    @classmethod
    def fitted(cls, prediction: Rows, label: Rows, scale: Scale) -> "Platt":
        """Fit to rows that ``scale.support`` finds enough of."""
        held = scale.holds(prediction)
        place, seen, apart = scale.forward(prediction[held]), label[held], label[~held].sum()
        if not scale.support(seen):
            return cls(scale, 1.0, 0.0)
        middle, ones = place.mean(), np.ones((1, len(place)))
        directions = np.concatenate([(place - middle)[None], ones])
        trust = np.array([_TRUST, 0.0])
        turn, lift = depart(
            place, seen, scale, directions=directions, penalty=trust, apart=float(apart)
        )
        if turn < _LEAST_SLOPE - 1:  # The likelihood is concave: then the best is at the bound.
            turn = _LEAST_SLOPE - 1
            turned = place + turn * (place - middle)
            (lift,) = depart(
                turned, seen, scale, directions=ones, penalty=trust[1:], apart=float(apart)
            )
        return cls(scale, float(1 + turn), float(lift - turn * middle))

    def __call__(self, prediction: Rows) -> Floats:
        """Return the calibrated predictions."""
        return self.scale.move(prediction, lambda place: self.slope * place + self.level)

    def state(self) -> dict[str, Any]:
        """Return slope and level."""
        return {
            "kind": "platt",
            "scale": self.scale.name,
            "slope": self.slope,
            "level": self.level,
        }
