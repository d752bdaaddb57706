from math import log
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import MLP, initialise
from trimtab.trunks import MMoE, MMoESettings, MoE

TASKS = ["click", "like"]


def inputs(x: torch.Tensor) -> Inputs:
    scene = torch.zeros(len(x), dtype=torch.int64)
    return Inputs(x=Dense(x), own={}, first_order={}, scene=scene)


def test_golden() -> None:
    """Experts relu(2 a) and relu(a + 2 b + 1); gates softmax(log 3, 0) and softmax(b log 2, 0)."""
    trunk = MMoE(2, TASKS, experts=2, widths=[1])
    trunk.experts.first.weight.data = torch.tensor([[2.0, 0.0], [1.0, 2.0]])
    trunk.experts.first.bias.data = torch.tensor([0.0, 1.0])
    gates = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, log(2)], [0.0, 0.0]])
    trunk.gates.linear.weight.data = gates
    trunk.gates.linear.bias.data = torch.tensor([log(3), 0.0, 0.0, 0.0])
    # (1, 2): experts 2, 6; gates 3/4, 1/4 and 4/5, 1/5. (2, -1): experts 4, 1; like 1/3, 2/3.
    out = trunk(inputs(torch.tensor([[1.0, 2.0], [2.0, -1.0]])))
    torch.testing.assert_close(out["click"], torch.tensor([[3.0], [3.25]]))
    torch.testing.assert_close(out["like"], torch.tensor([[2.8], [2.0]]))


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_is_a_loop_over_experts_and_gates(norm: Any) -> None:
    how: dict[str, Any] = {"activation": "silu", "norm": norm}
    trunk = MMoE(5, TASKS, experts=3, widths=[6, 4], **how)
    initialise(trunk, 0)
    x, first = torch.randn(7, 5), trunk.experts.first
    later: Any = trunk.experts.later[0]
    outputs = []
    for j in range(3):
        network = MLP(5, [6, 4], **how)
        a, b = (layer for layer in network if type(layer) is nn.Linear)
        a.weight.data, a.bias.data = first.weight.data.chunk(3)[j], first.bias.data.chunk(3)[j]
        b.weight.data, b.bias.data = later.weight.data[j].t(), later.bias.data[j]
        outputs.append(network(x))
    gates = trunk.gates.linear
    out = trunk(inputs(x))
    for k, task in enumerate(TASKS):
        weights = (x @ gates.weight.chunk(2)[k].t() + gates.bias.chunk(2)[k]).softmax(1)
        expected = sum(weights[:, j : j + 1] * outputs[j] for j in range(3))
        torch.testing.assert_close(out[task], expected)


def test_equal_gates_are_one_gate() -> None:
    mmoe, moe = (trunk(5, TASKS, experts=3, widths=[4]) for trunk in (MMoE, MoE))
    mmoe.experts.load_state_dict(moe.experts.state_dict())
    gate = moe.gates.linear
    mmoe.gates.linear.weight.data = gate.weight.data.repeat(2, 1)
    mmoe.gates.linear.bias.data = gate.bias.data.repeat(2)
    x = inputs(torch.randn(6, 5))
    torch.testing.assert_close(mmoe(x), moe(x))


def test_a_task_trains_its_gate_and_every_expert() -> None:
    trunk = MMoE(5, TASKS, experts=3, widths=[4])
    trunk(inputs(torch.randn(20, 5)))["like"].square().sum().backward()
    assert trunk.gates.linear.weight.grad is not None
    assert trunk.experts.first.weight.grad is not None
    click, like = trunk.gates.linear.weight.grad.chunk(2)
    assert not click.any()
    assert like.any(1).all()
    assert all(part.any() for part in trunk.experts.first.weight.grad.chunk(3))


def test_a_task_starts_the_same_whatever_others_there_are() -> None:
    many, one = (MMoE(5, tasks, experts=3, widths=[4]) for tasks in (TASKS, ["like"]))
    initialise(many, 3)
    initialise(one, 3)
    x = inputs(torch.randn(6, 5))
    torch.testing.assert_close(many(x)["like"], one(x)["like"])


def test_every_target_has_a_gate() -> None:
    assert MMoESettings().tasks(TASKS) == {"click": "click", "like": "like"}


def test_settings_reach_the_network() -> None:
    settings = MMoESettings(
        experts=3, widths=[5], activation="tanh", dropout=0.25, norm="layer", gate_dropout=0.1
    )
    trunk = settings.build(4, 0, {"click": ["click"], "like": ["like"]}, 1)
    after: Any = trunk.experts.after[0]
    names = [type(layer).__name__ for layer in after]
    assert names == ["LayerNormEach", "Tanh", "Dropout"]
    assert trunk.experts.first.weight.shape == (15, 4)
    assert trunk.gates.linear.weight.shape == (6, 4)
    assert trunk.gates.dropout == 0.1
    assert trunk.out_width == 5


@pytest.mark.parametrize(
    "wrong", [{"experts": 0}, {"widths": []}, {"gate_dropout": 1.0}, {"expert": 3}], ids=str
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MMoESettings.model_validate(wrong)
