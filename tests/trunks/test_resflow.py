import pytest
import torch
from torch import Tensor

from trimtab.errors import SettingsError
from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import initialise
from trimtab.trunks import ResFlow, ResFlowSettings

TARGETS = ["click", "cart", "buy", "stay"]


def inputs(x: Tensor) -> Inputs:
    scene = torch.zeros(len(x), dtype=torch.int64)
    return Inputs(x=Dense(x), own={}, first_order={}, scene=scene)


def build(**how: object) -> ResFlow:
    settings = ResFlowSettings.model_validate({"widths": [4, 3, 2], "activation": "tanh"} | how)
    trunk = settings.build(5, 0, {target: [target] for target in TARGETS}, 1)
    initialise(trunk, 0)
    return trunk


def test_golden() -> None:
    """Two tasks of two layers of width 1, worked out by hand."""
    trunk = ResFlow(1, ["click", "buy"], ["click", "buy"], widths=[1, 1])
    first, (second,) = trunk.networks.first, trunk.networks.later
    first.weight.data = torch.tensor([[2.0], [1.0]])
    first.bias.data = torch.tensor([0.0, -3.0])
    second.weight.data = torch.tensor([3.0, 2.0]).view(2, 1, 1)
    second.bias.data = torch.tensor([0.0, 1.0]).view(2, 1)
    # x = 1. Click: relu(2) = 2, relu(6) = 6. Buy: relu(-2) + 2 = 2, relu(2 * 2 + 1) + 6 = 11.
    out = trunk(inputs(torch.ones(1, 1)))
    assert (out["click"].item(), out["buy"].item()) == (6, 11)


def loop(trunk: ResFlow, x: Tensor, chain: list[str]) -> dict[str, Tensor]:
    """Compute the formula layer by layer and task by task."""
    names, networks = trunk.order, trunk.networks
    h = dict.fromkeys(TARGETS, x)
    for layer in range(1 + len(networks.later)):
        before: dict[str, Tensor] = {}
        for i, task in [(names.index(task), task) for task in names]:
            if layer:
                batched = networks.later[layer - 1]
                weight, bias = batched.weight[i], batched.bias[i]
            else:
                weight = networks.first.weight.chunk(len(names))[i].t()
                bias = networks.first.bias.chunk(len(names))[i]
            before[task] = (h[task] @ weight + bias).tanh()
            if task in chain[1:]:
                before[task] = before[task] + before[chain[chain.index(task) - 1]]
        h = before
    return h


@pytest.mark.parametrize("chain", [None, ["click", "buy"], ["buy", "stay", "click"]], ids=str)
def test_equal_to_a_loop_over_tasks(chain: list[str] | None) -> None:
    trunk, x = build(chain=chain), torch.randn(7, 5)
    expected = loop(trunk, x, chain or TARGETS)
    out = trunk(inputs(x))
    assert list(out) == TARGETS
    for task in TARGETS:
        torch.testing.assert_close(out[task], expected[task])


def test_a_task_that_adds_nothing_is_the_one_before_it() -> None:
    trunk = build(chain=["click", "cart", "buy"])
    of_cart = slice(4, 8)
    trunk.networks.first.weight.data[of_cart] = 0
    trunk.networks.first.bias.data[of_cart] = 0
    for layer in trunk.networks.later:
        layer.weight.data[1] = 0
        layer.bias.data[1] = 0
    out = trunk(inputs(torch.randn(7, 5)))
    assert torch.equal(out["cart"], out["click"])
    assert not torch.equal(out["buy"], out["click"])


def test_nothing_flows_back_or_to_a_target_outside_the_chain() -> None:
    trunk = build(chain=["click", "cart", "buy"])
    x = torch.randn(7, 5)
    before = trunk(inputs(x))
    trunk.networks.first.bias.data[4:8] += 1  # of the cart
    after = trunk(inputs(x))
    changed = {task for task in TARGETS if not torch.equal(before[task], after[task])}
    assert changed == {"cart", "buy"}


@pytest.mark.parametrize("chain", [["click", "by"], ["click"], ["click", "click"]], ids=str)
def test_wrong_chains_are_refused(chain: list[str]) -> None:
    settings = ResFlowSettings(chain=chain)
    with pytest.raises(SettingsError, match=r"trunk\.chain"):
        settings.tasks(TARGETS)
    with pytest.raises(SettingsError, match=r"trunk\.chain"):
        settings.build(5, 0, {target: [target] for target in TARGETS}, 1)
