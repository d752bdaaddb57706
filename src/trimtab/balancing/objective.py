"""From losses of rows to one number a target: row, target's own, scene and tower weights."""

from collections.abc import Mapping

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
        self.register_buffer("scales", torch.tensor(list(scales.values())), persistent=False)

    def forward(
        self, model: RankingModel, batch: Batch, logits: Logits
    ) -> dict[str, Float[Tensor, ""]]:
        """Return each target's loss."""
        losses = model.losses(batch, logits)
        counted = {} if self.denominator == "rows" else model.observed(batch)
        factors = self.scales[:, batch.scene]
        everywhere = torch.ones_like(batch.scene, dtype=torch.bool)
        row = batch.weights.get("", everywhere.to(factors.dtype))
        reduced = {}
        for name, factor in zip(self.names, factors, strict=True):
            weight = row * batch.weights[name] if name in batch.weights else row
            # Factors of scenes stay out of the denominator, where they would cancel.
            loss, observed = factor * losses[name], counted.get(name, everywhere)
            reduced[name] = reduce(loss, weight, observed, self.denominator)
        return reduced
