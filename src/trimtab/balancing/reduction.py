"""The one place where losses of rows become one number a target."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Denominator = Literal["rows", "observed", "weights"]


def reduce(
    loss: Float[Tensor, "*targets rows"],
    weight: Float[Tensor, "*_ rows"] | None,
    observed: Bool[Tensor, "*targets rows"] | None,
    denominator: Denominator,
) -> Float[Tensor, "*targets"]:
    """Return ``sum_i weight_i loss_i / denominator``, of one target or of each.

    Parameters
    ----------
    weight
        None for 1 everywhere.
    observed
        The rows that the loss is over; none needed for ``rows``.
    denominator
        ``rows``: all rows of the batch, so that a weight means the same whatever else the batch
        holds; ``observed``: the rows that the loss is over; ``weights``: the sum of their weights.
        A batch with none observed gives 0.
    """
    total = (loss if weight is None else weight * loss).contiguous().sum(-1)
    if denominator == "rows":
        return total / max(loss.shape[-1], 1)
    assert observed is not None
    counted = observed if denominator == "observed" or weight is None else weight * observed
    return total / _positive(counted.expand(loss.shape).sum(-1))


def _positive(divisor: Tensor) -> Tensor:
    """Return 1 in place of 0: with nothing observed, what is divided is 0 too."""
    return torch.where(divisor > 0, divisor, torch.ones_like(divisor))
