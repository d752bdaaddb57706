"""Logs and side tables, in files or frames, to encoded columns and batches."""

from trimtab.data.feature import FeatureSettings, features
from trimtab.data.id import IdSettings
from trimtab.data.ids import IdsSettings
from trimtab.data.number import NumberSettings

__all__ = ["FeatureSettings", "IdSettings", "IdsSettings", "NumberSettings", "features"]
