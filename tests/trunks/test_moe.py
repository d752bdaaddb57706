from math import log
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import initialise
from trimtab.trunks import MoE, MoESettings, SharedBottom


def inputs(x: torch.Tensor) -> Inputs:
    scene = torch.zeros(len(x), dtype=torch.int64)
    return Inputs(x=Dense(x), own={}, first_order={}, scene=scene)


def test_golden() -> None:
    """Two experts of one relu layer, weighed by softmax(x_0 log 3, 0)."""
    trunk = MoE(2, ["all"], experts=2, widths=[1])
    trunk.experts.first.weight.data = torch.tensor([[2.0, 0.0], [1.0, 2.0]])
    trunk.experts.first.bias.data = torch.tensor([0.0, 1.0])
    trunk.gates.linear.weight.data = torch.tensor([[log(3), 0.0], [0.0, 0.0]])
    trunk.gates.linear.bias.data = torch.zeros(2)
    # (1, 2): 3/4 * 2 + 1/4 * 6; (-1, 2): 1/4 * relu(-2) + 3/4 * 4; (0, -1): 1/2 * 0 + 1/2 * 0
    out = trunk(inputs(torch.tensor([[1.0, 2.0], [-1.0, 2.0], [0.0, -1.0]])))
    torch.testing.assert_close(out["all"], torch.tensor([[3.0], [3.0], [0.0]]))


def test_is_a_loop_over_experts() -> None:
    trunk, x = MoE(5, ["all"], experts=3, widths=[4]), torch.randn(7, 5)
    initialise(trunk, 0)
    first, gate = trunk.experts.first, trunk.gates.linear
    weights = (x @ gate.weight.t() + gate.bias).softmax(1)
    expected = torch.zeros(7, 4)
    for j, (weight, bias) in enumerate(
        zip(first.weight.chunk(3), first.bias.chunk(3), strict=True)
    ):
        expected = expected + weights[:, j : j + 1] * (x @ weight.t() + bias).relu()
    torch.testing.assert_close(trunk(inputs(x))["all"], expected)


def test_one_expert_is_a_shared_bottom() -> None:
    moe, bottom = MoE(5, ["all"], experts=1, widths=[4, 3]), SharedBottom(5, ["all"], widths=[4, 3])
    layers: list[Any] = list(bottom.bottom)
    later: Any = moe.experts.later[0]
    moe.experts.first.load_state_dict(layers[0].state_dict())
    later.weight.data[0], later.bias.data[0] = layers[2].weight.data.t(), layers[2].bias.data
    x = inputs(torch.randn(6, 5))
    torch.testing.assert_close(moe(x)["all"], bottom(x)["all"])


def test_every_task_has_the_same_representation() -> None:
    assert MoESettings().tasks(["a", "b"]) == {"a": "all", "b": "all"}
    out = MoESettings().build(3, 0, {"a": ["a"], "b": ["b"]}, 1)(inputs(torch.randn(2, 3)))
    assert out["b"] is out["a"]


def test_settings_reach_the_network() -> None:
    settings = MoESettings(
        experts=3, widths=[5], activation="tanh", dropout=0.25, norm="batch", gate_dropout=0.1
    )
    trunk = settings.build(4, 0, {"all": []}, 1)
    after: Any = trunk.experts.after[0]
    names = [type(layer).__name__ for layer in after]
    assert names == ["BatchNormEach", "Tanh", "Dropout"]
    assert trunk.experts.first.weight.shape == (15, 4)
    assert trunk.gates.dropout == 0.1
    assert trunk.out_width == 5


@pytest.mark.parametrize(
    "wrong", [{"experts": 0}, {"widths": []}, {"gate_dropout": 1.0}, {"expert": 3}], ids=str
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MoESettings.model_validate(wrong)
