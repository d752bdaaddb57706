"""Trimtab: a multi-objective ranker that its owner can steer after training.

>>> import trimtab
>>> run = trimtab.train("run.toml", out="runs/first")  # doctest: +SKIP
>>> run.evaluate()["targets"]["click"]["auc"]  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trimtab.errors import DataError, InputError, RunError, SettingsError, TrimtabError

if TYPE_CHECKING:
    from trimtab.config.load import load as load_settings
    from trimtab.config.schema import RunSettings
    from trimtab.training.run import Run, train

__version__ = "0.1.0"

_HOMES = {
    "Run": "trimtab.training.run",
    "RunSettings": "trimtab.config.schema",
    "load_settings": "trimtab.config.load:load",
    "train": "trimtab.training.run",
}

__all__ = [
    "DataError",
    "InputError",
    "Run",
    "RunError",
    "RunSettings",
    "SettingsError",
    "TrimtabError",
    "load_settings",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import PyTorch and what needs it only when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'trimtab' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute or name)
