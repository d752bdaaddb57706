"""Predictions to calibrated predictions: a monotone map a target and scene; one file a kind."""

from trimtab.calibration.base import CalibratorSettings, Map, calibrators
from trimtab.calibration.fit import cross_fit, fit
from trimtab.calibration.isotonic import Isotonic, IsotonicSettings
from trimtab.calibration.maps import Calibration
from trimtab.calibration.none import Identity, NoneSettings
from trimtab.calibration.outcomes import Outcomes
from trimtab.calibration.platt import Platt, PlattSettings
from trimtab.calibration.scale import SCALES, Scale

__all__ = [
    "SCALES",
    "Calibration",
    "CalibratorSettings",
    "Identity",
    "Isotonic",
    "IsotonicSettings",
    "Map",
    "NoneSettings",
    "Outcomes",
    "Platt",
    "PlattSettings",
    "Scale",
    "calibrators",
    "cross_fit",
    "fit",
]
