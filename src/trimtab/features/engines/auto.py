"""The engine ``auto``: the fastest that the machine has, by one rule."""

from typing import Literal

import torch

from trimtab.features.engines.base import ArrayEngine, EngineSettings, engines
from trimtab.features.engines.native import native_or_torch


@engines.register("auto")
class AutoSettings(EngineSettings):
    """``native`` on a processor with a C++ compiler, else ``torch``: the same to rounding."""

    kind: Literal["auto"] = "auto"

    def build(self, device: torch.device) -> ArrayEngine:
        """Build the engine."""
        return native_or_torch(device)

    def serve(self, device: torch.device) -> ArrayEngine:
        """Build the same."""
        return native_or_torch(device)
