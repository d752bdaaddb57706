import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from trimtab.errors import SettingsError
from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import initialise
from trimtab.trunks import AITM, AITMSettings

TARGETS = ["click", "cart", "buy", "stay"]


def inputs(x: Tensor) -> Inputs:
    scene = torch.zeros(len(x), dtype=torch.int64)
    return Inputs(x=Dense(x), own={}, first_order={}, scene=scene)


def build(**how: object) -> AITM:
    settings = AITMSettings.model_validate({"widths": [4, 3], "activation": "tanh"} | how)
    trunk = settings.build(5, 0, {target: [target] for target in TARGETS}, 1)
    initialise(trunk, 0)
    return trunk


def test_golden() -> None:
    """Eq. 5-9 by hand, k = 4, with h1 and h2 the identity and h3 the constant (ln 3, 0, 0, 0)."""
    trunk = AITM(1, ["click", "buy"], ["click", "buy"], widths=[4], activation="identity")
    for parameter in trunk.parameters():
        parameter.data.zero_()
    trunk.bottoms.first.weight.data[:, 0] = torch.tensor([1.0, 0, 0, 0, 0, 1, 0, 0])
    trunk.links["buy"].weight.data = 2 * torch.eye(4)
    trunk.attention.weight.data[:8] = torch.eye(4).repeat(2, 1)
    trunk.attention.bias.data[8] = math.log(3)
    # x = 1: q = (1, 0, 0, 0) and (0, 1, 0, 0), p = (2, 0, 0, 0); <h2, h3> / 2 = ln 3 and 0.
    out = trunk(inputs(torch.ones(1, 1)))
    assert out["click"].tolist() == [[1, 0, 0, 0]]
    assert out["buy"].tolist() == [pytest.approx([0.75 * 2, 0.25, 0, 0])]


def loop(trunk: AITM, x: Tensor) -> dict[str, Tensor]:
    """Compute the formula task by task."""
    (later,) = trunk.bottoms.later
    z = {}
    for i, task in enumerate(trunk.tasks):
        first = trunk.bottoms.first
        weight, bias = (p.chunk(len(trunk.tasks))[i] for p in (first.weight, first.bias))
        z[task] = (linear(x, weight, bias).tanh() @ later.weight[i] + later.bias[i]).tanh()
    weight, bias = (p.chunk(3) for p in (trunk.attention.weight, trunk.attention.bias))
    for before, task in zip(trunk.chain, trunk.chain[1:], strict=False):
        both = [trunk.links[task](z[before]), z[task]]
        h1, h2, h3 = ([linear(u, weight[j], bias[j]) for u in both] for j in range(3))
        power = [((a * b).sum(1) / 3**0.5).exp() for a, b in zip(h2, h3, strict=True)]
        parts = [(e / sum(power)).unsqueeze(1) * v for e, v in zip(power, h1, strict=True)]
        z[task] = parts[0] + parts[1]
    return z


@pytest.mark.parametrize("chain", [None, ["click", "buy"], ["buy", "stay", "click"]], ids=str)
def test_equal_to_a_loop_over_tasks(chain: list[str] | None) -> None:
    trunk, x = build(chain=chain), torch.randn(7, 5)
    expected = loop(trunk, x)
    out = trunk(inputs(x))
    assert list(out) == TARGETS
    for task in TARGETS:
        torch.testing.assert_close(out[task], expected[task])


def test_a_task_is_told_what_came_before_it_and_nothing_else() -> None:
    trunk = build(chain=["click", "cart", "buy"])
    x = torch.randn(7, 5)
    before = trunk(inputs(x))
    trunk.bottoms.later[0].bias.data[1] += 1  # of the cart
    after = trunk(inputs(x))
    changed = {task for task in TARGETS if not torch.equal(before[task], after[task])}
    assert changed == {"cart", "buy"}


def test_what_is_shared_is_what_two_tasks_train() -> None:
    trunk = build(chain=["click", "cart", "buy"])
    shared = {id(parameter) for parameter in trunk.shared_parameters()}
    own = {name for name, p in trunk.named_parameters() if id(p) not in shared}
    assert own == {"links.buy.weight", "links.buy.bias"}
    two = build(chain=["click", "buy"])
    assert list(two.shared_parameters()) == list(two.bottoms.parameters())


def test_one_task_holds_nothing_to_transfer_with() -> None:
    trunk = AITMSettings().build(5, 0, {"click": ["click"]}, 1)
    assert list(trunk.parameters()) == list(trunk.bottoms.parameters())


def test_targets_of_one_task_are_one_step_of_the_chain() -> None:
    settings = AITMSettings(chain=["click", "like", "buy"])
    trunk = settings.build(5, 0, {"look": ["click", "like"], "act": ["buy"]}, 1)
    assert trunk.chain == ["look", "act"]


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (["click", "by"], "no target named 'by'. Did you mean 'buy'?"),
        (["click", "buy", "click"], "'click' is named twice"),
        (["click"], r"found \['click'\], expected two targets or more"),
        ([], "expected two targets or more"),
    ],
)
def test_wrong_chains_are_refused(chain: list[str], message: str) -> None:
    settings = AITMSettings(chain=chain)
    with pytest.raises(SettingsError, match=r"trunk\.chain: .*" + message):
        settings.tasks(TARGETS)
    with pytest.raises(SettingsError, match=message):
        settings.build(5, 0, {target: [target] for target in TARGETS}, 1)


def test_a_chain_within_one_task_is_refused() -> None:
    settings = AITMSettings(chain=["click", "buy"])
    with pytest.raises(SettingsError, match="all its targets are in the task 'all'"):
        settings.build(5, 0, {"all": ["click", "buy"], "stay": ["stay"]}, 1)
