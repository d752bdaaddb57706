"""A target's own path: what it learns beside the parts that all targets share."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trimtab.layers import MLP


class OwnPath(nn.Module):
    """``head(mlp([h, own]))``: a term of one target's logits, the same in every scene.

    ``h`` is the trunk's representation of the target's task and ``own`` the target's own
    embeddings. A rare target can so learn what the frequent ones would overwrite in the shared
    tables; the trunk keeps what they have in common. Close to STEM (Su et al., AAAI 2024), which
    gives each task full-width tables and gates the experts over them; here the own tables are
    narrow and no gate is needed.
    """

    def __init__(self, in_width: int, own_width: int, widths: Sequence[int], head: int) -> None:
        super().__init__()
        self.hidden = MLP(in_width + own_width, widths)
        self.head = nn.Linear(self.hidden.out_width, head, bias=False)

    def forward(
        self, h: Float[Tensor, "rows in_width"], own: Float[Tensor, "rows fields width"]
    ) -> Float[Tensor, "rows head"]:
        """Return the term of the target's logits."""
        out: Tensor = self.head(self.hidden(torch.cat([h, own.flatten(1)], 1)))
        return out
