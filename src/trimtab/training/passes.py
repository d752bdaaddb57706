"""The ends of several passes served together, where tables start anew with every epoch.

Each pass learns the ids from a start of its own, and so has errors of its own, which an average of
the logits takes away in part: the models of one training serve as an ensemble.
Huang et al., "Snapshot Ensembles: Train 1, Get M for Free", ICLR 2017; here the passes differ by
where their tables began, and the learning rate goes through no cycles.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from torch import Tensor

from trimtab.model import RankingModel


def ends(curves: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the steps of the evaluations at the end of a pass."""
    return [entry["step"] for entry in curves if entry["epoch"] == int(entry["epoch"])]


def groups(curves: Sequence[Mapping[str, Any]], passes: int) -> dict[int, list[int]]:
    """Return each end of a pass that others come before, and those that are served beside it."""
    found = ends(curves) if passes > 1 else []
    return {end: found[max(0, i + 1 - passes) : i] for i, end in enumerate(found) if i}


def make_room(model: RankingModel, count: int) -> None:
    """Have the model of so many earlier passes beside a model; their weights are yet to come."""
    alone = deepcopy(model)
    model.earlier.extend(deepcopy(alone) for _ in range(count))


def join(
    model: RankingModel, steps: Sequence[int], read: Callable[[int], Mapping[str, Tensor]]
) -> None:
    """Put earlier passes beside a model: from then on its logits are the mean of all."""
    make_room(model, len(steps))
    for one, step in zip(model.earlier, steps, strict=True):
        one.load_state_dict(read(step))
