"""Inputs to one representation a task; one file each."""

from trimtab.trunks.base import Trunk, TrunkSettings, trunks
from trimtab.trunks.shared_bottom import SharedBottom, SharedBottomSettings

__all__ = ["SharedBottom", "SharedBottomSettings", "Trunk", "TrunkSettings", "trunks"]
