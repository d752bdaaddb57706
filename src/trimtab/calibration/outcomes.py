"""Predictions of rows beside what happened: what a calibration is fitted on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trimtab.calibration.scale import Rows, Scale


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Predictions of some rows and what happened.

    Attributes
    ----------
    predictions, labels
        Name of a prediction to its values, and to the label that it is compared with: ``b`` over
        all rows, ``b_given_a`` where a happened; NaN where either is not known.
    scales
        Prediction to its scale, of those that are calibrated.
    typical
        The predictions that are moved to the median of their labels, not to the mean.
    bounds
        Probability of a later step to that of the step before, which it never passes; first steps
        first.
    scene, user
        Index of each row's scene, and a number a user.
    scenes
        Names of the scenes.
    """

    predictions: Mapping[str, Rows]
    labels: Mapping[str, Rows]
    scales: Mapping[str, Scale]
    bounds: Mapping[str, str]
    typical: Collection[str] = ()
    scene: Rows
    user: Rows
    scenes: Sequence[str]

    def __len__(self) -> int:
        return len(self.scene)

    def known(self, name: str) -> NDArray[np.bool_]:
        """Return the rows with a label and a prediction."""
        return ~np.isnan(self.labels[name]) & ~np.isnan(self.predictions[name])

    def take(self, rows: NDArray[np.bool_]) -> "Outcomes":
        """Return some of the rows."""
        return replace(
            self,
            predictions={name: values[rows] for name, values in self.predictions.items()},
            labels={name: values[rows] for name, values in self.labels.items()},
            scene=self.scene[rows],
            user=self.user[rows],
        )
