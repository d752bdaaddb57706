"""Balancers that look at the values of the losses alone: one weighted sum, one backward."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trimtab.balancing.base import Balancer


class LossBalancer(Balancer):
    """``sum_t f_t loss_t``, where the factors depend on the losses of this batch and before.

    The factors reach every part of the model: tables, trunk, towers and the targets' own paths.

    Attributes
    ----------
    target_weight
        The targets' weights above 0, as a tensor.
    """

    target_weight: Tensor

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__(weights)
        self.register_buffer("target_weight", self.used.clone(), persistent=False)

    @abstractmethod
    def weigh(self, losses: Float[Tensor, " targets"]) -> Float[Tensor, " targets"]:
        """Return the factors of a batch, and remember what later ones depend on.

        Gradients are off; what the optimiser learns for the balancer gets its ``.grad`` here.

        Parameters
        ----------
        losses
            Of the targets whose weight is above 0, not multiplied by it.
        """

    def backward(
        self,
        losses: Mapping[str, Float[Tensor, ""]],
        representations: Sequence[Float[Tensor, "rows width"]],
        shared: Iterable[nn.Parameter],
    ) -> None:
        """Compute the gradients of the weighted sum."""
        stacked = torch.stack([losses[name] for name in self.target_weights])
        with torch.no_grad():
            self.used.copy_(self.weigh(stacked))
        (self.used * stacked).sum().backward()
