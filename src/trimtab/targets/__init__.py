"""Representations to logits, losses of rows and predictions; one file each."""

from trimtab.targets.base import Given, Target, TargetSettings, targets
from trimtab.targets.binary import Binary, BinarySettings
from trimtab.targets.blend import Blend, BlendSettings
from trimtab.targets.duration import Duration, DurationSettings
from trimtab.targets.number import Number, NumberSettings

__all__ = [
    "Binary",
    "BinarySettings",
    "Blend",
    "BlendSettings",
    "Duration",
    "DurationSettings",
    "Given",
    "Number",
    "NumberSettings",
    "Target",
    "TargetSettings",
    "targets",
]
