"""Target attention: a row's list weighed by what it says of the row's own item."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from trimtab.layers import MLP


class TargetAttention(nn.Module):
    """``sum_j a(k_j, q) k_j`` with ``a`` a softmax over the row's list of a small network.

    ``q`` is the embedding of the row's own item and ``k_j`` those of the list; the network reads
    ``[q, k, q - k, q * k]``. Zhou et al., "Deep Interest Network", KDD 2018, eq. 3 and figure 2,
    which leaves the weights unnormalised; ours sum to 1, so that a long list does not outweigh
    everything else.
    """

    def __init__(self, width: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.score = MLP(4 * width, hidden)
        self.out = nn.Linear(self.score.out_width, 1)

    def forward(
        self,
        query: Float[Tensor, "rows width"],
        keys: Float[Tensor, "total width"],
        values: Float[Tensor, "total all"],
        lengths: Int[Tensor, " rows"],
    ) -> Float[Tensor, "rows all"]:
        """Return the weighted sum of each row's ``values``; zeros for an empty list."""
        row = torch.repeat_interleave(lengths)
        q = query.index_select(0, row)
        score: Tensor = self.out(self.score(torch.cat([q, keys, q - keys, q * keys], 1)))
        weight = softmax_of_rows(score[:, 0], row, len(query))
        places = torch.arange(len(values), device=values.device)
        starts = lengths.cumsum(0) - lengths
        return embedding_bag(places, values, starts, mode="sum", per_sample_weights=weight)


def softmax_of_rows(
    score: Float[Tensor, " total"], row: Int[Tensor, " total"], rows: int
) -> Float[Tensor, " total"]:
    """Return the softmax of the scores over each row's list."""
    highest = score.new_full((rows,), -torch.inf)
    highest = highest.scatter_reduce(0, row, score.detach(), "amax")
    grown = (score - highest[row]).exp()
    return grown / score.new_zeros(rows).index_add(0, row, grown)[row]
