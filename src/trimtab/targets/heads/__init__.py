"""What the numbers of a head mean for a quantity of 0 or more; one file each."""

from typing import Any

from trimtab.targets.heads.base import Head, HeadSettings, any_head, heads
from trimtab.targets.heads.d2q import D2Q, D2QSettings
from trimtab.targets.heads.log_squared import LogSquared, LogSquaredSettings
from trimtab.targets.heads.ordinal import Ordinal, OrdinalSettings
from trimtab.targets.heads.quantile import Quantile, QuantileSettings
from trimtab.targets.heads.weighted_logistic import WeightedLogistic, WeightedLogisticSettings
from trimtab.targets.heads.zero_inflated import ZeroInflated, ZeroInflatedSettings

AnyHead: Any = any_head()

__all__ = [
    "D2Q",
    "AnyHead",
    "D2QSettings",
    "Head",
    "HeadSettings",
    "LogSquared",
    "LogSquaredSettings",
    "Ordinal",
    "OrdinalSettings",
    "Quantile",
    "QuantileSettings",
    "WeightedLogistic",
    "WeightedLogisticSettings",
    "ZeroInflated",
    "ZeroInflatedSettings",
    "heads",
]
