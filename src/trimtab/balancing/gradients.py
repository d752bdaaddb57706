"""Balancers that look at the targets' gradients where these meet: K short backwards, one long."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trimtab.balancing.base import Balancer

Meeting = Literal["output", "parameters"]
"""Where the targets' gradients are compared and merged."""


class GradientBalancer(Balancer):
    """Merges the targets' gradients into ``sum_t f_t g_t`` where they meet.

    ``output``: ``g_t`` is the gradient of ``loss_t`` at the trunk's output, so a backward a target
    goes through towers alone. One more, of the plain weighted sum, goes through the whole model,
    with the merged gradient in the place of the plain one at the trunk's output. Trunk and shared
    embeddings learn from what was merged. What lies behind the trunk or beside it learns from the
    plain weighted sum: towers, own paths, own embeddings and first-order weights. Where a trunk
    gives each target a representation of its own, the gradients of two targets lie on different
    tensors: their norms can be compared, but they never conflict.

    ``parameters``: ``g_t`` is the gradient at the trunk's shared parameters, at the cost of a
    backward a target through the trunk. Everything else, tables too, learns from the plain weighted
    sum.

    Never is there more than one pass through the tables, whose sparse gradients would each cost as
    much as the rest of the step.

    Parameters
    ----------
    at
        Where the gradients meet.
    """

    target_weight: Tensor

    def __init__(self, weights: Mapping[str, float], *, at: Meeting) -> None:
        super().__init__(weights)
        self.register_buffer("target_weight", self.used.clone(), persistent=False)
        self.at = at

    @abstractmethod
    def weigh(
        self, losses: Float[Tensor, " targets"], gramian: Float[Tensor, "targets targets"]
    ) -> Float[Tensor, " targets"]:
        """Return the factors of the gradients, and remember what later ones depend on.

        Gradients are off. Every method here gives a linear combination whose factors follow from
        the losses and the inner products alone, neither yet multiplied by the targets' weights.

        Parameters
        ----------
        gramian
            ``g_s . g_t`` of all pairs of targets whose weight is above 0; a row of zeros where a
            target was not observed.
        """

    def backward(
        self,
        losses: Mapping[str, Float[Tensor, ""]],
        representations: Sequence[Float[Tensor, "rows width"]],
        shared: Iterable[nn.Parameter],
    ) -> None:
        """Compute the gradients of the weighted sum, with the merged ones where they meet."""
        choices: dict[Meeting, Iterable[Tensor]] = {
            "output": representations,
            "parameters": shared,
        }
        places = [place for place in choices[self.at] if place.requires_grad]
        total = self.combine(losses)
        if not places:
            total.backward()
            return
        mine = [losses[name] for name in self.target_weights]
        gradients = torch.stack([_flat(loss, places) for loss in mine])
        with torch.no_grad():
            self.used.copy_(self.weigh(torch.stack(mine), gradients @ gradients.t()))
            flat = (self.used.to(gradients.dtype) @ gradients).split([p.numel() for p in places])
        merged = [part.view_as(place) for part, place in zip(flat, places, strict=True)]
        _MERGE[self.at](total, places, merged)


def _flat(loss: Float[Tensor, ""], places: Sequence[Tensor]) -> Float[Tensor, " total"]:
    """Return the gradient of a loss at all places, end to end; zeros where it does not reach."""
    if not loss.requires_grad:
        return torch.cat([torch.zeros_like(place).flatten() for place in places])
    found = torch.autograd.grad(
        loss, places, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return torch.cat([gradient.flatten() for gradient in found])


def _at_output(total: Tensor, places: Sequence[Tensor], merged: Sequence[Tensor]) -> None:
    for place, gradient in zip(places, merged, strict=True):
        place.register_hook(lambda _, gradient=gradient: gradient)
    total.backward()


def _at_parameters(total: Tensor, places: Sequence[Tensor], merged: Sequence[Tensor]) -> None:
    total.backward()
    for place, gradient in zip(places, merged, strict=True):
        place.grad = gradient


_MERGE: dict[Meeting, Callable[[Tensor, Sequence[Tensor], Sequence[Tensor]], None]] = {
    "output": _at_output,
    "parameters": _at_parameters,
}
