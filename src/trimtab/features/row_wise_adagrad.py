"""Adagrad with one step size a table row and block, in place on the touched rows."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor


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
    """

    def __init__(
        self,
        tables: Iterable[Tensor],
        *,
        blocks: Sequence[int],
        learning_rate: float,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        defaults = {
            "blocks": [(len(list(same)), width) for width, same in groupby(blocks)],
            "lr": learning_rate,
            "weight_decay": weight_decay,
            "eps": eps,
        }
        super().__init__(tables, defaults)
        for group in self.param_groups:
            for table in group["params"]:
                self.state[table]["sum"] = table.new_zeros(len(table), len(blocks))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update the rows that have a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._update(table, group)

    def _update(self, table: Tensor, group: dict[str, Any]) -> None:
        rows, gradient = table.grad._indices()[0], table.grad._values()  # type: ignore[union-attr]
        weight = table.index_select(0, rows)
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * weight
        sums = self.state[table]["sum"]
        total = sums.index_select(0, rows)
        column, first = 0, 0
        for count, width in group["blocks"]:
            span = slice(column, column + count * width)
            block = gradient[:, span].unflatten(1, (count, width))
            total[:, first : first + count] += block.square().mean(2)
            step = group["lr"] / (total[:, first : first + count].sqrt() + group["eps"])
            weight[:, span] -= (step.unsqueeze(2) * block).flatten(1)
            column, first = column + count * width, first + count
        sums.index_copy_(0, rows, total)
        table.index_copy_(0, rows, weight)
