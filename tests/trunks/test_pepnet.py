import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import initialise
from trimtab.trunks import PEPNet, PEPNetSettings
from trimtab.trunks.pepnet import Gate

TASKS = ["click", "like", "stay"]
SCENES, WIDTH = 2, 4


def inputs(x: Tensor, scene: list[int] | Tensor) -> Inputs:
    return Inputs(x=Dense(x), own={}, first_order={}, scene=torch.as_tensor(scene).long())


def build(**how: object) -> PEPNet:
    """Build a trunk whose scenes differ, as they do once trained."""
    wanted = {"widths": [5, 3], "gate_width": 6, "activation": "tanh"} | how
    settings = PEPNetSettings.model_validate(wanted)
    trunk = settings.build(WIDTH, 0, {task: [task] for task in TASKS}, SCENES)
    initialise(trunk, 0)
    for parameter in trunk.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return trunk


def set_gate(gate: Gate, *, hidden: float, scene: list[float], out: list[float]) -> None:
    """Set a gate of one hidden value: ``2 sigmoid(out relu(hidden p_1 + scene))``."""
    gate.hidden.weight.data.zero_()
    gate.hidden.weight.data[0, 0] = hidden
    gate.hidden.bias.data.zero_()
    gate.scene.data = torch.tensor(scene).view(-1, 1)
    gate.out.weight.data = torch.tensor(out).view(-1, 1)
    gate.out.bias.data.zero_()


def test_golden() -> None:
    """One layer a task over one input, worked out by hand."""
    trunk = PEPNet(1, ["click", "like"], SCENES, widths=[1], gate_width=1)
    # With ln 3 in the exponent a gate is 2 * 3 / 4 = 1.5; with -ln 3 it is .5; with 0 it is 1.
    log3 = math.log(3.0)
    set_gate(trunk.input_gate, hidden=1.0, scene=[0.0, -2.0], out=[log3 / 2])
    set_gate(trunk.gates[0], hidden=1.0, scene=[0.0, 1.0], out=[log3 / 3, -log3 / 3])
    trunk.first.weight.data = torch.tensor([[2.0], [-1.0]])
    trunk.first.bias.data = torch.tensor([1.0, 5.0])
    out = trunk(inputs(torch.tensor([[2.0], [2.0]]), [0, 1]))
    # Scene 0: relu(2) -> 1.5, x' = 3; relu(3) -> 1.5 and .5; 1.5 (2 * 3 + 1), .5 (5 - 3).
    # Scene 1: relu(2 - 2) -> 1, x' = 2; relu(2 + 1) -> 1.5 and .5; 1.5 (2 * 2 + 1), .5 (5 - 2).
    torch.testing.assert_close(out["click"], torch.tensor([[10.5], [7.5]]))
    torch.testing.assert_close(out["like"], torch.tensor([[1.0], [1.5]]))


def factors(gate: Gate, prior: Tensor, scene: Tensor, name: int) -> Tensor:
    hidden = (linear(prior, gate.hidden.weight, gate.hidden.bias) + gate.scene[scene]).relu()
    names = len(gate.out.names)
    weight, bias = (p.chunk(names)[name] for p in (gate.out.weight, gate.out.bias))
    return 2 * linear(hidden, weight, bias).sigmoid()


def loop(trunk: PEPNet, x: Tensor, scene: Tensor) -> dict[str, Tensor]:
    """Compute the formula task by task and layer by layer."""
    scaled = factors(trunk.input_gate, x.detach(), scene, 0) * x
    out = {}
    for k, task in enumerate(trunk.tasks):
        weight, bias = (p.chunk(len(TASKS))[k] for p in (trunk.first.weight, trunk.first.bias))
        h = linear(scaled, weight, bias).tanh()
        h = h * factors(trunk.gates[0], scaled.detach(), scene, k)
        for layer, gate in zip(trunk.later, trunk.gates[1:], strict=True):
            h = (h @ layer.weight[k] + layer.bias[k]).tanh()  # type: ignore[index]
            h = h * factors(gate, scaled.detach(), scene, k)
        out[task] = h
    return out


@pytest.mark.parametrize("widths", [[3], [5, 3], [5, 4, 3]], ids=str)
def test_equal_to_a_loop_over_tasks(widths: list[int]) -> None:
    trunk = build(widths=widths)
    x, scene = torch.randn(7, WIDTH, requires_grad=True), torch.arange(7) % SCENES
    out, expected = trunk(inputs(x, scene)), loop(trunk, x, scene)
    leaves = [*trunk.parameters(), x]
    for task in TASKS:
        torch.testing.assert_close(out[task], expected[task])
        found, wanted = (
            torch.autograd.grad(h[task].square().sum(), leaves, retain_graph=True)
            for h in (out, expected)
        )
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b)


def test_gates_do_not_train_what_they_read() -> None:
    """The gradient of x is that of a network whose gates are constants."""
    trunk, scene = build(activation="identity", widths=[3]), torch.arange(6) % SCENES
    x = torch.randn(6, WIDTH, requires_grad=True)
    out = trunk(inputs(x, scene))["like"]
    (found,) = torch.autograd.grad(out.sum(), x)
    outer = factors(trunk.input_gate, x.detach(), scene, 0).detach()
    inner = factors(trunk.gates[0], (outer * x).detach(), scene, 1).detach()
    expected = outer * (inner @ trunk.first.weight.chunk(len(TASKS))[1])
    torch.testing.assert_close(found, expected)


def test_gates_lie_between_0_and_2_and_are_1_where_they_know_nothing() -> None:
    gate = Gate(WIDTH, 6, TASKS, 5, SCENES)
    scene = torch.arange(40) % SCENES
    prior = Dense(torch.randn(40, WIDTH) * 10)
    out = gate(prior, scene)
    assert out.shape == (40, len(TASKS), 5)
    assert ((out > 0) & (out < 2)).all()
    gate.out.weight.data.zero_()
    gate.out.bias.data.zero_()
    assert torch.equal(gate(prior, scene), torch.ones(40, len(TASKS), 5))


def test_the_scene_scales_the_network() -> None:
    trunk, x = build(), torch.randn(5, WIDTH)
    first, second = (trunk(inputs(x, [scene] * 5)) for scene in range(SCENES))
    assert all((first[task] != second[task]).any() for task in TASKS)


def test_a_scene_without_rows_is_not_trained() -> None:
    trunk = build()
    out = trunk(inputs(torch.randn(5, WIDTH), [1] * 5))
    torch.stack(list(out.values())).square().sum().backward()
    for gate in (trunk.input_gate, *trunk.gates):
        assert gate.scene.grad is not None
        assert gate.scene.grad[1].any()
        assert not gate.scene.grad[0].any()


def test_a_task_starts_the_same_whatever_others_there_are() -> None:
    x = inputs(torch.randn(4, WIDTH), [0, 1, 0, 1])
    many, one = (
        PEPNetSettings().build(WIDTH, 0, {task: [task] for task in tasks}, SCENES)
        for tasks in (TASKS, ["like"])
    )
    initialise(many, 3)
    initialise(one, 3)
    torch.testing.assert_close(many(x)["like"], one(x)["like"])


def test_each_target_is_a_task() -> None:
    assert PEPNetSettings().tasks(["a", "b"]) == {"a": "a", "b": "b"}
