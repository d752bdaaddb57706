"""A plain model's steps in one call: to the last bit what their parts give, or not done at all."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from trimtab.balancing.fixed import FixedWeights
from trimtab.batch import Batch, Batches
from trimtab.config.load import parse
from trimtab.data.columns import Columns
from trimtab.data.prepare import prepare
from trimtab.errors import RunError
from trimtab.targets.binary import Binary
from trimtab.training.at_once import at_once, in_parts
from trimtab.training.build import build_state
from trimtab.training.loop import updates
from trimtab.training.state import State
from trimtab.trunks import SharedBottom

ROWS, STEPS = 200, 4
TRUNK = {"kind": "shared_bottom", "widths": [24, 16]}
EMBEDDING = {"engine": "native", "own_width": 0, "first_order": False, "width": 8}
TARGETS: dict[str, Any] = {"click": "binary", "like": {"kind": "binary", "weight": 3.0}}
NUMBERS: dict[str, Any] = {"age": "number", "size": {"kind": "number", "scale": "piecewise"}}


pytestmark = pytest.mark.usefixtures("compiler")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def start(content: dict[str, Any]) -> tuple[State, Columns, Any]:
    random = np.random.default_rng(0)
    rows = ROWS * (STEPS + 1)
    frame = pl.DataFrame(
        {f"id{i}": random.integers(0, 3 + 5 * i, rows) for i in range(3)}
        | {"rare": np.arange(rows), "tab": random.integers(0, 2, rows)}
        | {"age": random.normal(size=rows), "size": random.normal(size=rows)}
        | {"click": random.integers(0, 2, rows), "play": random.random(rows)}
        | {"weight": random.random(rows), "tags": ["a|b"] * rows}
    ).with_columns(
        like=pl.Series([None if i % 7 == 0 else int(i % 3 == 0) for i in range(rows)]),
        held_out=pl.Series(np.arange(rows) >= ROWS * STEPS),
    )
    settings = parse(
        {
            "data": {"valid": {"column": "held_out", "values": [True]}},
            "features": {f"id{i}": {"kind": "id", "least_rows": 1} for i in range(3)},
            "targets": TARGETS,
            "embedding": EMBEDDING,
            "trunk": TRUNK,
            "tower": {"widths": [8]},
            **content,
            "training": {"batch_rows": ROWS, "device": "cpu", **content.get("training", {})},
        }
    )
    prepared = prepare(settings.plan(), frame)
    return build_state(settings, prepared), prepared.train, settings.training


def ids(**more: Any) -> dict[str, Any]:
    return {f"id{i}": {"kind": "id", "least_rows": 1} for i in range(3)} | more


PLAIN: list[dict[str, Any]] = [
    {},
    {"features": ids(**NUMBERS)},
    {"targets": {"click": "binary"}, "tower": {"widths": [8, 5]}},
    {"trunk": TRUNK | {"widths": [70, 9, 3]}, "features": ids(age="number")},
    {"training": {"weight_decay": 0.1, "table_weight_decay": 0.1, "max_row_gradient_norm": 1e-3}},
    {"training": {"average": 0.9}, "embedding": EMBEDDING | {"width": 5}},
]


def alone(batch: Batch) -> Batches:
    return Batches(batch, [len(batch)])


def update(state: State, batch: Batch, training: Any) -> dict[str, Tensor]:
    return next(updates(state, alone(batch), training))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("content", PLAIN, ids=str)
def test_it_is_what_the_parts_give(content: dict[str, Any], threads: int) -> None:
    torch.set_num_threads(threads)
    (once, rows, training), (parts, _, _) = start(content), start(content)
    assert once.at_once is not in_parts
    parts.at_once = in_parts
    for step in range(STEPS):
        some = np.arange(step * ROWS, (step + 1) * ROWS - 3 * step)
        assert once.at_once(alone(rows.batch(some[:0]))) == []
        losses = [update(state, rows.batch(some), training) for state in (once, parts)]
        assert losses[0].keys() == losses[1].keys()
        assert all(torch.isclose(losses[0][name], losses[1][name]) for name in losses[1])
    assert differences(once, parts) == set()
    assert once.step == parts.step == STEPS


SCENES = {"column": "tab", "cover": [0], "stream": [1]}
ELSE: list[dict[str, Any]] = [
    {"embedding": EMBEDDING | {"engine": "torch"}},
    {"embedding": EMBEDDING | {"own_width": 2}},
    {"embedding": EMBEDDING | {"first_order": True}},
    {"embedding": EMBEDDING | {"dropout": 0.1}},
    {"features": ids(tags={"kind": "ids", "separator": "|"})},
    {"trunk": TRUNK | {"activation": "silu"}},
    {"trunk": TRUNK | {"dropout": 0.1}},
    {"trunk": TRUNK | {"norm": "layer"}},
    {"trunk": TRUNK | {"widths": [16]}},
    {"trunk": "mmoe"},
    {"trunk": "single_target"},
    {"tower": {"widths": []}},
    {"tower": {"widths": [8], "dropout": 0.1}},
    {"scenes": SCENES},
    {"targets": TARGETS | {"play": "number"}},
    {"targets": TARGETS | {"like": {"kind": "binary", "given": "click"}}},
    {"targets": TARGETS | {"like": {"kind": "binary", "positive_weight": 2.0}}},
    {"targets": TARGETS | {"like": {"kind": "binary", "weight": 0.0}}},
    {"targets": TARGETS | {"like": {"kind": "binary", "task": "rare"}}},
    {"loss": {"denominator": "observed"}},
    {"loss": {"tower": "mean"}},
    {"balancing": "uncertainty"},
    {"balancing": "rlw"},
    {"training": {"max_gradient_norm": 1.0}},
]


@pytest.mark.parametrize("content", ELSE, ids=str)
def test_what_is_not_plain_is_done_part_by_part(content: dict[str, Any]) -> None:
    state, _, _ = start(content)
    assert state.at_once is in_parts


@pytest.mark.parametrize("part", [SharedBottom, FixedWeights, Binary])
def test_a_class_of_ones_own_is_done_part_by_part(part: type[Any]) -> None:
    state, _, training = start({})
    made = {SharedBottom: state.model.trunk, FixedWeights: state.balancer}
    derived = made.get(part, state.model.targets["like"])
    derived.__class__ = type("Mine", (part,), {})
    optimizers: Any = tuple(state.optimizers)
    chosen = at_once(state.model, state.objective, state.balancer, optimizers, training)
    assert chosen is in_parts


def test_a_sum_of_losses_that_is_not_finite_is_said() -> None:
    targets = {"click": {"kind": "binary", "weight": 1000.0}}
    state, rows, training = start({"features": ids(age="number"), "targets": targets})
    batch = rows.batch(np.arange(ROWS))
    batch = replace(batch, numbers=torch.full_like(batch.numbers, 1e38))
    with pytest.raises(RunError, match="the loss is not finite at step 1"):
        update(state, batch, training)


@pytest.mark.parametrize("content", PLAIN, ids=str)
def test_several_in_one_call_are_each_for_itself(content: dict[str, Any]) -> None:
    (once, rows, training), (parts, _, _) = start(content), start(content)
    parts.at_once = in_parts
    sizes = [ROWS, ROWS - 30, ROWS, 1, ROWS - 30, 0, 50]
    several = Batches(rows.batch(np.random.default_rng(1).permutation(sum(sizes))), sizes)
    many, _ = several.cut(3)
    assert len(start(content)[0].at_once(many)) == 3
    losses = [list(updates(once, several, training))]
    losses.append([update(parts, batch, training) for batch in several.split()])
    assert len(losses[0]) == len(losses[1]) == len(sizes)
    for found, wanted in zip(*losses, strict=True):
        assert found.keys() == wanted.keys()
        assert all(torch.isclose(found[name], wanted[name]) for name in wanted)
    assert differences(once, parts) == set()
    assert once.step == parts.step == len(sizes)


def differences(one: State, other: State) -> set[str]:
    found, wanted = one.tensors(), other.tensors()
    assert found.keys() == wanted.keys()
    return {name for name in wanted if not torch.equal(found[name], wanted[name])}


def test_steps_before_one_that_cannot_be_done_are_done() -> None:
    state, rows, training = start({"features": ids(age="number")})
    several = Batches(rows.batch(np.arange(3 * ROWS)), [ROWS] * 3)
    wrong = several.rows.numbers.clone()
    wrong[ROWS + 5] = torch.inf
    broken = Batches(replace(several.rows, numbers=wrong), several.sizes)
    assert len(state.at_once(broken)) == 1
    other, _, _ = start({"features": ids(age="number")})
    update(other, several.split()[0], training)
    assert differences(state, other) == set()
    with pytest.raises(RunError, match="the loss is not finite at step 2"):
        list(updates(start({"features": ids(age="number")})[0], broken, training))


def unchanged(state: State, rows: Columns, index: Any) -> None:
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    assert state.at_once(alone(rows.batch(index))) == []
    after = state.tensors()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_ids_that_hardly_repeat_are_left_to_the_parts() -> None:
    state, rows, training = start({"features": {"rare": {"kind": "id", "least_rows": 1}}})
    update(state, rows.batch(np.arange(8)), training)
    unchanged(state, rows, np.arange(8, 16))
    losses = update(state, rows.batch(np.arange(8, 16)), training)
    assert all(loss.isfinite() for loss in losses.values())


def test_it_goes_on_from_what_is_restored() -> None:
    (once, rows, training), (parts, _, _) = start({}), start({})
    parts.at_once = in_parts
    some = [rows.batch(np.arange(step * ROWS, (step + 1) * ROWS)) for step in range(STEPS)]
    update(once, some[0], training)
    kept = {name: tensor.clone() for name, tensor in once.tensors().items()}
    facts = once.facts()
    update(once, some[1], training)
    for state in (once, parts):
        state.restore({name: tensor.clone() for name, tensor in kept.items()}, facts)
        update(state, some[2], training)
    assert differences(once, parts) == set()


def other_rates(state: State) -> None:
    for optimizer in state.optimizers:
        optimizer.param_groups[0]["lr"] *= 0.1


def other_places(state: State) -> None:
    for parameter in state.model.parameters():
        parameter.data = parameter.data.clone()


@pytest.mark.parametrize("change", [other_rates, other_places])
def test_it_sees_what_changes_between_steps(change: Callable[[State], None]) -> None:
    (once, rows, training), (parts, _, _) = start({}), start({})
    parts.at_once = in_parts
    some = [rows.batch(np.arange(step * ROWS, (step + 1) * ROWS)) for step in range(STEPS)]
    for batch in some:
        for state in (once, parts):
            update(state, batch, training)
            change(state)
    assert differences(once, parts) == set()


def test_row_weights_are_left_to_the_parts() -> None:
    targets = TARGETS | {"click": {"kind": "binary", "row_weight": "weight"}}
    state, rows, training = start({"targets": targets})
    assert state.at_once(alone(rows.batch(np.arange(ROWS)))) == []
    update(state, rows.batch(np.arange(ROWS)), training)


def test_a_model_that_is_not_in_training_is_left_alone() -> None:
    state, rows, _ = start({})
    state.model.eval()
    assert state.at_once(alone(rows.batch(np.arange(ROWS)))) == []


def test_a_loss_that_is_not_finite_changes_nothing_and_is_said() -> None:
    state, rows, training = start({"features": ids(age="number")})
    update(state, rows.batch(np.arange(ROWS)), training)
    batch = rows.batch(np.arange(ROWS))
    batch = replace(batch, numbers=torch.full_like(batch.numbers, torch.inf))
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    with pytest.raises(RunError, match="the loss is not finite at step 2"):
        update(state, batch, training)
    after = state.tensors()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_missing_labels_move_nothing() -> None:
    (state, rows, training), (other, _, _) = start({}), start({})
    batch = rows.batch(np.arange(ROWS))
    unseen = {"like": torch.full((ROWS,), torch.nan)}
    batch = replace(batch, labels={**batch.labels, **unseen})
    other.at_once = in_parts
    losses = [update(made, batch, training) for made in (state, other)]
    assert losses[0]["like"] == 0
    assert all(torch.isclose(losses[0][name], losses[1][name]) for name in losses[0])
    head = "model.towers.all.heads.like.bias"
    assert torch.equal(state.tensors()[head], other.tensors()[head])
