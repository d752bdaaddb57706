"""The part of an update above the tables: in which precision, and compiled or not."""

import shutil
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.balancing.objective import Objective
from trimtab.batch import Batch
from trimtab.errors import SettingsError, SlowerWarning
from trimtab.features.inputs import Inputs
from trimtab.model import RankingModel

Precision = Literal["float32", "bf16"]


class Dense:
    """From a batch to each target's loss and the trunk's representations.

    In bf16, layers multiply in bfloat16; weights, tables, representations, logits and losses stay
    float32. Compiled, trunk and towers each become a few loops, made anew by every process that
    trains; a batch of another size, such as an epoch's last, takes the plain way.

    Parameters
    ----------
    compiled_rows
        Rows of the batches that compiled code is made for; 0 for none.
    """

    def __init__(
        self,
        model: RankingModel,
        objective: Objective,
        *,
        precision: Precision = "float32",
        compiled_rows: int = 0,
    ) -> None:
        self.model = model
        self.objective = objective
        self.precision = precision
        self.compiled_rows = compiled_rows
        self._trunk = self.trunk if not compiled_rows else torch.compile(self.trunk, dynamic=False)
        self._losses = self.losses if not compiled_rows else torch.compile(self.losses)

    def __call__(self, batch: Batch) -> tuple[dict[str, Tensor], Mapping[str, Tensor]]:
        """Return target to loss, and task to representation."""
        fast = len(batch) == self.compiled_rows
        inputs = self.model.features(batch)
        tasks = (self._trunk if fast else self.trunk)(inputs)
        losses = (self._losses if fast else self.losses)(batch, inputs, tasks)
        return losses, tasks

    def trunk(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows width"]]:
        """Return each task's representation."""
        with self._autocast(inputs.scene.device):
            tasks: dict[str, Tensor] = self.model.trunk(inputs)
        if not self._casts():
            return tasks
        whole = {id(x): x.float() for x in tasks.values()}  # A shared bottom's stays one tensor.
        return {task: whole[id(x)] for task, x in tasks.items()}

    def losses(
        self, batch: Batch, inputs: Inputs, tasks: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, ""]]:
        """Return each target's loss."""
        with self._autocast(batch.scene.device):
            logits = self.model.head(inputs, tasks)
        if self._casts():
            logits = {name: logit.float() for name, logit in logits.items()}
        losses: dict[str, Tensor] = self.objective(self.model, batch, logits)
        return losses

    def _casts(self) -> bool:
        return self.precision == "bf16"

    def _autocast(self, device: torch.device) -> AbstractContextManager[object]:
        if not self._casts():
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)


def require_precision(precision: Precision, device: torch.device) -> None:
    """Raise ``SettingsError`` where a device has no instructions for a precision."""
    if precision == "float32" or device.type not in _HAS_BF16 or _HAS_BF16[device.type]():
        return
    raise SettingsError(
        "training.precision: 'bf16' needs a processor with AVX512_BF16 or AMX, or a GPU that "
        "multiplies in it; this one has neither, and would be slower than with 'float32'."
    )


def can_compile(device: torch.device) -> bool:
    """Say whether ``torch.compile`` finds a compiler; warn, once, where it does not."""
    if device.type != "cpu" or shutil.which("g++") or shutil.which("clang++"):
        return True
    warnings.warn(
        "training.compile: this machine has no C++ compiler (g++ or clang++); training goes on "
        "without it.",
        SlowerWarning,
        stacklevel=2,
    )
    return False


def _processor_has_bf16() -> bool:
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


_HAS_BF16 = {"cpu": _processor_has_bf16, "cuda": torch.cuda.is_bf16_supported}
