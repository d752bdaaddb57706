"""Fixed weights: the losses of the targets are added, each times its weight."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from trimtab.balancing.base import Balancer, BalancerSettings, balancers


@balancers.register("fixed")
class FixedSettings(BalancerSettings):
    """The targets' own weights, all through training."""

    kind: Literal["fixed"] = "fixed"

    def build(self, weights: Mapping[str, float]) -> "FixedWeights":
        """Build the balancer."""
        return FixedWeights(weights)


class FixedWeights(Balancer):
    """``sum_t weight_t loss_t``; a target of weight 0 takes no part at all."""

    def backward(
        self,
        losses: Mapping[str, Float[Tensor, ""]],
        representations: Sequence[Float[Tensor, "rows width"]],
        shared: Iterable[nn.Parameter],
    ) -> None:
        """Compute the gradients of the sum."""
        self.combine(losses).backward()
