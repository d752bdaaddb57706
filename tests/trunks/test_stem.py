import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from trimtab.errors import SettingsError
from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import initialise
from trimtab.trunks import STEM, STEMSettings

TASKS = {"click": ["click"], "like": ["like"], "stay": ["stay"]}
WIDTH, FIELDS, OWN = 5, 2, 3


def inputs(x: Tensor, own: Mapping[str, Tensor]) -> Inputs:
    scene = torch.zeros(len(x), dtype=torch.int64)
    return Inputs(x=Dense(x), own=own, first_order={}, scene=scene)


def drawn(rows: int = 7) -> Inputs:
    own = {task: torch.randn(rows, FIELDS, OWN, requires_grad=True) for task in TASKS}
    return inputs(torch.randn(rows, WIDTH, requires_grad=True), own)


def build(**how: object) -> STEM:
    settings = STEMSettings.model_validate({"widths": [4, 3], "activation": "tanh"} | how)
    trunk = settings.build(WIDTH, FIELDS * OWN, TASKS, 1)
    initialise(trunk, 0)
    return trunk


def test_golden() -> None:
    """Worked out by hand: shared expert 2x, own experts 3 own and 5 own, one layer each."""
    settings = STEMSettings(widths=[1], activation="identity")
    trunk = settings.build(1, 1, {"click": ["click"], "like": ["like"]}, 1)
    for parameter in trunk.parameters():
        parameter.data.zero_()
    trunk.shared.first.weight.data.fill_(2.0)
    trunk.own.first.weight.data.copy_(torch.tensor([3.0, 5.0]).view(2, 1, 1))
    # The gate of click prefers the shared expert by ln 2, that of like its own by ln 4 own / 2.
    trunk.gates.over_x.bias.data[0] = math.log(2.0)
    trunk.gates.over_own.weight.data[1, 0, 2] = math.log(4.0) / 2
    own = {name: torch.full((1, 1, 1), value) for name, value in (("click", 1.0), ("like", 2.0))}
    for embedding in own.values():
        embedding.requires_grad_()
    x = torch.ones(1, 1, requires_grad=True)
    out = trunk(inputs(x, own))
    # Experts: 2, 3, 10. Click: (2, 1, 1) / 4 -> 1 + .75 + 2.5; like: (1, 1, 4) / 6 -> 45 / 6.
    assert out["click"].item() == pytest.approx(4.25)
    assert out["like"].item() == pytest.approx(7.5)
    out["click"].backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(2 / 4 * 2)
    assert own["click"].grad is not None
    assert own["click"].grad.item() == pytest.approx(1 / 4 * 3)
    assert own["like"].grad is None or not own["like"].grad.any()


