"""From losses of rows to one number a target: row, target's own, scene and tower weights."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trimtab.balancing.reduction import Denominator, reduce
from trimtab.batch import Batch
from trimtab.model import Logits, RankingModel


class Objective(nn.Module):
    """The weighted losses of a batch; weights of targets come later, in the balancer.

    Parameters
    ----------
    scales
        Target to the factor of its loss in each scene, in the order of ``Batch.scene``.
    """

    scales: Tensor

    def __init__(self, scales: Mapping[str, list[float]], denominator: Denominator) -> None:
        super().__init__()
        self.names = list(scales)
        self.denominator = denominator
        self.even = all(scale == 1 for scene in scales.values() for scale in scene)
        self.register_buffer("scales", torch.tensor(list(scales.values())), persistent=False)

    def forward(
        self, model: RankingModel, batch: Batch, logits: Logits
    ) -> dict[str, Float[Tensor, ""]]:
        """Return each target's loss."""
        observed = {} if self.denominator == "rows" else model.observed(batch)
        factors = None if self.even else self.scales[:, batch.scene]
        reduced: dict[str, Tensor] = {}
        for names, rows in model.losses_together(batch, logits):
            if factors is not None:
                # Factors of scenes stay out of the denominator, where they would cancel.
                rows = rows * factors[[self.names.index(name) for name in names]]
            counted = torch.stack([observed[name] for name in names]) if observed else None
            sums = reduce(rows, self._weight(names, batch), counted, self.denominator)
            reduced |= dict(zip(names, sums.unbind(), strict=True))
        return {name: reduced[name] for name in self.names}

    def _weight(self, names: Sequence[str], batch: Batch) -> Float[Tensor, "_ rows"] | None:
        """Return the weight of each row, or of each target and row; None for 1 everywhere."""
        row = batch.weights.get("")
        if not set(names) & set(batch.weights):
            return None if row is None else row[None]
        row = torch.ones_like(batch.scene, dtype=self.scales.dtype) if row is None else row
        return torch.stack([row * batch.weights.get(name, 1.0) for name in names])
