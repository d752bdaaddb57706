"""Numbers as the network reads them: as they are, or piece by piece."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Pieces(nn.Module):
    """Expands a number that counts buckets into one number a bucket, each from 0 to 1.

    2.25 of 4 buckets becomes 1, 1, .25, 0: a linear layer over them is a piecewise linear function
    of the value, with a slope of its own in every bucket. It is done here and not when rows are
    encoded, so that a row of the log stays one number.

    Parameters
    ----------
    pieces
        For each column of numbers its buckets; 0 where it is read as it is.
    """

    column: Tensor
    start: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, pieces: Sequence[int]) -> None:
        super().__init__()
        widths = torch.tensor([max(count, 1) for count in pieces], dtype=torch.int64)
        self.out_width = int(widths.sum())
        self.cut = any(pieces)
        column = torch.arange(len(pieces)).repeat_interleave(widths)
        cut = torch.tensor(pieces, dtype=torch.int64)[column] > 0
        start = torch.arange(self.out_width) - (widths.cumsum(0) - widths)[column]
        buffers = {
            "column": column,
            "start": start.float(),
            "low": torch.where(cut, 0.0, -torch.inf),
            "high": torch.where(cut, 1.0, torch.inf),
        }
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)

    def forward(self, numbers: Float[Tensor, "rows numbers"]) -> Float[Tensor, "rows out_width"]:
        """Expand the columns that are cut into buckets."""
        if not self.cut:
            return numbers
        return (numbers[:, self.column] - self.start).clamp(self.low, self.high)
