"""Logarithms of losses, for the methods that compare losses by their ratios."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trimtab.errors import RunError


def logarithms(
    losses: Float[Tensor, " targets"], names: Iterable[str]
) -> tuple[Bool[Tensor, " targets"], Float[Tensor, " targets"]]:
    """Return which targets were observed, and ``log loss`` of those; 0 for the others.

    Raises
    ------
    RunError
        When a loss is negative, as densities may be.
    """
    if (losses < 0).any():
        shown = ", ".join(
            f"{name} {loss:.4g}"
            for name, loss in zip(names, losses.tolist(), strict=True)
            if loss < 0
        )
        raise RunError(
            f"balancing: a loss is negative ({shown}), so it has no logarithm. Choose a kind that "
            "needs none, such as 'fixed', 'uncertainty' or 'metabalance'."
        )
    observed = losses > 0
    return observed, torch.where(observed, losses, 1.0).log()
