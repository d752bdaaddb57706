"""Losses of rows to one number a target, and those to gradients; one file a method."""

from trimtab.balancing.base import Balancer, BalancerSettings, balancers
from trimtab.balancing.db_mtl import DBMTL, DBMTLSettings
from trimtab.balancing.dwa import DWA, DWASettings
from trimtab.balancing.famo import FAMO, FAMOSettings
from trimtab.balancing.fixed import FixedSettings, FixedWeights
from trimtab.balancing.gls import GLS, GLSSettings
from trimtab.balancing.metabalance import MetaBalance, MetaBalanceSettings
from trimtab.balancing.rlw import RLW, RLWSettings
from trimtab.balancing.torchjd import TorchJD, TorchJDSettings
from trimtab.balancing.uncertainty import Uncertainty, UncertaintySettings

__all__ = [
    "DBMTL",
    "DWA",
    "FAMO",
    "GLS",
    "RLW",
    "Balancer",
    "BalancerSettings",
    "DBMTLSettings",
    "DWASettings",
    "FAMOSettings",
    "FixedSettings",
    "FixedWeights",
    "GLSSettings",
    "MetaBalance",
    "MetaBalanceSettings",
    "RLWSettings",
    "TorchJD",
    "TorchJDSettings",
    "Uncertainty",
    "UncertaintySettings",
    "balancers",
]