def loop(trunk: STEM, data: Inputs) -> dict[str, Tensor]:
    """Compute the formula expert by expert and task by task."""
    x, own = data.shared, {name: e.flatten(1) for name, e in data.own.items()}
    (later,) = (list(layer.parameters()) for layer in trunk.shared.later)
    own_layers = [trunk.own.first, *trunk.own.later]
    shared = []
    for i in range(trunk.shared_experts):
        weight = trunk.shared.first.weight.chunk(trunk.shared_experts)[i]
        bias = trunk.shared.first.bias.chunk(trunk.shared_experts)[i]
        shared.append((linear(x, weight, bias).tanh() @ later[0][i] + later[1][i]).tanh())
    theirs = []
    for i in range(len(TASKS) * trunk.experts):
        h = own[list(TASKS)[i // trunk.experts]]
        for layer in own_layers:
            weights, biases = layer.parameters()
            h = (h @ weights[i] + biases[i]).tanh()
        theirs.append(h)
    out = {}
    for k, task in enumerate(TASKS):
        gate, bias = (
            p.chunk(len(TASKS))[k] for p in (trunk.gates.over_x.weight, trunk.gates.over_x.bias)
        )
        logits = linear(x, gate, bias) + own[task] @ trunk.gates.over_own.weight[k]
        mine = range(k * trunk.experts, (k + 1) * trunk.experts)
        experts = [*shared, *(e if i in mine else e.detach() for i, e in enumerate(theirs))]
        parts = zip(logits.softmax(1).unbind(1), experts, strict=True)
        out[task] = torch.stack([w[:, None] * expert for w, expert in parts])
    return {task: parts.sum(0) for task, parts in out.items()}


@pytest.mark.parametrize(("experts", "shared"), [(1, 1), (1, 2), (2, 1), (3, 2)])
def test_equal_to_a_loop_over_experts(experts: int, shared: int) -> None:
    trunk, data = build(experts=experts, shared_experts=shared), drawn()
    out, expected = trunk(data), loop(trunk, data)
    leaves = [*trunk.parameters(), data.shared, *data.own.values()]
    for task in TASKS:
        torch.testing.assert_close(out[task], expected[task])
        found, wanted = (
            torch.autograd.grad(
                h[task].square().sum(), leaves, retain_graph=True, allow_unused=True
            )
            for h in (out, expected)
        )
        for a, b, leaf in zip(found, wanted, leaves, strict=True):
            nothing = torch.zeros_like(leaf)
            torch.testing.assert_close(nothing if a is None else a, nothing if b is None else b)


@pytest.mark.parametrize("experts", [1, 2])
def test_all_forward_task_specific_backward(experts: int) -> None:
    """A task reads everyone's own embeddings, and trains only its own and their experts."""
    trunk, data = build(experts=experts), drawn()
    before = trunk(data)
    for k, task in enumerate(TASKS):
        trunk.zero_grad()
        for embedding in data.own.values():
            embedding.grad = None
        before[task].square().sum().backward(retain_graph=True)
        for other, embedding in data.own.items():
            trained = embedding.grad is not None and bool(embedding.grad.any())
            assert trained == (other == task)
        mine = slice(k * experts, (k + 1) * experts)
        for parameter in trunk.own.parameters():
            assert parameter.grad is not None
            assert parameter.grad[mine].any()
            assert parameter.grad.count_nonzero() == parameter.grad[mine].count_nonzero()
        assert all(p.grad is not None and p.grad.any() for p in trunk.shared.parameters())
    for task in TASKS:
        own = dict(data.own) | {task: data.own[task] + 1}
        after = trunk(inputs(data.shared, own))
        assert all((after[name] != before[name]).any() for name in TASKS)


def test_a_task_of_several_targets_reads_the_mean_of_their_embeddings() -> None:
    tasks = {"watch": ["click", "stay"], "like": ["like"]}
    trunk, data = STEMSettings(widths=[3]).build(WIDTH, FIELDS * OWN, tasks, 1), drawn()
    mean = (data.own["click"] + data.own["stay"]) / 2
    apart = STEMSettings(widths=[3]).build(WIDTH, FIELDS * OWN, {"watch": ["a"], "like": ["b"]}, 1)
    apart.load_state_dict(trunk.state_dict())
    expected = apart(inputs(data.shared, {"a": mean, "b": data.own["like"]}))
    out = trunk(data)
    for task in tasks:
        torch.testing.assert_close(out[task], expected[task])


def test_without_own_embeddings_it_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match=r"set \[embedding\] own_width to 1 or more"):
        STEMSettings().build(10, 0, TASKS, 1)


def test_each_target_is_a_task() -> None:
    assert STEMSettings().tasks(["a", "b"]) == {"a": "a", "b": "b"}


def test_settings_reach_the_network() -> None:
    trunk = build(norm="layer", gate_dropout=0.5, dropout=0.25, widths=[6, 2])
    assert trunk.out_width == 2
    assert trunk.gates.dropout == 0.5
    for experts in (trunk.shared, trunk.own):
        names = [type(part).__name__ for part in experts.after[0].children()]
        assert names == ["LayerNormEach", "Tanh", "Dropout"]
