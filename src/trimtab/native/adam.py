"""Adam with decoupled weight decay for many small tensors, in one call."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from trimtab.native.compiler import library
from trimtab.native.pointers import floats_at, long, longs


def update(
    weights: Sequence[Tensor], states: Sequence[Mapping[str, Tensor]], group: Mapping[str, Any]
) -> None:
    """Update float32 weights on the processor by their gradients, all contiguous, in place.

    Parameters
    ----------
    states
        Of each weight ``step``, ``exp_avg`` and ``exp_avg_sq``, as ``torch.optim.AdamW`` has them.
    group
        The settings ``lr``, ``betas``, ``weight_decay`` and ``eps``.
    """
    gradients = [weight.grad.contiguous() for weight in weights if weight.grad is not None]
    library().adamw(
        long(len(weights)),
        longs([weight.numel() for weight in weights]),
        floats_at(weights),
        floats_at(gradients),
        *(floats_at([state[key] for state in states]) for key in ("exp_avg", "exp_avg_sq", "step")),
        *map(ctypes.c_double, (group["lr"], *group["betas"], group["weight_decay"], group["eps"])),
    )
