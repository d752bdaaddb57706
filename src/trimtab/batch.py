"""What crosses every folder: rows of an impression log as tensors, a batch or several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """Ids of one list feature, any number a row, packed end to end.

    Row ``i`` owns the next ``lengths[i]`` entries of ``values``.
    """

    values: Int[Tensor, " total"]
    lengths: Int[Tensor, " rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows ready for the model.

    Attributes
    ----------
    ids
        One column a single-valued id feature: a row of that feature's own table.
    lists
        List feature to its ids.
    numbers
        One column a number, scaled as its feature says.
    scene
        Index of the scene that the row happened in; 0 everywhere when there are no scenes.
    labels
        Label to what happened, in the label's unit; NaN where it was not observed.
    weights
        Weight column to its values: ``""`` for the whole row, a target's name for that target's.
    """

    ids: Int[Tensor, "rows fields"]
    lists: Mapping[str, Ids]
    numbers: Float[Tensor, "rows numbers"]
    scene: Int[Tensor, " rows"]
    labels: Mapping[str, Float[Tensor, " rows"]]
    weights: Mapping[str, Float[Tensor, " rows"]]

    def __len__(self) -> int:
        return self.scene.shape[0]

    def apply(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the same rows with ``change`` applied to every tensor."""
        return Batch(
            ids=change(self.ids),
            lists={
                name: Ids(values=change(ids.values), lengths=change(ids.lengths))
                for name, ids in self.lists.items()
            },
            numbers=change(self.numbers),
            scene=change(self.scene),
            labels={name: change(label) for name, label in self.labels.items()},
            weights={name: change(weight) for name, weight in self.weights.items()},
        )

    def split(self, sizes: Sequence[int]) -> list["Batch"]:
        """Return the rows in parts of these sizes, one after another; nothing is copied."""
        lists = {name: _split(ids, sizes) for name, ids in self.lists.items()}
        labels = {name: label.split(sizes) for name, label in self.labels.items()}
        weights = {name: weight.split(sizes) for name, weight in self.weights.items()}
        rows = (part.split(sizes) for part in (self.ids, self.numbers, self.scene))
        return [
            Batch(
                ids=ids,
                lists={name: parts[i] for name, parts in lists.items()},
                numbers=numbers,
                scene=scene,
                labels={name: parts[i] for name, parts in labels.items()},
                weights={name: parts[i] for name, parts in weights.items()},
            )
            for i, (ids, numbers, scene) in enumerate(zip(*rows, strict=True))
        ]

    def to(self, device: torch.device) -> "Batch":
        """Return the same rows on ``device``."""
        return self.apply(lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches that lie end to end.

    Attributes
    ----------
    rows
        Of all of them.
    sizes
        Rows of each.
    """

    rows: Batch
    sizes: Sequence[int]

    def __len__(self) -> int:
        return len(self.sizes)

    def split(self) -> list[Batch]:
        """Return each for itself; nothing is copied."""
        return self.rows.split(self.sizes)

    def single(self) -> list["Batches"]:
        """Return each as several of which there is one."""
        return [Batches(batch, [len(batch)]) for batch in self.split()]

    def cut(self, first: int) -> tuple["Batches", "Batches"]:
        """Return the ``first`` so many, and the others; nothing is copied."""
        sizes = self.sizes[:first], self.sizes[first:]
        parts = self.rows.split([sum(some) for some in sizes])
        return Batches(parts[0], sizes[0]), Batches(parts[1], sizes[1])


def _split(ids: Ids, sizes: Sequence[int]) -> list[Ids]:
    lengths = ids.lengths.split(sizes)
    values = ids.values.split([int(part.sum()) for part in lengths])
    return [Ids(values=v, lengths=n) for v, n in zip(values, lengths, strict=True)]
