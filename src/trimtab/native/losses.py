"""Binary cross-entropies of several targets, and their gradients, in one pass."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from trimtab.native.compiler import library
from trimtab.native.pointers import float_at, floats_at, long, longs


def cross_entropies(
    logits: Sequence[Float[Tensor, "rows 1"]], labels: Sequence[Float[Tensor, " rows"]]
) -> Float[Tensor, "targets rows"]:
    """Return ``-log P(label)`` of each target and row, 0 where the label is missing.

    The same as ``trimtab.targets.binary.cross_entropies``, to rounding; for float32 on the
    processor.
    """
    apply: Any = _CrossEntropies.apply
    losses: Tensor = apply(labels, *logits)
    return losses


class _CrossEntropies(Function):
    @staticmethod
    def forward(ctx: Any, labels: Sequence[Tensor], *logits: Tensor) -> Tensor:
        losses = logits[0].new_empty(len(logits), len(logits[0]))
        slopes = losses.new_empty(losses.shape)
        library().cross_entropies(
            *(long(size) for size in losses.shape),
            floats_at(logits),
            longs([logit.stride(0) for logit in logits]),
            floats_at(labels),
            longs([label.stride(0) for label in labels]),
            float_at(losses),
            float_at(slopes),
        )
        ctx.save_for_backward(slopes)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return (None, *(slopes * gradients[0]).unsqueeze(2).unbind())
