import pytest
import torch
from torch import Tensor, nn

from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import initialise
from trimtab.trunks import STAR, STARSettings
from trimtab.trunks.star import PartitionedNorm

SCENES, WIDTH = 3, 4


def inputs(x: Tensor, scene: list[int] | Tensor) -> Inputs:
    return Inputs(x=Dense(x), own={}, first_order={}, scene=torch.as_tensor(scene).long())


def build(**how: object) -> STAR:
    """Build a trunk whose scenes differ, as they do once trained."""
    settings = STARSettings.model_validate({"widths": [5, 3], "activation": "tanh"} | how)
    trunk = settings.build(WIDTH, 0, {"all": ["click", "like"]}, SCENES)
    initialise(trunk, 0)
    for parameter in trunk.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return trunk


def test_golden() -> None:
    """One layer of two inputs worked out by hand, with an auxiliary network of one layer."""
    trunk = STAR(2, ["all"], 2, widths=[1], auxiliary=[])
    (layer,) = trunk.layers
    layer.shared.weight.data = torch.tensor([[1.0, -2.0]])
    layer.shared.bias.data = torch.tensor([0.5])
    layer.scene_weight.data = torch.tensor([[[2.0, 1.0]], [[0.0, -1.0]]]) - 1
    layer.scene_bias.data = torch.tensor([[1.0], [-1.0]])
    trunk.auxiliary.first.weight.data = torch.tensor([[0.5, 0.5]])
    trunk.auxiliary.first.bias.data = torch.tensor([1.0])
    trunk.auxiliary.scene.data = torch.tensor([[0.0], [-9.0]])
    # Scene 0: relu(2 x1 - 2 x2 + 1.5); scene 1: relu(2 x2 - .5); beside them (x1 + x2) / 2 + 1,
    # less 9 in scene 1.
    x = torch.tensor([[3.0, 1.0], [3.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
    out = trunk(inputs(x, [1, 0, 0, 1]))["all"]
    assert torch.equal(out, torch.tensor([[1.5 - 6], [5.5 + 3], [0.0 + 2], [0.0 - 8]]))


def loop(trunk: STAR, x: Tensor, scene: Tensor) -> Tensor:
    """Compute the formula row by row, without normalisation."""
    rows = []
    for row, s in zip(x, scene.tolist(), strict=True):
        h = row
        for layer in trunk.layers:
            weight = layer.shared.weight * (1 + layer.scene_weight[s])
            h = (weight @ h + layer.shared.bias + layer.scene_bias[s]).tanh()
        side = trunk.auxiliary.first(row) + trunk.auxiliary.scene[s]
        for linear in trunk.auxiliary.later:
            side = linear(side.tanh())
        rows.append(h + side)
    return torch.stack(rows)


@pytest.mark.parametrize("auxiliary", [[], [4], [4, 2]], ids=str)
def test_equal_to_a_loop_over_rows(auxiliary: list[int]) -> None:
    trunk = build(auxiliary=auxiliary)
    x, scene = torch.randn(9, WIDTH, requires_grad=True), torch.tensor([2, 0, 0, 1, 2, 2, 0, 1, 0])
    out, expected = trunk(inputs(x, scene))["all"], loop(trunk, x, scene)
    torch.testing.assert_close(out, expected)
    leaves = [*trunk.parameters(), x]
    found, wanted = (torch.autograd.grad(h.square().sum(), leaves) for h in (out, expected))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("norm", ["none", "partitioned"])
def test_a_scene_without_rows_or_with_one(norm: str) -> None:
    trunk, x = build(norm=norm), torch.randn(5, WIDTH)
    for scene in ([1, 1, 1, 1, 1], [0, 0, 2, 0, 0]):
        out = trunk(inputs(x, scene))["all"]
        assert out.isfinite().all()
        assert out.shape == (5, 3)
    assert trunk(inputs(x[:1], [2]))["all"].isfinite().all()
    assert trunk(inputs(x[:0], []))["all"].shape == (0, 3)


def test_scenes_start_as_the_shared_network() -> None:
    trunk = STARSettings(widths=[5, 3]).build(WIDTH, 0, {"all": ["a"]}, SCENES)
    initialise(trunk, 0)
    x = torch.randn(6, WIDTH)
    outs = [trunk(inputs(x, [scene] * 6))["all"] for scene in range(SCENES)]
    first, second = (layer.shared for layer in trunk.layers)
    plain = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())(x)
    side = trunk.auxiliary(Dense(x), torch.zeros(6, dtype=torch.int64))
    for out in outs:
        torch.testing.assert_close(out, plain + side)


def test_a_row_trains_its_own_scene_and_what_is_shared() -> None:
    trunk = build(norm="partitioned")
    trunk(inputs(torch.randn(6, WIDTH), [1] * 6))["all"].square().sum().backward()
    for name, parameter in trunk.named_parameters():
        assert parameter.grad is not None, name
        if "scene" in name:
            assert parameter.grad[1].any(), name
            assert not parameter.grad[[0, 2]].any(), name
        else:
            assert parameter.grad.any(), name


def test_partitioned_normalisation_is_that_of_each_scene() -> None:
    """Mean and variance of the scene's own rows, and in evaluation their running ones."""
    norm = PartitionedNorm(WIDTH, SCENES)
    for parameter in norm.parameters():
        parameter.data = torch.randn_like(parameter)
    running = [(torch.zeros(WIDTH), torch.ones(WIDTH)) for _ in range(SCENES)]
    for _ in range(3):
        for scene in (0, 2):
            x = torch.randn(8, WIDTH) * (1 + scene) + scene
            scale = norm.weight * norm.scene_weight[scene]
            shift = norm.bias + norm.scene_bias[scene]
            mean, variance = x.mean(0), x.var(0, correction=0)
            expected = scale * (x - mean) / (variance + 1e-5).sqrt() + shift
            torch.testing.assert_close(norm(x, scene), expected)
            old = running[scene]
            running[scene] = (0.9 * old[0] + 0.1 * mean, 0.9 * old[1] + 0.1 * x.var(0))
    x = torch.randn(5, WIDTH)
    alone = [norm(x[:1], scene) for scene in range(SCENES)]
    norm.eval()
    for scene, (mean, variance) in enumerate(running):
        scale = norm.weight * norm.scene_weight[scene]
        shift = norm.bias + norm.scene_bias[scene]
        expected = scale * (x - mean) / (variance + 1e-5).sqrt() + shift
        torch.testing.assert_close(norm(x, scene), expected)
        torch.testing.assert_close(alone[scene], expected[:1])


def test_in_evaluation_rows_do_not_see_each_other() -> None:
    trunk = build(norm="partitioned")
    x, scene = torch.randn(12, WIDTH), torch.arange(12) % SCENES
    trunk(inputs(x, scene))
    trunk.eval()
    out = trunk(inputs(x, scene))["all"]
    torch.testing.assert_close(trunk(inputs(x[4:6], scene[4:6]))["all"], out[4:6])


def test_all_targets_share_one_task() -> None:
    assert STARSettings().tasks(["a", "b"]) == {"a": "all", "b": "all"}


def test_default_widths_are_those_of_the_shared_bottom() -> None:
    trunk = STARSettings().build(10, 0, {"all": ["a"]}, 2)
    assert [tuple(layer.scene_weight.shape) for layer in trunk.layers] == [
        (2, 64, 10),
        (2, 32, 64),
        (2, 16, 32),
    ]
    assert trunk.out_width == 16
