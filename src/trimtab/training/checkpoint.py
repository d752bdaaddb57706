"""The state of a training in one file that is either the old one or the new one, never half."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trimtab.atomic import beside
from trimtab.errors import RunError

_ADVICE = "What was saved before is intact: make room, and go on with --resume (resume=True)."


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts (JSON) beside ``path``, then rename over it.

    Raises
    ------
    RunError
        When the disk is full or cannot be written; the old file is as it was.
    """
    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    with beside(path, _ADVICE) as place:
        place.touch()
        mode = place.stat().st_mode  # A new file's here; safetensors makes its own for the owner.
        try:
            save_file(whole, place, metadata={"facts": json.dumps(facts)})
            place.chmod(mode)
        except SafetensorError as error:
            raise OSError(str(error)) from None
        with place.open("rb+") as file:
            os.fsync(file.fileno())


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
