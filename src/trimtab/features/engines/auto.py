"""The engine ``auto``: the fastest that the machine has, by one rule."""

from functools import cache
from typing import Literal

import torch

from trimtab.errors import SettingsError
from trimtab.features.engines.base import ArrayEngine, EngineSettings, engines
from trimtab.features.engines.native import NativeSettings
from trimtab.features.engines.pytorch import PyTorchSettings


@engines.register("auto")
class AutoSettings(EngineSettings):
    """``native`` on a processor with a C++ compiler, else ``torch``: the same to rounding."""

    kind: Literal["auto"] = "auto"

    def build(self, device: torch.device) -> ArrayEngine:
        """Build the engine."""
        return fastest(device)


@cache
def fastest(device: torch.device) -> ArrayEngine:
    """Return ``native`` where it can be had; a compiler that fails is asked once."""
    try:
        return NativeSettings().build(device)
    except SettingsError:
        return PyTorchSettings().build(device)
