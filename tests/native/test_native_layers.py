"""Layers in C++ against PyTorch's, one after the other."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trimtab.features.inputs import Dense
from trimtab.layers import MLP
from trimtab.native.layers import experts, layers
from trimtab.trunks.experts import Experts


def linears(*widths: int) -> list[nn.Linear]:
    return [nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]


def one_by_one(
    x: Tensor, hidden: list[nn.Linear], heads: list[nn.Linear], *, rectify: bool
) -> list[Tensor]:
    x = torch.relu(x) if rectify else x
    for layer in hidden:
        x = torch.relu(layer(x))
    return [head(x) for head in heads] if heads else [x]


WIDTHS = [(64, 32, 16), (16, 32), (100, 50, 7), (1, 1), (3, 130, 65, 20), (17, 48), (8, 17, 5)]


@pytest.mark.parametrize("rows", [0, 1, 15, 128, 1100])
@pytest.mark.parametrize("heads", [(), (1,), (1, 3, 1), (20, 1)])
@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("widths", WIDTHS)
def test_is_relu_behind_each_layer(
    widths: tuple[int, ...], rows: int, heads: tuple[int, ...], rectify: bool
) -> None:
    hidden = linears(*widths)
    ends = [nn.Linear(widths[-1], width) for width in heads]
    parameters = [p for layer in (*hidden, *ends) for p in layer.parameters()]
    # Half of a whole number is far from 0, where rounding would decide what relu lets through.
    for parameter in parameters:
        parameter.data = (torch.randint(-8, 8, parameter.shape) + 0.5) / 8
    x = ((torch.randint(-8, 8, (rows, widths[0])) + 0.5) / 8).requires_grad_()
    ours = layers(x, hidden, ends, rectify=rectify)
    slow = one_by_one(x, hidden, ends, rectify=rectify)
    weights = [torch.randn_like(out) for out in slow]
    found = torch.autograd.grad(
        sum((w * out).sum() for w, out in zip(weights, ours, strict=True)), [x, *parameters]
    )
    wanted = torch.autograd.grad(
        sum((w * out).sum() for w, out in zip(weights, slow, strict=True)), [x, *parameters]
    )
    for a, b in zip((*ours, *found), (*slow, *wanted), strict=True):
        largest = float(b.detach().abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * largest)


def test_threads_and_other_heads_do_not_change_a_bit() -> None:
    hidden, heads = linears(40, 33, 20), [nn.Linear(20, 1) for _ in range(3)]
    x, before, found = torch.randn(1000, 40, requires_grad=True), torch.get_num_threads(), []
    for threads, some in ((1, heads), (2, heads), (5, heads), (2, heads[:1])):
        torch.set_num_threads(threads)
        out = layers(x, hidden, some)[0]
        found.append([out, *torch.autograd.grad(out.sum(), [x, hidden[0].weight, heads[0].bias])])
    torch.set_num_threads(before)
    for parts in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(parts, found[0], strict=True))


def test_no_nan_is_lost_and_no_gradient_is_asked_for_in_vain() -> None:
    hidden = linears(4, 3)
    x = torch.tensor([[torch.nan, 0, 0, 0], [1, 2, 3, 4]])
    (out,) = layers(x, hidden, rectify=True)
    assert out.isnan().any(1).tolist() == [True, False]
    out[1].sum().backward()
    assert x.grad is None
    assert hidden[0].weight.grad is not None


def test_gradients_that_are_expanded_or_missing() -> None:
    hidden, heads = linears(4, 3), [nn.Linear(3, 1), nn.Linear(3, 2)]
    x = torch.randn(9, 4, requires_grad=True)
    first, _ = layers(x, hidden, heads)
    first.sum().backward()
    slow, ours = torch.autograd.grad(heads[0](torch.relu(hidden[0](x))).sum(), x)[0], x.grad
    assert ours is not None
    torch.testing.assert_close(ours, slow)
    assert heads[1].weight.grad is not None
    assert not heads[1].weight.grad.any()


def computed_there(out: Tensor) -> bool:
    """Whether some step on the way to a result was computed in C++."""
    nodes, seen = [out.grad_fn], []
    while nodes:
        node = nodes.pop()
        if node is not None:
            seen.append(node.name())
            nodes += [before for before, _ in node.next_functions]
    return any("_Layers" in name for name in seen)


@pytest.mark.parametrize(
    "options", [{}, {"activation": "silu"}, {"dropout": 0.5}, {"norm": "layer"}]
)
def test_an_mlp_is_computed_there_where_it_is_plain(options: dict[str, Any]) -> None:
    mlp, heads = MLP(6, [5, 4], **options), [nn.Linear(4, 2), nn.Linear(4, 1)]
    x, first = torch.randn(30, 6), torch.randn(30, 5)

    def everything() -> list[Tensor]:
        torch.manual_seed(0)
        return [mlp(x), mlp.after(1, first.clone()), *mlp.heads(x, [heads, heads[:1]])]

    slow = everything()
    mlp.fused = True
    assert not any(computed_there(out) for out in (mlp.eval()(x), *mlp.heads(x, [heads])))
    mlp.train()
    for a, b in zip(everything(), slow, strict=True):
        torch.testing.assert_close(a, b)
        assert computed_there(a) is not bool(options)
        assert not computed_there(b)


@pytest.mark.parametrize("rows", [0, 1, 15, 128, 1100])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("widths", WIDTHS)
def test_experts_are_layers_side_by_side(widths: tuple[int, ...], count: int, rows: int) -> None:
    def drawn(*shape: int) -> Tensor:
        return ((torch.randint(-8, 8, shape) + 0.5) / 8).requires_grad_()

    x = drawn(rows, count, widths[0])
    weights = [drawn(count, a, b) for a, b in pairwise(widths)]
    biases = [drawn(count, b) for b in widths[1:]]
    ours, slow = experts(x, weights, biases), torch.relu(x)
    for weight, bias in zip(weights, biases, strict=True):
        slow = torch.relu(torch.einsum("rei,eio->reo", slow, weight) + bias)
    upon = torch.randn_like(slow)
    found, wanted = (
        torch.autograd.grad((upon * out).sum(), [x, *weights, *biases]) for out in (ours, slow)
    )
    for a, b in zip((ours, *found), (slow, *wanted), strict=True):
        largest = float(b.detach().abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * largest)


def test_threads_do_not_change_a_bit_of_experts() -> None:
    x, before = torch.randn(1000, 3, 40, requires_grad=True), torch.get_num_threads()
    weights = [torch.randn(3, 40, 33, requires_grad=True), torch.randn(3, 33, 20)]
    biases, found = [torch.randn(3, 33), torch.randn(3, 20, requires_grad=True)], []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        out = experts(x, weights, biases)
        found.append([out, *torch.autograd.grad(out.square().sum(), [x, weights[0], biases[1]])])
    torch.set_num_threads(before)
    assert all(
        torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True)
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"activation": "silu"}, {"norm": "layer"}, {"dropout": 0.1}, {"widths": [6]}],
    ids=str,
)
def test_experts_are_computed_there_where_they_are_plain(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    named = "trimtab.trunks.experts.native_experts"
    monkeypatch.setattr(named, lambda h, *parts: calls.append(h) or experts(h, *parts))
    some = Experts(9, ["a", "b"], **{"widths": [6, 4, 3], **options})
    x = Dense(torch.randn(20, 9))
    wanted = some.eval()(x)
    for fused, training in ((False, True), (True, False)):
        some.fused = fused
        some.train(training)(x)
    assert not calls
    some.fused = True
    out = some.train()(x)
    assert bool(calls) == (not options)
    if not options:
        torch.testing.assert_close(out, wanted)
