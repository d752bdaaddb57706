"""What every balancer is: a loss a target in, gradients of every parameter out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trimtab.registry import Registry
from trimtab.settings import Settings


class Balancer(nn.Module, ABC):
    """Turns the losses of a batch into ``.grad`` on every parameter.

    A target's weight counts as if the target were there that many times, under every method:
    where a method keeps the scale of a loss, the weight multiplies the loss; where it takes the
    scale away (a logarithm, a norm), the weight multiplies what is left, else it would have no
    effect. A target of weight 0 takes no part at all.

    A loss of exactly 0 is that of a target without an observed row in the batch; it moves nothing.

    Where a paper's weights sum to 1, they are multiplied here by the sum of the targets' weights,
    so that ``training.max_gradient_norm`` means the same as without balancing.

    Parameters
    ----------
    weights
        Target to its weight in the loss.

    Attributes
    ----------
    target_weights
        The weights above 0.
    used
        What the gradient of each of these targets was last multiplied by.
    """

    used: Tensor

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.target_weights = {name: weight for name, weight in weights.items() if weight}
        self.register_buffer("used", torch.tensor(list(self.target_weights.values())))

    def combine(self, losses: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """Return the plain weighted sum of the losses."""
        weights = self.target_weights.items()
        terms = [losses[name] if weight == 1 else weight * losses[name] for name, weight in weights]
        return torch.stack(terms).sum()

    @abstractmethod
    def backward(
        self,
        losses: Mapping[str, Float[Tensor, ""]],
        representations: Sequence[Float[Tensor, "rows width"]],
        shared: Iterable[nn.Parameter],
    ) -> None:
        """Compute the gradients of a batch, in one pass through the embedding tables.

        Parameters
        ----------
        losses
            Target to its loss; finite.
        representations
            The different outputs of the trunk.
        shared
            The trunk's parameters that more than one target trains.
        """

    def weights(self) -> dict[str, float]:
        """Return what the gradient of each target that takes part was last multiplied by."""
        return dict(zip(self.target_weights, self.used.tolist(), strict=True))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return what the balancer learns, as groups for the dense part's optimiser."""
        return []


class BalancerSettings(Settings, ABC):
    """The settings of one balancer, as written under ``[balancing]``."""

    kind: str

    @abstractmethod
    def build(self, weights: Mapping[str, float]) -> Balancer:
        """Build the balancer, from target to its weight in the loss.

        Raises
        ------
        SettingsError
            When a package that the method needs is not installed.
        """

    def problems(self, weights: Mapping[str, float]) -> list[str]:
        """Return what does not fit the run file's targets and their weights, a line a problem."""
        return []


balancers: Registry[BalancerSettings] = Registry("balancers")
