import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import initialise
from trimtab.trunks import AdaTT, AdaTTSettings

TASKS = ["click", "buy", "stay"]


def inputs(x: Tensor) -> Inputs:
    scene = torch.zeros(len(x), dtype=torch.int64)
    return Inputs(x=Dense(x), own={}, first_order={}, scene=scene)


def build(**how: object) -> AdaTT:
    settings = AdaTTSettings.model_validate({"widths": [4, 3, 2], "activation": "tanh"} | how)
    trunk = settings.build(5, 0, {task: [task] for task in TASKS}, 1)
    initialise(trunk, 0)
    return trunk


def test_golden() -> None:
    """Two tasks, an expert each, two levels of width 1, worked out by hand."""
    trunk = AdaTT(1, ["click", "buy"], widths=[1, 1])
    for parameter in trunk.parameters():
        parameter.data.zero_()
    trunk.experts.first.weight.data = torch.tensor([[2.0], [3.0]])
    trunk.experts.first.bias.data = torch.tensor([0.0, 1.0])
    (second,) = trunk.experts.later
    second.weight.data.fill_(1.0)
    second.bias.data = torch.tensor([0.0, -1.0]).view(2, 1)
    trunk.gates[0].linear.bias.data[0, 0] = math.log(3)
    # x = 1. Experts: 2, 4; each gate halves: 3 + 2 = 5, 3 + 4 = 7.
    # Experts: 5, 6; gates (3, 1) / 4 and (1, 1) / 2: 5.25 + 5, 5.5 + 6.
    out = trunk(inputs(torch.ones(1, 1)))
    assert out["click"].item() == pytest.approx(10.25)
    assert out["buy"].item() == pytest.approx(11.5)


def loop(trunk: AdaTT, x: Tensor, own: int, shared: int) -> dict[str, Tensor]:
    """Compute the formula level by level, unit by unit and expert by expert."""
    owners = [i for i in range(len(TASKS)) for _ in range(own)] + [len(TASKS)] * shared
    h = [x] * (len(TASKS) + 1)
    for level, native in enumerate(trunk.native):
        units = len(native.own)
        if level:
            experts, gates = trunk.experts.later[level - 1], trunk.gates[level - 1].linear
            weights, biases = experts.weight.mT, experts.bias
            gate_weights, gate_biases = gates.weight.mT, gates.bias
        else:
            experts, gates = trunk.experts.first, trunk.first_gates.linear
            weights, biases = (p.chunk(len(owners)) for p in (experts.weight, experts.bias))
            gate_weights, gate_biases = (p.chunk(units) for p in (gates.weight, gates.bias))
        outputs = [linear(h[o], weights[j], biases[j]).tanh() for j, o in enumerate(owners)]
        fused = []
        for unit in range(units):
            share = linear(h[unit], gate_weights[unit], gate_biases[unit]).softmax(1)
            total = sum(share[:, [j]] * output for j, output in enumerate(outputs))
            mine = [j for j, owner in enumerate(owners) if owner == unit]
            fused.append(total + sum(native.weight[j] * outputs[j] for j in mine))
        h = fused
    return dict(zip(TASKS, h, strict=True))


@pytest.mark.parametrize("own", [1, 2])
@pytest.mark.parametrize("shared", [0, 1, 2])
def test_equal_to_a_loop_over_experts(own: int, shared: int) -> None:
    trunk, x = build(experts=own, shared_experts=shared), torch.randn(7, 5)
    for native in trunk.native:
        if list(native.parameters()):
            native.weight.data.normal_()
    expected, out = loop(trunk, x, own, shared), trunk(inputs(x))
    assert list(out) == TASKS
    for task in TASKS:
        torch.testing.assert_close(out[task], expected[task])


@pytest.mark.parametrize(("own", "shared"), [(2, 0), (2, 1), (1, 2), (1, 1)])
def test_every_parameter_is_trained(own: int, shared: int) -> None:
    trunk = build(experts=own, shared_experts=shared)
    sum(x.square().sum() for x in trunk(inputs(torch.randn(64, 5))).values()).backward()
    for name, parameter in trunk.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_one_expert_a_unit_is_its_own_residual() -> None:
    assert not list(build(experts=1).native.parameters())
    assert not list(build(experts=1, shared_experts=1).native.parameters())
    assert [p.tolist() for p in build(experts=2).native.parameters()] == [[0.5] * 6] * 3


def test_a_task_that_trusts_no_other_keeps_its_own() -> None:
    """With a gate on its own expert alone, a level doubles it: gate and residual."""
    trunk = AdaTT(5, TASKS, widths=[4])
    trunk.first_gates.linear.weight.data.zero_()
    trunk.first_gates.linear.bias.data = 100 * torch.eye(3).flatten()
    x = Dense(torch.randn(7, 5))
    out = torch.stack(list(trunk(inputs(x.dense)).values()), 1)
    torch.testing.assert_close(out, 2 * trunk.experts(x))
