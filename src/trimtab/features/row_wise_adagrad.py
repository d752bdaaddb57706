"""Adagrad with one step size a table row and block, in place on the touched rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Touched(NamedTuple):
    """The rows that a batch touches, each once, and their gradients."""

    rows: Int[Tensor, " touched"]
    gradient: Float[Tensor, "touched width"]


Step = Callable[[Tensor, Tensor, Touched, Mapping[str, Any]], None]
"""Updates the touched rows of a table, and its sums of squares, by a parameter group's settings."""


def shortened(
    gradient: Float[Tensor, "touched width"], longest: float | None
) -> Float[Tensor, "touched width"]:
    """Shorten the gradients of rows that are longer than ``longest``."""
    if longest is None:
        return gradient
    length = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    short: Tensor = gradient * (longest / length.clamp(min=longest))
    return short


def step_in_passes(
    table: Float[Tensor, "rows width"],
    squares: Float[Tensor, "rows blocks"],
    touched: Touched,
    group: Mapping[str, Any],
) -> None:
    """Update the touched rows by a few operations over all of them."""
    rows, gradient = touched
    weight, total = table.index_select(0, rows), squares.index_select(0, rows)
    gradient = shortened(gradient, group["longest"])
    if group["weight_decay"]:
        gradient = gradient + group["weight_decay"] * weight
    column, first = 0, 0
    for count, width in group["blocks"]:
        span = slice(column, column + count * width)
        block = gradient[:, span].unflatten(1, (count, width))
        total[:, first : first + count] += block.square().mean(2)
        rate = group["lr"] / (total[:, first : first + count].sqrt() + group["eps"])
        weight[:, span] -= (rate.unsqueeze(2) * block).flatten(1)
        column, first = column + count * width, first + count
    squares.index_copy_(0, rows, total)
    table.index_copy_(0, rows, weight)


class RowWiseAdagrad(torch.optim.Optimizer):
    """``h_r += mean(g_r ** 2)``; ``w_r -= rate * g_r / (sqrt(h_r) + eps)`` for each row ``r``.

    One number of state a row and block where Adam keeps two a weight; rows that a batch does not
    touch cost nothing. Duchi et al., JMLR 2011, with the sum over the row as in FBGEMM's
    ``EXACT_ROWWISE_ADAGRAD``.

    Parameters
    ----------
    tables
        Two-dimensional parameters whose gradient is sparse and coalesced.
    blocks
        Widths of the blocks side by side in a row; each has its own step size.
    weight_decay
        Added to the gradient of touched rows, times the row.
    longest
        Longest gradient of a row; longer ones are shortened, before the decay.
    step
        What updates the touched rows.
    """

    def __init__(
        self,
        tables: Iterable[Tensor],
        *,
        blocks: Sequence[int],
        learning_rate: float,
        weight_decay: float = 0.0,
        longest: float | None = None,
        eps: float = 1e-8,
        step: Step = step_in_passes,
    ) -> None:
        defaults = {
            "blocks": [(len(list(same)), width) for width, same in groupby(blocks)],
            "lr": learning_rate,
            "weight_decay": weight_decay,
            "longest": longest,
            "eps": eps,
        }
        super().__init__(tables, defaults)
        self._step = step
        for group in self.param_groups:
            for table in group["params"]:
                self.state[table]["sum"] = table.new_zeros(len(table), len(blocks))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update the rows that have a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    touched = Touched(table.grad._indices()[0], table.grad._values())
                    self._step(table, self.state[table]["sum"], touched, group)
