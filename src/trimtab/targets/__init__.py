"""Representations to logits, losses of rows and predictions; one file each."""

from trimtab.targets.amount import Amount, AmountSettings
from trimtab.targets.base import Given, Target, TargetSettings, targets
from trimtab.targets.binary import Binary, BinarySettings
from trimtab.targets.blend import Blend, BlendSettings
from trimtab.targets.duration import Duration, DurationSettings
from trimtab.targets.heads import heads
from trimtab.targets.number import Number, NumberSettings
from trimtab.targets.quantity import Quantity

__all__ = [
    "Amount",
    "AmountSettings",
    "Binary",
    "BinarySettings",
    "Blend",
    "BlendSettings",
    "Duration",
    "DurationSettings",
    "Given",
    "Number",
    "NumberSettings",
    "Quantity",
    "Target",
    "TargetSettings",
    "heads",
    "targets",
]
