"""What every kind of calibration is: outcomes in, a map of predictions out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from trimtab.calibration.scale import Floats, Rows, Scale
from trimtab.registry import Registry
from trimtab.settings import Settings


class Map(ABC):
    """A fitted map of one target's predictions; it never turns an order round."""

    @abstractmethod
    def __call__(self, prediction: Rows) -> Floats:
        """Return the calibrated predictions, in float64; NaN stays NaN."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return everything, with the ``kind``, as JSON."""


class CalibratorSettings(Settings, ABC):
    """How predictions are calibrated after training, as written under ``[calibration]``.

    Attributes
    ----------
    fits
        Whether there is anything to fit, and so to save.
    """

    fits: ClassVar[bool] = True
    kind: str
    least_positives: PositiveInt = 50
    """Positives (or negatives, where they are fewer; of a quantity labels above 0) that a map of
    its own needs: a scene with fewer takes that of all scenes, a target with fewer stays as is.
    Typical values have one map for all scenes, to medians."""
    folds: int = Field(default=5, ge=2)
    """Parts of the valid rows; each is measured with maps that are fitted on the others."""

    @abstractmethod
    def fit(self, prediction: Rows, label: Rows, scale: Scale) -> Map:
        """Fit a map on rows with a label and a prediction; ``scale.support`` says they suffice."""

    @classmethod
    @abstractmethod
    def restore(cls, state: Mapping[str, Any]) -> Map:
        """Return the map of a ``state``.

        Raises
        ------
        ValueError, LookupError, TypeError
            When it is no state of such a map.
        """


calibrators: Registry[CalibratorSettings] = Registry("calibrators")
