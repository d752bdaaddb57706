"""Inputs to one representation a task; one file each."""

from trimtab.trunks.adatt import AdaTT, AdaTTSettings
from trimtab.trunks.aitm import AITM, AITMSettings
from trimtab.trunks.base import Trunk, TrunkSettings, trunks
from trimtab.trunks.home import HoME, HoMESettings
from trimtab.trunks.mmoe import MMoE, MMoESettings
from trimtab.trunks.moe import MoE, MoESettings
from trimtab.trunks.pepnet import PEPNet, PEPNetSettings
from trimtab.trunks.ple import PLE, PLESettings
from trimtab.trunks.resflow import ResFlow, ResFlowSettings
from trimtab.trunks.shared_bottom import SharedBottom, SharedBottomSettings
from trimtab.trunks.single_target import SingleTarget, SingleTargetSettings
from trimtab.trunks.star import STAR, STARSettings
from trimtab.trunks.stem import STEM, STEMSettings

__all__ = [
    "AITM",
    "PLE",
    "STAR",
    "STEM",
    "AITMSettings",
    "AdaTT",
    "AdaTTSettings",
    "HoME",
    "HoMESettings",
    "MMoE",
    "MMoESettings",
    "MoE",
    "MoESettings",
    "PEPNet",
    "PEPNetSettings",
    "PLESettings",
    "ResFlow",
    "ResFlowSettings",
    "STARSettings",
    "STEMSettings",
    "SharedBottom",
    "SharedBottomSettings",
    "SingleTarget",
    "SingleTargetSettings",
    "Trunk",
    "TrunkSettings",
    "trunks",
]
