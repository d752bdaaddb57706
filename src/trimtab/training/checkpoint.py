"""The state of a training in one file that is either the old one or the new one, never half."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trimtab.errors import RunError

_LEFT = re.compile(r"\..+\.(safetensors|jsonl?|html)\.\d+(\.tmp)?")


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts (JSON) beside ``path``, then rename over it.

    Raises
    ------
    RunError
        When the disk is full or cannot be written; the old file is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        save_file(whole, temporary, metadata={"facts": json.dumps(facts)})
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise RunError(
            f"{path}: cannot be written: {why}. What was saved before is intact: make room, and "
            "go on with --resume."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path, prefixes: tuple[str, ...] = ("",)) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save`` wrote; of the tensors only those whose name starts with a prefix.

    Raises
    ------
    RunError
        When the file is missing, cut short or of another program.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            names = [name for name in file.keys() if name.startswith(prefixes)]  # noqa: SIM118
            return {name: file.get_tensor(name) for name in names}, facts
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunError(
            f"{path}: not a checkpoint, or cut short: {error}. Train the run anew."
        ) from None


def sweep(folder: Path) -> None:
    """Remove what interrupted writes left: ``.name.process`` beside ``name``."""
    for path in folder.glob(".*"):
        if _LEFT.fullmatch(path.name):
            path.unlink(missing_ok=True)
