from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from trimtab.config.load import parse
from trimtab.data.prepare import prepare
from trimtab.features.inputs import Dense, Inputs
from trimtab.layers import MLP, initialise
from trimtab.training.build import build_state
from trimtab.training.loop import update
from trimtab.trunks import SingleTarget, SingleTargetSettings

TASKS = {"click": ["click"], "both": ["like", "buy"], "stay": ["stay"]}
TARGETS = ["stay", "buy", "like", "click"]
WIDTH, FIELDS, OWN = 5, 2, 3


def inputs(x: Tensor, own: Mapping[str, Tensor]) -> Inputs:
    scene = torch.zeros(len(x), dtype=torch.int64)
    return Inputs(x=Dense(x), own=own, first_order={}, scene=scene)


def some(rows: int, own: int = OWN, dtype: torch.dtype = torch.float32) -> Inputs:
    """Return inputs with a gradient; targets in another order than that of the tasks."""
    x = torch.randn(rows, WIDTH, dtype=dtype, requires_grad=True)
    shape = (rows, FIELDS, own)
    owns = {t: torch.randn(shape, dtype=dtype, requires_grad=True) for t in TARGETS}
    return inputs(x, owns if own else {})


def test_golden() -> None:
    """Two layers worked out by hand: relu(relu(x A + own B + a) C + c)."""
    trunk = SingleTarget(2, 1, {"click": ["click"], "like": ["like"]}, widths=[2, 1])
    assert trunk.own is not None
    trunk.first.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, -1.0]])
    trunk.first.bias.data = torch.tensor([0.0, 0.5, 0.0, 0.0])
    trunk.own.weight.data = torch.tensor([[[1.0, -1.0]], [[0.0, 2.0]]])
    later: Any = trunk.later.later[0]
    later.weight.data = torch.tensor([[[1.0], [1.0]], [[-1.0], [3.0]]])
    later.bias.data = torch.tensor([[1.0], [0.0]])
    own = {"click": torch.tensor([[[3.0]]]), "like": torch.tensor([[[2.0]]])}
    # click: (1 + 3, 2 - 3 + .5) -> (4, 0) -> 4 + 0 + 1; like: (2, -2 + 4) -> (2, 2) -> -2 + 6
    out = trunk(inputs(torch.tensor([[1.0, 2.0]]), own))
    assert torch.equal(out["click"], torch.tensor([[5.0]]))
    assert torch.equal(out["like"], torch.tensor([[4.0]]))


def as_loop(trunk: SingleTarget, data: Inputs, widths: list[int], norm: Any) -> dict[str, Tensor]:
    """Return what a network a task gives, over x and its targets' own side by side."""
    out = {}
    for k, (task, targets) in enumerate(TASKS.items()):
        x = torch.cat([data.shared, *(data.own[t].flatten(1) for t in targets if data.own)], 1)
        network = MLP(x.shape[1], widths, activation="silu", norm=norm)
        linear = [layer for layer in network if type(layer) is nn.Linear]
        owns = (
            [] if trunk.own is None else [trunk.own.weight[trunk.targets.index(t)] for t in targets]
        )
        over_x = trunk.first.weight.chunk(len(TASKS))[k]
        linear[0].weight.data = torch.cat([over_x, *(own.t() for own in owns)], 1).data
        linear[0].bias.data = trunk.first.bias.chunk(len(TASKS))[k].data
        layers: list[Any] = list(trunk.later.later)
        for layer, theirs in zip(layers, linear[1:], strict=True):
            theirs.weight.data, theirs.bias.data = layer.weight.data[k].t(), layer.bias.data[k]
        out[task] = network.double()(x)
    return out


@pytest.mark.parametrize("widths", [[4], [4, 3, 6]])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("own", [0, OWN])
def test_is_a_loop_over_networks(widths: list[int], norm: Any, own: int) -> None:
    trunk = SingleTarget(WIDTH, FIELDS * own, TASKS, widths=widths, activation="silu", norm=norm)
    initialise(trunk, 0)
    trunk, data = trunk.double(), some(7, own, torch.float64)
    ours, theirs = trunk(data), as_loop(trunk, data, widths, norm)
    torch.testing.assert_close(ours, theirs)
    leaves = [data.shared, *data.own.values()]
    fast, slow = (
        torch.autograd.grad(torch.cat(list(out.values())).pow(3).sum(), leaves)
        for out in (ours, theirs)
    )
    torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("own", [0, OWN])
