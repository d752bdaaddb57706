from typing import Any

import pytest
import torch
from torch import nn

from trimtab.layers import MLP, initialise
from trimtab.trunks.levels import ExpertsEach, GatesEach

NAMES = ["a", "b", "c"]


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_experts_are_a_loop_over_networks(norm: Any, rows: int) -> None:
    experts = ExpertsEach(5, NAMES, widths=[4, 3], activation="silu", norm=norm)
    initialise(experts, 0)
    x = torch.randn(rows, len(NAMES), 5)
    out = experts(x)
    assert out.shape == (rows, len(NAMES), experts.out_width)
    layers: list[Any] = [experts.first, *experts.later]
    for j in range(len(NAMES)):
        network = MLP(5, [4, 3], activation="silu", norm=norm)
        linear = [layer for layer in network if type(layer) is nn.Linear]
        for layer, theirs in zip(layers, linear, strict=True):
            theirs.weight.data, theirs.bias.data = layer.weight.data[j].t(), layer.bias.data[j]
        torch.testing.assert_close(out[:, j], network(x[:, j]))


def test_each_gate_reads_its_own_input() -> None:
    gates = GatesEach(5, ["click", "like"], NAMES, sees={"click": ["a", "c"], "like": NAMES})
    initialise(gates, 0)
    x = torch.randn(6, 2, 5)
    weights = gates(x)
    weight, bias = gates.linear.weight, gates.linear.bias
    assert bias is not None
    like = (x[:, 1] @ weight[1] + bias[1]).softmax(1)
    click = (x[:, 0] @ weight[0] + bias[0])[:, [0, 2]].softmax(1)
    torch.testing.assert_close(weights[:, 1], like)
    torch.testing.assert_close(weights[:, 0, [0, 2]], click)
    assert (weights[:, 0, 1] == 0).all()


def test_gate_dropout_keeps_the_sum() -> None:
    gates, x = GatesEach(5, ["click"], NAMES, dropout=0.6), torch.randn(200, 1, 5)
    weights = gates(x)
    torch.testing.assert_close(weights.sum(-1), torch.ones(200, 1))
    assert (weights == 0).any()
    assert (gates.eval()(x) > 0).all()
