from math import log
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import initialise
from trimtab.trunks import PLE, PLESettings

TASKS = ["click", "like"]


def inputs(x: Tensor) -> Inputs:
    scene = torch.zeros(len(x), dtype=torch.int64)
    return Inputs(x=Dense(x), own={}, first_order={}, scene=scene)


def golden(levels: int) -> PLE:
    """Return first-level experts x, 2x and 3x, and gates 3/4, 1/4 of click and 1/4, 3/4 of like."""
    trunk = PLE(1, TASKS, experts=1, shared_experts=1, levels=levels, widths=[1])
    trunk.experts.first.weight.data = torch.tensor([[1.0], [2.0], [3.0]])
    trunk.experts.first.bias.data = torch.zeros(3)
    trunk.gates.linear.weight.data.zero_()
    # What a gate does not see is 9: it must not matter.
    gates = [[log(3), 9.0, 0.0], [9.0, 0.0, log(3)], [0.0, 0.0, 0.0]][: levels + 1]
    trunk.gates.linear.bias.data = torch.tensor(gates).flatten()
    return trunk


def test_golden_of_one_level() -> None:
    """CGC at x = 2: experts 2, 4 and 6; 3/4 * 2 + 1/4 * 6 and 1/4 * 4 + 3/4 * 6."""
    out = golden(1)(inputs(torch.tensor([[2.0]])))
    torch.testing.assert_close(out, {"click": torch.tensor([[3.0]]), "like": torch.tensor([[5.5]])})


def test_golden_of_two_levels() -> None:
    """On 3, 5.5 and the shared (2 + 4 + 6) / 3 = 4: experts 3, 11, 2; gates 1/2 and 1/4, 3/4."""
    trunk = golden(2)
    level: Any = trunk.later[0]
    level.experts.first.weight.data = torch.tensor([[[1.0]], [[2.0]], [[0.5]]])
    level.experts.first.bias.data.zero_()
    gates = torch.tensor([[[0.0, 0.0, 0.0]], [[0.0, 0.0, log(3) / 5.5]]])
    level.gates.linear.weight.data = gates
    level.gates.linear.bias.data.zero_()
    out = trunk(inputs(torch.tensor([[2.0]])))
    torch.testing.assert_close(
        out, {"click": torch.tensor([[2.5]]), "like": torch.tensor([[4.25]])}
    )


def parts(layer: Any) -> list[tuple[Tensor, Tensor]]:
    """Return the weight, ``[in, out]``, and the bias of each expert or gate."""
    names, flat = len(layer.names), layer.weight.dim() == 2
    weight = layer.weight.view(names, -1, layer.weight.shape[-1])
    weight = weight.transpose(1, 2) if flat else weight
    return list(zip(weight, layer.bias.view(names, -1), strict=True))


