import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import silu

from trimtab.errors import SettingsError
from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import initialise
from trimtab.trunks import HoME, HoMESettings
from trimtab.trunks.experts import Spread
from trimtab.trunks.home import Level

TASKS = ["click", "like", "view", "stay"]
GROUPS = {"act": ["click", "like"], "watch": ["view", "stay"]}
SEES = {
    "group/act": {"group/act", "shared"},
    "group/watch": {"group/watch", "shared"},
    "shared": {"group/act", "group/watch", "shared"},
    "task/click": {"task/click", "group/act", "shared"},
    "task/like": {"task/like", "group/act", "shared"},
    "task/view": {"task/view", "group/watch", "shared"},
    "task/stay": {"task/stay", "group/watch", "shared"},
}
Affine = tuple[Tensor, Tensor]


def inputs(x: Tensor) -> Inputs:
    scene = torch.zeros(len(x), dtype=torch.int64)
    return Inputs(x=Dense(x), own={}, first_order={}, scene=scene)


def build(**how: object) -> HoME:
    settings = HoMESettings.model_validate({"widths": [4, 3], "rank": 2, "groups": GROUPS} | how)
    trunk = settings.build(5, 0, {task: [task] for task in TASKS}, 1)
    initialise(trunk, 0)
    return trunk


def test_golden() -> None:
    """One task, width 1, one expert an owner; batch normalisation at rest, by hand."""
    trunk = HoME(1, {"click": "all"}, widths=[1, 1], rank=1).eval()
    for parameter in trunk.parameters():
        parameter.data.zero_()
    for level in (trunk.above, trunk.below):
        level.norm.norm.weight.data.fill_(1.0)
        level.norm.norm.eps = 0.0
    a = math.log(3) * 3 / 4  # silu(ln 3)
    # The group's expert reads v' = 1 * 2 sigmoid(ln 3) = 1.5; the shared one gives 0.
    trunk.above_down.weight.data[0] = 1.0
    trunk.above.up.weight.data[0] = math.log(3)
    trunk.above.linear.weight.data[0] = math.log(3) / 1.5
    # z_g = a / 2 + sigmoid(0) a = a, z_s = a / 2. Below: the task's expert over z_g gives a, the
    # group's 0, the shared one over z_s a.
    assert trunk.below.names == ["task/click/0", "group/all/0", "shared/0"]
    trunk.below.linear.weight.data.view(3)[:] = math.log(3) / a * torch.tensor([1.0, 0, 2])
    # 2 a / 3 from the gate, a / 2 from the self gate.
    out = trunk(inputs(torch.ones(1, 1)))
    assert out["click"].item() == pytest.approx(7 / 6 * a)


def apart(layer: Spread) -> list[Affine]:
    parts = zip(*(p.chunk(len(layer.names)) for p in (layer.weight, layer.bias)), strict=True)
    return [(weight.t(), bias) for weight, bias in parts]


