import pytest
import torch
from torch import nn

from trimtab.features.inputs import Dense
from trimtab.layers import MLP, initialise
from trimtab.trunks.experts import BatchedLinear, Experts, Gates, Spread, mix

NAMES = ["a", "b", "c"]


def as_loop(experts: Experts, widths: list[int], **how: object) -> list[MLP]:
    """Return the same experts as a list of networks."""
    networks = [MLP(5, widths, **how) for _ in NAMES]  # type: ignore[arg-type]
    for i, network in enumerate(networks):
        linear = [layer for layer in network if type(layer) is nn.Linear]
        linear[0].weight.data = experts.first.weight.data.chunk(len(NAMES))[i]
        linear[0].bias.data = experts.first.bias.data.chunk(len(NAMES))[i]
        for ours, theirs in zip(experts.later, linear[1:], strict=True):
            theirs.weight.data = ours.weight.data[i].t()
            theirs.bias.data = ours.bias.data[i]
    return networks


@pytest.mark.parametrize("widths", [[4], [4, 3], [4, 3, 6]])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_equal_to_a_loop_over_networks(widths: list[int], norm: str, activation: str) -> None:
    how = {"norm": norm, "activation": activation}
    experts = Experts(5, NAMES, widths=widths, **how)  # type: ignore[arg-type]
    initialise(experts, 0)
    x = torch.randn(7, 5)
    expected = torch.stack([network(x) for network in as_loop(experts, widths, **how)], 1)
    torch.testing.assert_close(experts(Dense(x)), expected)
    assert experts.out_width == widths[-1]


def test_an_expert_starts_the_same_whatever_others_there_are() -> None:
    many, one = Experts(5, NAMES, widths=[4, 3]), Experts(5, ["b"], widths=[4, 3])
    initialise(many, 3)
    initialise(one, 3)
    x = Dense(torch.randn(6, 5))
    torch.testing.assert_close(many(x)[:, 1:2], one(x))


@pytest.mark.parametrize("rows", [0, 1])
def test_no_row_and_one_row(rows: int) -> None:
    experts, x = Experts(5, NAMES, widths=[4, 3], norm="batch"), Dense(torch.randn(rows, 5))
    assert experts(x).shape == (rows, 3, 3)
    assert Gates(5, ["click", "like"], NAMES)(x).shape == (rows, 2, 3)


def test_a_batched_layer_may_have_no_bias_and_start_as_part_of_a_wider_one() -> None:
    layer = BatchedLinear(NAMES, 5, 300, bias=False, reads=[25, 100, 400])
    initialise(layer, 0)
    torch.testing.assert_close(layer(torch.zeros(2, 3, 5)), torch.zeros(2, 3, 300))
    highest = layer.weight.abs().amax((1, 2))
    torch.testing.assert_close(highest, torch.tensor([0.2, 0.1, 0.05]), rtol=0.02, atol=0)


def test_no_inputs_leave_the_bias() -> None:
    layer = Spread(0, NAMES, 4)
    torch.testing.assert_close(Dense(torch.zeros(2, 0)).project(layer), layer.bias.expand(2, 12))


def test_each_gate_weighs_what_it_sees() -> None:
    gates = Gates(5, ["click", "like"], NAMES, sees={"click": ["a", "c"], "like": NAMES})
    initialise(gates, 0)
    weights = gates(Dense(torch.randn(6, 5)))
    torch.testing.assert_close(weights.sum(-1), torch.ones(6, 2))
    assert (weights[:, 0, 1] == 0).all()
    assert (weights[:, 1] > 0).all()


def test_gates_are_softmaxes_of_linear_layers() -> None:
    gates, x = Gates(5, ["click", "like"], NAMES), torch.randn(6, 5)
    for i, weight in enumerate(gates.linear.weight.chunk(2)):
        bias = gates.linear.bias.chunk(2)[i]
        expected = (x @ weight.t() + bias).softmax(-1)
        torch.testing.assert_close(gates(Dense(x))[:, i], expected)


def test_gate_dropout_keeps_the_sum_and_rests_in_evaluation() -> None:
    gates, x = Gates(5, ["click"], NAMES, dropout=0.6), Dense(torch.randn(200, 5))
    weights = gates(x)
    torch.testing.assert_close(weights.sum(-1), torch.ones(200, 1))
    assert (weights == 0).any()
    gates.eval()
    assert (gates(x) > 0).all()


def test_mix_is_a_weighted_sum() -> None:
    weights, outputs = torch.rand(4, 2, 3), torch.rand(4, 3, 5)
    expected = sum(weights[:, :, j, None] * outputs[:, None, j] for j in range(3))
    torch.testing.assert_close(mix(weights, outputs), expected)
