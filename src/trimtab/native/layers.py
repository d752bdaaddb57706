"""Linear layers, relu behind each, and heads, with all of a block of rows in one pass."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from trimtab.native.compiler import library
from trimtab.native.pointers import columns_at, float_at, floats_at, long, longs


def layers(
    x: Float[Tensor, "rows in_width"],
    hidden: Sequence[nn.Linear],
    heads: Sequence[nn.Linear] = (),
    *,
    rectify: bool = False,
) -> tuple[Tensor, ...]:
    """Return what each head gives of the hidden layers, or their output where there are no heads.

    The same as ``torch.relu`` of each layer's output, to rounding; for float32 on the processor.

    Parameters
    ----------
    rectify
        Whether ``x`` goes through relu first.
    """
    parameters = [p for layer in (*hidden, *heads) for p in (layer.weight, layer.bias)]
    apply: Any = _Layers.apply
    outs: tuple[Tensor, ...] = apply(x, len(hidden), rectify, *parameters)
    return outs


def linear(
    x: Float[Tensor, "rows in_width"],
    weight: Float[Tensor, "out_width in_width"],
    bias: Float[Tensor, " out_width"],
) -> Float[Tensor, "rows out_width"]:
    """Return ``x @ weight.T + bias``; no gradient follows."""
    return _forward(x.contiguous(), [weight.contiguous()], [bias], rectify=False, is_open=True)[0]


def linear_back(
    x: Float[Tensor, "rows in_width"], gradient: Float[Tensor, "rows out_width"]
) -> tuple[Float[Tensor, "out_width in_width"], Float[Tensor, " out_width"]]:
    """Return the gradients of weight and bias in ``linear``."""
    x = x.contiguous()
    weight = x.new_zeros(gradient.shape[1], x.shape[1])  # Only the gradient of x would need it.
    (of_weight,), (of_bias,) = _backward(
        x, [weight], [gradient], [gradient], None, rectify=False, is_open=True
    )
    return of_weight, of_bias


def experts(
    x: Float[Tensor, "rows experts in_width"],
    weights: Sequence[Float[Tensor, "experts _in _out"]],
    biases: Sequence[Float[Tensor, "experts _out"]],
) -> Float[Tensor, "rows experts out_width"]:
    """Return the last outputs of each expert's layers; relu goes before the first and behind each.

    The same as ``torch.bmm`` of each layer, to rounding; for float32 on the processor.
    """
    apply: Any = _Experts.apply
    parts = zip(weights, biases, strict=True)
    out: Tensor = apply(x, *(part for pair in parts for part in pair))
    return out


class _Experts(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        x, count = x.contiguous(), x.shape[1]
        weights = [weight.transpose(1, 2).contiguous() for weight in parameters[::2]]
        apart, biases = _apart(weights), _apart(parameters[1::2])
        outs = _forward(x.flatten(1), apart, biases, experts=count, rectify=True, is_open=False)
        ctx.save_for_backward(x, *weights, *outs)
        last: Tensor = outs[-1].unflatten(1, (count, -1))
        return last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        weights, outs = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        count, of_x = x.shape[1], torch.empty_like(x)
        parts = _backward(
            x.flatten(1),
            _apart(weights),
            outs,
            [gradients[0].flatten(1)],
            of_x,
            experts=count,
            rectify=True,
            is_open=False,
        )
        # Those of one layer's experts are beside each other.
        of_weights, of_biases = (
            [torch.stack(part[i : i + count]) for i in range(0, len(part), count)] for part in parts
        )
        pairs = zip(of_weights, of_biases, strict=True)
        of_parameters = (part for w, b in pairs for part in (w.transpose(1, 2), b))
        return (of_x, *of_parameters)


def _apart(layers: Sequence[Tensor]) -> list[Tensor]:
    """Return each expert's part, all of the first layer, then of the second."""
    return [part for layer in layers for part in layer.unbind()]


class _Layers(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, hidden: int, rectify: bool, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        x = x.contiguous()
        weights, biases = list(parameters[::2]), list(parameters[1::2])
        heads = [len(weight) for weight in weights[hidden:]]
        if heads:
            weights[hidden:] = [_joined(weights[hidden:])]
            biases[hidden:] = [_joined(biases[hidden:])]
        ctx.heads, ctx.flags = heads, {"rectify": rectify, "is_open": bool(heads)}
        outs = _forward(x, weights, biases, **ctx.flags)
        ctx.save_for_backward(x, *weights, *outs)
        return outs[-1].split(heads, 1) if heads else (outs[-1],)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        weights, outs = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        of_x = x.new_empty(x.shape) if ctx.needs_input_grad[0] else None
        of_weights, of_biases = _backward(x, weights, outs, gradients, of_x, **ctx.flags)
        if ctx.heads:
            of_weights[-1:] = of_weights[-1].split(ctx.heads)
            of_biases[-1:] = of_biases[-1].split(ctx.heads)
        pairs = zip(of_weights, of_biases, strict=True)
        return (of_x, None, None, *(part for pair in pairs for part in pair))


def _forward(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    *,
    experts: int = 1,
    rectify: bool,
    is_open: bool,
) -> list[Tensor]:
    """Return the outputs of each layer; the last one has no relu where it is open."""
    outs = [x.new_empty(x.shape[0], experts * weight.shape[0]) for weight in weights[::experts]]
    library().layers(
        float_at(x),
        *_shape(x, weights, experts),
        floats_at(weights),
        floats_at(biases),
        long(rectify),
        long(is_open),
        floats_at(outs),
    )
    return outs


def _backward(
    x: Tensor,
    weights: Sequence[Tensor],
    outs: Sequence[Tensor],
    gradients: Sequence[Tensor],
    of_x: Tensor | None,
    *,
    experts: int = 1,
    rectify: bool,
    is_open: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the gradients of weights and biases, and fill that of x where it is given."""
    of_weights = [weight.new_empty(weight.shape) for weight in weights]
    of_biases = [weight.new_empty(len(weight)) for weight in weights]
    library().layers_back(
        float_at(x),
        *_shape(x, weights, experts),
        floats_at(weights),
        long(rectify),
        long(is_open),
        floats_at(outs),
        *columns_at(gradients),
        None if of_x is None else float_at(of_x),
        floats_at(of_weights),
        floats_at(of_biases),
    )
    return of_weights, of_biases


def _shape(x: Tensor, weights: Sequence[Tensor], experts: int) -> tuple[Any, Any, Any, Any]:
    """Return the rows of x, how many experts and layers of each there are, and all widths."""
    widths = [x.shape[1] // experts, *(weight.shape[0] for weight in weights[::experts])]
    return long(x.shape[0]), long(experts), long(len(widths) - 1), longs(widths)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