def as_loop(trunk: PLE, x: Tensor, own: int) -> dict[str, Tensor]:
    """Compute level by level, expert by expert, gate by gate, with relu."""
    groups = [*TASKS, "shared"]
    h = dict.fromkeys(groups, x)
    levels: list[Any] = [trunk, *trunk.later]
    for level in levels:
        outputs: dict[str, list[Tensor]] = {group: [] for group in groups}
        layers = [parts(layer) for layer in (level.experts.first, *level.experts.later)]
        for j, expert in enumerate(zip(*layers, strict=True)):
            group = groups[min(j // own, len(TASKS))]
            e = h[group]
            for weight, bias in expert:
                e = (e @ weight + bias).relu()
            outputs[group].append(e)
        mixed = {}
        for group, (weight, bias) in zip(groups, parts(level.gates.linear), strict=False):
            logits = (h[group] @ weight + bias).split([own, own, len(bias) - 2 * own], 1)
            seen = [g for g in groups if group == "shared" or g in (group, "shared")]
            weights = torch.cat([logits[groups.index(g)] for g in seen], 1).softmax(1)
            experts = [e for g in seen for e in outputs[g]]
            mixed[group] = sum(
                (weights[:, i : i + 1] * e for i, e in enumerate(experts)), torch.zeros(())
            )
        h = mixed
    assert list(h) == TASKS
    return h


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize(("own", "shared"), [(1, 1), (2, 3), (3, 2)])
def test_is_a_loop_over_levels_experts_and_gates(levels: int, own: int, shared: int) -> None:
    trunk = PLE(5, TASKS, experts=own, shared_experts=shared, levels=levels, widths=[6, 4])
    initialise(trunk, 0)
    x = torch.randn(7, 5)
    torch.testing.assert_close(trunk(inputs(x)), as_loop(trunk, x, own))


def trained_by_click(trunk: PLE) -> list[bool]:
    """Return which first-level experts the task click trains."""
    initialise(trunk, 0)
    trunk(inputs(torch.randn(50, 5)))["click"].square().sum().backward()
    gradient = trunk.experts.first.weight.grad
    assert gradient is not None
    return [bool(part.any()) for part in gradient.chunk(len(trunk.experts.names))]


def test_a_task_trains_others_experts_only_through_the_shared_gate() -> None:
    """On one level it reads its own experts and the shared ones; above, also their mixture."""
    one, two = (
        PLE(5, TASKS, experts=2, shared_experts=1, levels=levels, widths=[4]) for levels in (1, 2)
    )
    assert trained_by_click(one) == [True, True, False, False, True]
    assert trained_by_click(two) == [True] * 5


def test_the_last_level_has_no_shared_gate() -> None:
    trunk = PLE(5, TASKS, experts=1, shared_experts=1, levels=3, widths=[4])
    levels: list[Any] = [trunk, *trunk.later]
    gates = [len(level.gates.names) for level in levels]
    assert gates == [3, 3, 2]


def test_a_task_starts_the_same_whatever_others_there_are() -> None:
    """On one level; above, the shared experts read a mixture of all."""
    many, one = (
        PLE(5, tasks, experts=2, shared_experts=1, levels=1, widths=[4])
        for tasks in (TASKS, ["like"])
    )
    initialise(many, 3)
    initialise(one, 3)
    for name in one.experts.names:
        ours, theirs = (
            parts(trunk.experts.first)[trunk.experts.names.index(name)] for trunk in (many, one)
        )
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])


def test_gate_dropout_is_on_every_level_and_rests_in_evaluation() -> None:
    trunk = PLE(5, TASKS, experts=1, shared_experts=3, levels=2, widths=[4], gate_dropout=0.5)
    levels: list[Any] = [trunk, *trunk.later]
    assert [level.gates.dropout for level in levels] == [0.5, 0.5]
    x = inputs(torch.randn(20, 5))
    assert not torch.equal(trunk(x)["click"], trunk(x)["click"])
    trunk.eval()
    assert torch.equal(trunk(x)["click"], trunk(x)["click"])


def test_every_target_has_a_task() -> None:
    assert PLESettings().tasks(TASKS) == {"click": "click", "like": "like"}


def test_settings_reach_the_network() -> None:
    settings = PLESettings(
        experts=2,
        shared_experts=3,
        levels=3,
        widths=[6, 5],
        activation="tanh",
        dropout=0.25,
        norm="layer",
        gate_dropout=0.1,
    )
    trunk = settings.build(4, 0, {"click": ["click"], "like": ["like"]}, 1)
    levels: list[Any] = [trunk, *trunk.later]
    for level, in_width in zip(levels, [4, 5, 5], strict=True):
        names = [type(layer).__name__ for layer in level.experts.after[1]]
        assert names == ["LayerNormEach", "Tanh", "Dropout"]
        assert [tuple(weight.shape) for weight, _ in parts(level.experts.first)] == [
            (in_width, 6)
        ] * 7
        assert level.gates.dropout == 0.1
    assert trunk.out_width == 5


@pytest.mark.parametrize(
    "wrong",
    [{"experts": 0}, {"shared_experts": 0}, {"levels": 0}, {"widths": []}, {"gate_dropout": 1.0}],
    ids=str,
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PLESettings.model_validate(wrong)
