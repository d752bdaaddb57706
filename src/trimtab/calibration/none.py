"""The calibration ``none``: predictions stay as the model gives them."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from trimtab.calibration.base import CalibratorSettings, Map, calibrators
from trimtab.calibration.scale import Floats, Rows, Scale


@calibrators.register("none")
class NoneSettings(CalibratorSettings):
    """Nothing is fitted."""

    fits: ClassVar[bool] = False
    kind: Literal["none"] = "none"

    def fit(self, prediction: Rows, label: Rows, scale: Scale) -> "Identity":
        """Fit nothing."""
        return Identity()

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Identity":
        """Return the map of a state."""
        return Identity()


class Identity(Map):
    """Predictions as they are; also the map of what has too few labels for any other."""

    def __call__(self, prediction: Rows) -> Floats:
        """Return the same predictions."""
        return np.array(prediction, dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """Return the kind."""
        return {"kind": "none"}
