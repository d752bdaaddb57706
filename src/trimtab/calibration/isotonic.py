"""The calibration ``isotonic``: the best rising steps, joined by lines."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from trimtab.calibration.base import CalibratorSettings, Map, calibrators
from trimtab.calibration.newton import depart
from trimtab.calibration.scale import BY_NAME, Floats, Rows, Scale


@calibrators.register("isotonic")
class IsotonicSettings(CalibratorSettings):
    """Any rising curve; needs some thousand positives to be better than ``platt``."""

    kind: Literal["isotonic"] = "isotonic"

    def fit(self, prediction: Rows, label: Rows, scale: Scale) -> "Isotonic":
        """Fit the steps and join them."""
        return Isotonic.fitted(prediction, label, scale)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Isotonic":
        """Return the map of a state."""
        return Isotonic(BY_NAME[state["scale"]], state["at"], state["to"])


class Isotonic(Map):
    """Piecewise linear on the scale; beyond its ends odds, or quantities, keep the end's ratio.

    Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates", KDD 2002. Their steps would tie most rows: here the middles of the steps are joined,
    so that the order of the rows, and every ranking metric, stays; then all is lifted until the
    sums match.
    """

    def __init__(self, scale: Scale, at: ArrayLike, to: ArrayLike) -> None:
        self.scale = scale
        self.at = np.asarray(at, dtype=np.float64)
        self.to = np.asarray(to, dtype=np.float64)
        both = np.stack([self.at, self.to])
        if not (both.ndim == 2 and both.size and np.isfinite(both).all() and _rises(both)):
            raise ValueError("Expected places and where they go, both rising.")

    @classmethod
    def fitted(cls, prediction: Rows, label: Rows, scale: Scale) -> "Isotonic":
        """Fit to rows that ``scale.support`` finds enough of."""
        held = scale.holds(prediction)
        place, seen, apart = scale.forward(prediction[held]), label[held], label[~held].sum()
        if not scale.support(seen):
            return cls(scale, [0.0], [0.0])
        at, mean = _inner(*pool(place, seen), scale)
        joined = cls(scale, at, scale.forward(mean))
        (lift,) = depart(
            joined.moved(place),
            seen,
            scale,
            directions=np.ones((1, len(place))),
            penalty=np.zeros(1),
            apart=float(apart),
        )
        return cls(scale, joined.at, joined.to + lift)

    def moved(self, place: Floats) -> Floats:
        """Return where places go."""
        beyond = np.minimum(place - self.at[0], 0) + np.maximum(place - self.at[-1], 0)
        return np.asarray(np.interp(place, self.at, self.to) + beyond)

    def __call__(self, prediction: Rows) -> Floats:
        """Return the calibrated predictions."""
        return self.scale.move(prediction, self.moved)

    def state(self) -> dict[str, Any]:
        """Return the ends of the lines."""
        return {
            "kind": "isotonic",
            "scale": self.scale.name,
            "at": self.at.tolist(),
            "to": self.to.tolist(),
        }


def pool(place: Floats, label: Rows) -> tuple[Floats, Floats, Floats]:
    """Return the mean place, mean label and rows of each step of the best rising step function.

    Pool adjacent violators (Ayer et al., Annals of Mathematical Statistics 1955), all at once:
    every run of steps that do not rise is one step, until all rise. In whichever order violators
    are pooled, the outcome is the same.
    """
    # Places that differ, and means that rise, by no more than rounding are one.
    ties, code = np.unique(place.astype(np.float32), return_inverse=True)
    rows = np.bincount(code).astype(np.float64)
    label = np.bincount(code, weights=label.astype(np.float64))
    place = ties * rows
    while True:
        mean = label / rows
        first = np.concatenate([[True], mean[1:] > mean[:-1] * (1 + 1e-12)])
        if first.all():
            return place / rows, mean, rows
        starts = np.flatnonzero(first)
        place, label, rows = (np.add.reduceat(sums, starts) for sums in (place, label, rows))


def _inner(at: Floats, mean: Floats, rows: Floats, scale: Scale) -> tuple[Floats, Floats]:
    """Pool a first step of 0, and a last one of 1 for probabilities, with its neighbour.

    No rows are ever sure to be without, or with, what is predicted.
    """
    groups = np.arange(len(at))
    if len(at) > 1 and mean[0] <= 0:
        groups[0] = 1
    if len(at) > 1 and scale.slope(mean[-1:])[0] <= 0:
        groups[-1] = groups[-2]
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    whole = np.add.reduceat(rows, starts)
    at, mean = (np.add.reduceat(rows * value, starts) / whole for value in (at, mean))
    return at, mean


def _rises(values: Floats) -> bool:
    return bool((np.diff(values) > 0).all())
