"""The scales on which predictions are moved: log-odds, and logarithms of quantities."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
Floats = NDArray[np.float64]

_LEAST_CHANCE, _MOST_CHANCE = 1e-12, 1 - 2.0**-24
"""Where probabilities are cut: far below any that is learnt, and at the step of float32 at 1."""


class Scale(ABC):
    """From predictions to numbers that may be moved freely, and back.

    Its ``back`` is the mean of a family (Bernoulli, Poisson) whose canonical link is ``forward``,
    so that a fit of it makes sums of predictions those of the labels.

    Attributes
    ----------
    name
        In the state of a map.
    """

    name: str

    @abstractmethod
    def holds(self, prediction: Rows) -> NDArray[np.bool_]:
        """Return which predictions have a place on the scale; the others are not moved."""

    @abstractmethod
    def forward(self, prediction: Rows) -> Floats:
        """Return the places of predictions that the scale holds."""

    @abstractmethod
    def back(self, place: Floats) -> Floats:
        """Return the predictions at some places."""

    @abstractmethod
    def slope(self, mean: Floats) -> Floats:
        """Return how fast ``back`` rises where it gives ``mean``: the variance of the family."""

    @abstractmethod
    def support(self, label: Rows) -> int:
        """Return how many of the labels tell something; 0 where none of a map can be fitted."""

    def move(self, prediction: Rows, by: Callable[[Floats], Floats]) -> Floats:
        """Return predictions whose places are changed; those that have none stay as they are."""
        moved = np.array(prediction, dtype=np.float64)
        held = self.holds(moved)
        moved[held] = self.back(by(self.forward(moved[held])))
        return moved


class LogOdds(Scale):
    """``log(p / (1 - p))`` of a probability."""

    name = "log_odds"

    def holds(self, prediction: Rows) -> NDArray[np.bool_]:
        """Return all but NaN."""
        return ~np.isnan(prediction)

    def forward(self, prediction: Rows) -> Floats:
        """Return the log-odds."""
        chance = np.clip(prediction.astype(np.float64), _LEAST_CHANCE, _MOST_CHANCE)
        return np.asarray(np.log(chance) - np.log1p(-chance))

    def back(self, place: Floats) -> Floats:
        """Return the probabilities."""
        return np.asarray(1 / (1 + np.exp(-np.clip(place, -500, 500))))

    def slope(self, mean: Floats) -> Floats:
        """Return ``p (1 - p)``."""
        return mean * (1 - mean)

    def support(self, label: Rows) -> int:
        """Count the rarer of the two outcomes."""
        happened = int((label > 0).sum())
        return min(happened, len(label) - happened)


class Logarithm(Scale):
    """``log q`` of a quantity above 0."""

    name = "log"

    def holds(self, prediction: Rows) -> NDArray[np.bool_]:
        """Return the positive ones: 0 stays 0, and a negative number is not for this scale."""
        return np.asarray(prediction > 0)

    def forward(self, prediction: Rows) -> Floats:
        """Return the logarithms."""
        return np.asarray(np.log(prediction.astype(np.float64)))

    def back(self, place: Floats) -> Floats:
        """Return the quantities."""
        return np.asarray(np.exp(np.clip(place, -500, 500)))

    def slope(self, mean: Floats) -> Floats:
        """Return the quantities themselves."""
        return mean

    def support(self, label: Rows) -> int:
        """Count the labels above 0: of a rare purchase they set the level; none is negative."""
        return int((label > 0).sum()) if (label >= 0).all() else 0


SCALES: dict[str, Scale] = {"probability": LogOdds(), "quantity": Logarithm()}
"""Measure of a target to its scale; what has none, such as a gain, is not calibrated."""

BY_NAME = {scale.name: scale for scale in SCALES.values()}
