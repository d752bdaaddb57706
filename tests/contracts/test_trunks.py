"""What every trunk owes, checked for each one that is registered."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import initialise
from trimtab.trunks import Trunk, trunks

TASKS = ("click", "buy", "stay")
WIDTH, FIELDS, OWN = 6, 2, 3


def inputs(rows: int, dtype: torch.dtype = torch.float32) -> Inputs:
    return Inputs(
        x=Dense(torch.randn(rows, WIDTH, dtype=dtype)),
        own={task: torch.randn(rows, FIELDS, OWN, dtype=dtype) for task in TASKS},
        first_order={},
        scene=torch.arange(rows) % 2,
    )


def some(whole: Inputs, rows: slice) -> Inputs:
    return Inputs(
        x=Dense(whole.shared[rows]),
        own={task: own[rows] for task, own in whole.own.items()},
        first_order={},
        scene=whole.scene[rows],
    )


def build(kind: str, tasks: Sequence[str] = TASKS, seed: int = 0) -> Trunk:
    trunk = trunks[kind]().build(WIDTH, FIELDS * OWN, {task: [task] for task in tasks}, 2)
    initialise(trunk, seed)
    return trunk


@pytest.fixture(params=list(trunks))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_target_has_a_task(kind: str) -> None:
    tasks = trunks[kind]().tasks(TASKS)
    assert list(tasks) == list(TASKS)
    assert build(kind, list(dict.fromkeys(tasks.values())))(inputs(2)).keys() == set(tasks.values())


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_one_representation_a_task(kind: str, rows: int) -> None:
    trunk = build(kind)
    out = trunk(inputs(rows))
    assert list(out) == list(TASKS)
    assert all(x.shape == (rows, trunk.out_width) for x in out.values())


def test_one_task_alone(kind: str) -> None:
    trunk = build(kind, ["click"])
    assert list(trunk(inputs(3))) == ["click"]


def test_rows_do_not_see_each_other(kind: str) -> None:
    """Not in evaluation; in training they do through batch normalisation."""
    trunk, whole = build(kind).eval(), inputs(5)
    out, part = trunk(whole), trunk(some(whole, slice(1, 3)))
    for task in TASKS:
        torch.testing.assert_close(part[task], out[task][1:3])


def test_every_parameter_is_trained(kind: str) -> None:
    trunk = build(kind)
    loss = sum((x.square().sum() for x in trunk(inputs(64)).values()), torch.zeros(()))
    loss.backward()
    for name, parameter in trunk.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def trained_by(trunk: Trunk, parameters: Sequence[nn.Parameter]) -> list[int]:
    """Return how many tasks train each parameter."""
    counts = [0] * len(parameters)
    for x in trunk(inputs(64)).values() if parameters else ():
        gradients: Sequence[Tensor | None] = torch.autograd.grad(
            x.square().sum(), parameters, retain_graph=True, allow_unused=True
        )
        trained = [g is not None and bool(g.any()) for g in gradients]
        counts = [count + one for count, one in zip(counts, trained, strict=True)]
    return counts


def test_shared_parameters_are_trained_by_more_than_one_task(kind: str) -> None:
    """A trunk may share nothing; one tensor of several tasks' parts counts as shared."""
    trunk = build(kind)
    shared = list(trunk.shared_parameters())
    assert {id(p) for p in shared} <= {id(p) for p in trunk.parameters()}
    assert len({id(p) for p in shared}) == len(shared)
    assert all(count > 1 for count in trained_by(trunk, shared))


def test_other_parameters_belong_to_one_task(kind: str) -> None:
    trunk = build(kind)
    shared = {id(parameter) for parameter in trunk.shared_parameters()}
    own = [p for p in trunk.parameters() if id(p) not in shared]
    assert all(count <= 1 for count in trained_by(trunk, own))


def test_saved_and_loaded_it_is_the_same(kind: str, tmp_path: Path) -> None:
    trunk, data = build(kind).eval(), inputs(4)
    save_file(dict(trunk.state_dict()), tmp_path / "trunk.safetensors")
    again = build(kind, seed=1).eval()
    again.load_state_dict(load_file(tmp_path / "trunk.safetensors"))
    out = trunk(data)
    assert all(torch.equal(x, out[task]) for task, x in again(data).items())


def test_the_seed_decides_the_start(kind: str) -> None:
    data = inputs(4)
    first = build(kind)(data)["click"]
    assert torch.equal(build(kind)(data)["click"], first)
    assert not torch.equal(build(kind, seed=1)(data)["click"], first)


def test_float64(kind: str) -> None:
    trunk = build(kind).double()
    out = trunk(inputs(3, torch.float64))
    assert all(x.dtype == torch.float64 for x in out.values())


def test_it_works_alone(kind: str) -> None:
    """A trunk is a plain module: no run, no settings, no tower."""
    trunk = build(kind)
    assert isinstance(trunk, nn.Module)
    assert not any("Settings" in type(value).__name__ for value in vars(trunk).values())
