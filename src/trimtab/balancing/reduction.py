"""The one place where losses of rows become one number a target."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Denominator = Literal["rows", "observed", "weights"]


def reduce(
    loss: Float[Tensor, " rows"],
    weight: Float[Tensor, " rows"],
    observed: Bool[Tensor, " rows"],
    denominator: Denominator,
) -> Float[Tensor, ""]:
    """Return ``sum_i weight_i loss_i / denominator``.

    Parameters
    ----------
    denominator
        ``rows``: all rows of the batch, so that a weight means the same whatever else the batch
        holds; ``observed``: the rows that the loss is over; ``weights``: the sum of their weights.
        A batch with none observed gives 0.
    """
    total = (weight * loss).sum()
    divided = {
        "rows": lambda: total / max(len(loss), 1),
        "observed": lambda: total / _positive(observed.sum()),
        "weights": lambda: total / _positive((weight * observed).sum()),
    }
    return divided[denominator]()


def _positive(divisor: Tensor) -> Tensor:
    """Return 1 in place of 0: with nothing observed, what is divided is 0 too."""
    return torch.where(divisor > 0, divisor, torch.ones_like(divisor))