def test_starts_as_one_linear_layer_over_both(own: int) -> None:
    trunk = SingleTarget(WIDTH, FIELDS * own, TASKS, widths=[400])
    initialise(trunk, 0)
    for k, targets in enumerate(TASKS.values()):
        bound = (WIDTH + FIELDS * own * len(targets)) ** -0.5
        parts = [trunk.first.weight.chunk(len(TASKS))[k], trunk.first.bias.chunk(len(TASKS))[k]]
        if trunk.own is not None:
            parts += [trunk.own.weight[trunk.targets.index(target)] for target in targets]
        for part in parts:
            assert 0.98 * bound < part.abs().max() <= bound


def test_a_task_trains_its_own_alone() -> None:
    trunk, data = SingleTarget(WIDTH, FIELDS * OWN, TASKS, widths=[4, 3]), some(20)
    trunk(data)["both"].square().sum().backward()
    for name, parameter in trunk.named_parameters():
        parts = len(TARGETS) if name.startswith("own") else len(TASKS)
        assert parameter.grad is not None
        trained = [bool(part.any()) for part in parameter.grad.chunk(parts)]
        assert trained == ([False, True, True, False] if parts == 4 else [False, True, False])
    for target, own in data.own.items():
        assert (own.grad is not None and bool(own.grad.any())) == (target in TASKS["both"])


def test_only_own_embeddings() -> None:
    """No shared embeddings and no numbers: x has no columns."""
    trunk = SingleTarget(0, FIELDS * OWN, TASKS, widths=[4, 3])
    data = some(6)
    out = trunk(inputs(torch.zeros(6, 0), data.own))
    assert out["click"].shape == (6, 3)
    assert out["click"].any()


TABLES = {"embedding": {"width": 0, "own_width": 4}, "trunk": {"kind": "single_target"}}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    random = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "user": random.integers(0, 9, 300),
            "video": random.integers(0, 30, 300),
            "age": random.normal(size=300),
            "click": random.integers(0, 2, 300),
            "play": np.exp(random.normal(size=300)),
            "held_out": np.arange(300) % 6 == 0,
        }
    )


def trained(frame: pl.DataFrame, targets: Sequence[str]) -> dict[str, Tensor]:
    """Train some updates on the same batches; return the predictions."""
    kinds = {"click": {"kind": "binary"}, "play": {"kind": "duration", "weight": 3.0}}
    settings = parse(
        {
            "data": {"valid": {"column": "held_out", "values": [True]}},
            "features": {
                "user": {"kind": "id", "least_rows": 1},
                "video": {"kind": "id", "least_rows": 1},
                "age": {"kind": "number"},
            },
            "targets": {name: kinds[name] for name in targets},
            "training": {"device": "cpu"},
            **TABLES,
        }
    )
    prepared = prepare(settings.plan(), frame)
    state = build_state(settings, prepared)
    random = np.random.default_rng(0)
    for _ in range(20):
        rows = random.integers(0, len(prepared.train), 32)
        update(state, prepared.train.batch(rows), settings.training)
    batch = prepared.valid.batch(np.arange(len(prepared.valid)))
    with torch.no_grad():
        return state.model.eval().predict(batch, state.model(batch))


def test_without_shared_tables_one_pass_trains_a_model_a_target(frame: pl.DataFrame) -> None:
    together = trained(frame, ["click", "play"])
    for target in ("click", "play"):
        torch.testing.assert_close(together[target], trained(frame, [target])[target])


def test_every_target_has_a_task() -> None:
    assert SingleTargetSettings().tasks(["a", "b"]) == {"a": "a", "b": "b"}


def test_default_is_64_32_16() -> None:
    trunk = SingleTargetSettings().build(10, 4, {"a": ["a"], "b": ["b"]}, 1)
    shapes = {name: tuple(p.shape) for name, p in trunk.named_parameters() if "weight" in name}
    assert shapes == {
        "first.weight": (128, 10),
        "own.weight": (2, 4, 64),
        "later.later.0.weight": (2, 64, 32),
        "later.later.1.weight": (2, 32, 16),
    }
    assert trunk.out_width == 16


def test_settings_reach_the_network() -> None:
    settings = SingleTargetSettings(widths=[5], activation="tanh", dropout=0.25, norm="batch")
    trunk = settings.build(4, 0, {"a": ["a"]}, 1)
    after: Any = trunk.later.after[0]
    names = [type(layer).__name__ for layer in after]
    assert names == ["BatchNormEach", "Tanh", "Dropout"]
    assert trunk.first.weight.shape == (5, 4)


@pytest.mark.parametrize("wrong", [{"widths": []}, {"dropout": 1.0}, {"width": [3]}], ids=str)
def test_what_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SingleTargetSettings.model_validate(wrong)
