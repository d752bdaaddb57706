"""Predictions of rows in which the values of some features come from other rows."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from trimtab.batch import Batch
from trimtab.data.columns import Columns, Names
from trimtab.evaluation.groups import Group
from trimtab.model import RankingModel

Index = NDArray[np.int64]

_BATCH_ROWS = 2048


class Shuffled:
    """Some rows beside others of the same scenes, whose values they take a group at a time.

    Both are gathered once; each group costs one pass of the model over the rows.

    Parameters
    ----------
    index
        The rows, by their places in ``columns``.
    chance
        Draws the other rows.
    """

    def __init__(
        self, model: RankingModel, columns: Columns, index: Index, chance: Generator
    ) -> None:
        self.model = model
        self.names = columns.names
        other = index[other_rows(columns.arrays["scene"][index], chance)]
        starts = range(0, max(len(index), 1), _BATCH_ROWS)
        self.pairs = [
            (columns.batch(index[i : i + _BATCH_ROWS]), columns.batch(other[i : i + _BATCH_ROWS]))
            for i in starts
        ]

    def predict(self, group: Group) -> dict[str, NDArray[np.float32]]:
        """Return the predictions of the rows, where the group's values are those of the others."""
        return predicted(self.model, (mixed(*pair, group, self.names) for pair in self.pairs))


@torch.no_grad()
def predicted(model: RankingModel, batches: Iterable[Batch]) -> dict[str, NDArray[np.float32]]:
    """Return each prediction of the rows of all batches, of scenes without the target too."""
    device, training = model.present.device, model.training
    model.eval()
    parts = []
    for batch in batches:
        here = batch.to(device)
        parts.append(model.predict(here, model(here)))
    model.train(training)
    return {n: torch.cat([part[n] for part in parts]).float().cpu().numpy() for n in parts[0]}


def other_rows(scene: NDArray[np.generic], chance: Generator) -> Index:
    """Return for each row the place of one of the same scene; each is taken once."""
    other = np.empty(len(scene), dtype=np.int64)
    other[np.argsort(scene, kind="stable")] = np.lexsort((chance.random(len(scene)), scene))
    return other


def mixed(batch: Batch, other: Batch, group: Group, names: Names) -> Batch:
    """Return ``batch`` with the group's columns from ``other``; lists keep their lengths."""
    return replace(
        batch,
        ids=_mixed(batch.ids, other.ids, names.ids, group),
        numbers=_mixed(batch.numbers, other.numbers, names.numbers, group),
        lists={n: (other if n in group.columns else batch).lists[n] for n in batch.lists},
    )


def _mixed(own: Tensor, other: Tensor, names: Sequence[str], group: Group) -> Tensor:
    taken = torch.tensor([name in group.columns for name in names], dtype=torch.bool)
    return torch.where(taken, other, own)
