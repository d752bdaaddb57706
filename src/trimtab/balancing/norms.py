"""Running averages of the targets' gradient norms."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class AverageNorms(nn.Module):
    """``m_t <- keep m_t + (1 - keep) |g_t|``, over the batches that observe the target.

    Divided by what the weights sum to, so that a young average is not too small.

    Parameters
    ----------
    keep
        Share of the average that an update keeps; 0 for the norms of the batch alone.
    """

    sums: Tensor
    counted: Tensor

    def __init__(self, targets: int, keep: float) -> None:
        super().__init__()
        self.keep = keep
        self.register_buffer("sums", torch.zeros(targets))
        self.register_buffer("counted", torch.zeros(targets))

    def forward(self, norms: Float[Tensor, " targets"]) -> Float[Tensor, " targets"]:
        """Add the norms of a batch; return the averages, 0 for targets never observed."""
        seen = norms > 0
        for average, value in ((self.sums, norms), (self.counted, torch.ones_like(norms))):
            average.copy_(
                torch.where(seen, torch.lerp(value.to(average), average, self.keep), average)
            )
        return torch.where(self.counted > 0, self.sums / self.counted, 0.0)
