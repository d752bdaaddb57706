"""The engine ``auto``: the fastest that the machine has, by one rule."""

import warnings
from typing import Literal

import torch

from trimtab.errors import SlowerWarning
from trimtab.features.engines.base import ArrayEngine, EngineSettings, engines
from trimtab.features.engines.native import native_or_torch


@engines.register("auto")
class AutoSettings(EngineSettings):
    """``native`` on a processor with a C++ compiler, else ``torch``: the same to rounding."""

    kind: Literal["auto"] = "auto"

    def build(self, device: torch.device) -> ArrayEngine:
        """Build the engine; warn where a processor has to do without the fast one."""
        engine, why = native_or_torch(device)
        if why and device.type == "cpu":
            warnings.warn(
                f"{why} Training goes on with 'torch', at half the speed or less.",
                SlowerWarning,
                stacklevel=2,
            )
        return engine

    def serve(self, device: torch.device) -> ArrayEngine:
        """Build the same."""
        return native_or_torch(device)[0]
