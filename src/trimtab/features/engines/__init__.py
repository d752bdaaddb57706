"""Embedding engines: how table rows are kept, found and updated. One file an engine."""

from trimtab.features.engines.auto import AutoSettings
from trimtab.features.engines.base import Engine, EngineSettings, engines
from trimtab.features.engines.fbgemm import FbgemmSettings
from trimtab.features.engines.native import NativeSettings
from trimtab.features.engines.pytorch import PyTorch, PyTorchSettings

__all__ = [
    "AutoSettings",
    "Engine",
    "EngineSettings",
    "FbgemmSettings",
    "NativeSettings",
    "PyTorch",
    "PyTorchSettings",
    "engines",
]