def mixed(
    level: Level, layers: list[list[Affine]], x: dict[str, Tensor], gate_x: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Compute one level output by output and expert by expert."""
    (down, gates, self_gates), norm, each = layers, level.norm.norm, level.each
    experts = {}
    for i, name in enumerate(level.names):
        v = x[name.rsplit("/", 1)[0]]
        low = v @ down[i][0] + down[i][1]
        h = v * 2 * (low @ level.up.weight[i]).sigmoid() @ level.linear.weight[i]
        scale, shift, mean, variance = (
            part.chunk(len(level.names))[i]
            for part in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        )
        experts[name] = silu((h - mean) / (variance + norm.eps).sqrt() * scale + shift)
    z = {}
    for i, (output, v) in enumerate(gate_x.items()):
        logits = v @ gates[i][0] + gates[i][1]
        seen = [name for name in level.names if name.rsplit("/", 1)[0] in SEES[output]]
        weights = logits[:, [level.names.index(name) for name in seen]].softmax(1)
        own = v @ self_gates[i][0] + self_gates[i][1]
        own = own.softmax(1) if each > 1 else own.sigmoid()
        gated = sum(weights[:, [j]] * experts[name] for j, name in enumerate(seen))
        z[output] = gated + sum(own[:, [j]] * experts[f"{output}/{j}"] for j in range(each))
    return z


@pytest.mark.parametrize("experts", [1, 2])
def test_equal_to_a_loop_over_experts(experts: int) -> None:
    trunk, x = build(experts=experts).eval(), torch.randn(7, 5)
    for level in (trunk.above, trunk.below):
        level.norm.norm.running_mean.normal_()
        level.norm.norm.running_var.uniform_(0.5, 2)
    spread = (trunk.above_down, trunk.above_gates.linear, trunk.above_self_gates)
    inside = dict.fromkeys(["group/act", "group/watch", "shared"], x)
    z = mixed(trunk.above, [apart(layer) for layer in spread], inside, inside)
    group = {f"task/{task}": f"group/{g}" for g, tasks in GROUPS.items() for task in tasks}
    batched = (trunk.below_down, trunk.below_gates.linear, trunk.below_self_gates)
    layers = [list(zip(layer.weight, layer.bias, strict=True)) for layer in batched]
    reads = z | {task: z[group[task]] for task in group}
    gate_x = {task: torch.cat([z[group[task]], z["shared"]], 1) for task in group}
    expected = mixed(trunk.below, layers, reads, gate_x)
    out = trunk(inputs(x))
    assert list(out) == TASKS
    for task in TASKS:
        torch.testing.assert_close(out[task], expected[f"task/{task}"])


def test_a_task_trains_no_expert_of_another_task_or_group() -> None:
    trunk = build(experts=2)
    trunk(inputs(torch.randn(64, 5)))["click"].square().sum().backward()
    gradient = trunk.below.linear.weight.grad
    assert gradient is not None
    trained = {
        n.rsplit("/", 1)[0] for n, g in zip(trunk.below.names, gradient, strict=True) if g.any()
    }
    assert trained == SEES["task/click"]


def test_experts_have_one_scale_whatever_they_read() -> None:
    trunk, x = build(), torch.randn(200, 5)
    trunk.above.up.weight.data.zero_()
    for part in (trunk.above_gates.linear, trunk.above_self_gates):
        part.weight.data.zero_()
    first, second = (trunk(inputs(scale * x))["click"] for scale in (1, 1000))
    torch.testing.assert_close(first, second, atol=1e-3, rtol=1e-3)


def test_all_targets_are_one_group_by_default() -> None:
    trunk = build(groups=None)
    assert trunk.above.names == ["group/all/0", "shared/0"]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"act": ["click", "lik"], "watch": ["view", "stay"]}, "Did you mean 'like'?"),
        ({"act": ["click", "like"], "watch": ["view"]}, "'stay' is in no group"),
        ({"act": TASKS, "watch": ["stay"]}, "'stay' is named twice"),
        ({"act": TASKS, "watch": []}, r"trunk\.groups\.watch: no targets"),
    ],
)
def test_wrong_groups_are_refused(groups: dict[str, list[str]], message: str) -> None:
    settings = HoMESettings(groups=groups)
    with pytest.raises(SettingsError, match=message):
        settings.tasks(TASKS)
    with pytest.raises(SettingsError, match=message):
        settings.build(5, 0, {task: [task] for task in TASKS}, 1)


def test_a_task_in_two_groups_is_refused() -> None:
    settings = HoMESettings(groups=GROUPS)
    tasks = {"click": ["click"], "both": ["like", "view"], "stay": ["stay"]}
    with pytest.raises(SettingsError, match="'both' has targets in 'act', 'watch'"):
        settings.build(5, 0, tasks, 1)


@pytest.mark.parametrize("wrong", [{"widths": [4]}, {"widths": [4, 3, 2]}, {"rank": 0}], ids=str)
def test_what_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HoMESettings.model_validate(wrong)
