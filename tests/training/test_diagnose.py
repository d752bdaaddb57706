"""Gradients and look-ahead steps against plain autograd, and weights that come back exactly."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from trimtab.batch import Batch
from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared, prepare
from trimtab.features.encoder import SHARED
from trimtab.model import RankingModel
from trimtab.training.build import build_state
from trimtab.training.diagnose import (
    GAIN,
    LossesOf,
    affinity,
    diagnose,
    gradients,
    shared_parts,
)
from trimtab.trunks import trunks

ROWS = 240
TARGETS: dict[str, Any] = {
    "click": {"kind": "binary"},
    "again": {"kind": "binary", "column": "click"},
    "never": {"kind": "binary", "column": "opposite"},
    "play": {"kind": "duration", "given": "click"},
}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    random = np.random.default_rng(0)
    click = random.integers(0, 2, ROWS)
    return pl.DataFrame(
        {
            "user": random.integers(0, 12, ROWS),
            "item": random.integers(0, 9, ROWS),
            "x": random.normal(size=ROWS),
            "tab": random.integers(0, 2, ROWS),
            "click": click,
            "opposite": 1 - click,
            "play": click * random.exponential(9, ROWS),
        }
    )


def settings(**tables: Any) -> RunSettings:
    features = {"user": "id", "item": "id", "x": "number"}
    return parse({"features": features, "targets": TARGETS, **tables})


def started(
    frame: pl.DataFrame, **tables: Any
) -> tuple[RunSettings, Prepared, RankingModel, LossesOf]:
    chosen = settings(**tables)
    prepared = prepare(chosen.plan(), frame)
    state = build_state(chosen, prepared)
    state.model.eval()

    def losses(batch: Batch) -> Mapping[str, Tensor]:
        return state.objective(state.model, batch, state.model(batch))

    return chosen, prepared, state.model, losses


def batches(prepared: Prepared, count: int = 3, rows: int = 40) -> list[Batch]:
    return [prepared.train.batch(np.arange(i * rows, (i + 1) * rows)) for i in range(count)]


def dense_gradients(model: RankingModel, loss: Tensor) -> dict[str, Tensor]:
    """Every part's gradient, the whole table's shared block as one dense array."""
    parts, found = shared_parts(model), {}
    for part, weights in parts.items():
        raw = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        dense = [
            torch.zeros_like(w) if g is None else g.to_dense()
            for w, g in zip(weights, raw, strict=True)
        ]
        if part == "tables":
            dense = [dense[0][:, : model.features.tables.blocks[SHARED]]]
        found[part] = torch.cat([g.flatten() for g in dense])
    return found


def test_cosines_and_norms_are_those_of_plain_gradients(frame: pl.DataFrame) -> None:
    _, prepared, model, losses = started(frame)
    some = batches(prepared)
    found = gradients(model, losses, some)
    assert list(found) == ["tables", "trunk.bottom", "towers"]
    for part, angles in found.items():
        each = [
            {name: dense_gradients(model, loss)[part] for name, loss in losses(batch).items()}
            for batch in some
        ]
        for a in TARGETS:
            norms = [float(of[a].norm()) for of in each]
            assert angles["norm"][a] == pytest.approx(np.mean(norms), rel=1e-4)
            for b in TARGETS:
                cosines = [float(torch.cosine_similarity(of[a], of[b], 0)) for of in each]
                assert angles["cosine"][a][b] == pytest.approx(np.mean(cosines), abs=1e-4)
                error = np.std(cosines, ddof=1) / math.sqrt(len(cosines))
                assert angles["error"][a][b] == pytest.approx(error, abs=1e-4)


def test_the_same_target_twice_agrees_and_its_opposite_does_not(frame: pl.DataFrame) -> None:
    _, prepared, model, losses = started(frame, embedding={"own_width": 0, "first_order": False})
    for tower in model.towers.values():
        for name in ("again", "never"):
            tower.heads[name].load_state_dict(tower.heads["click"].state_dict())
            sign = -1 if name == "never" else 1
            tower.heads[name].weight.data *= sign
            tower.heads[name].bias.data *= sign
    found = gradients(model, losses, batches(prepared))
    for part in ("tables", "trunk.bottom", "towers"):
        cosine = found[part]["cosine"]["click"]
        assert cosine["again"] == pytest.approx(1, abs=1e-4)
        assert cosine["never"] == pytest.approx(1, abs=1e-4)
        # Its opposite learns the same with a head of the other sign; with the same it fights.
    for tower in model.towers.values():
        tower.heads["never"].load_state_dict(tower.heads["click"].state_dict())
    found = gradients(model, losses, batches(prepared))
    steps = affinity(model, losses, batches(prepared))
    assert found["tables"]["cosine"]["click"]["never"] < -0.9
    assert steps["click"]["never"] < -0.2
    assert steps["click"]["again"] == pytest.approx(steps["click"]["click"])


def test_affinity_is_the_loss_taken_off_by_a_step(frame: pl.DataFrame) -> None:
    _, prepared, model, losses = started(frame)
    some = batches(prepared, 2)
    found = affinity(model, losses, some)
    table, width = model.features.tables.weight, model.features.tables.blocks[SHARED]
    weights = [table, *model.trunk.parameters()]
    slow: dict[str, list[dict[str, float]]] = {name: [] for name in TARGETS}
    for batch in some:
        for a in TARGETS:
            graph = losses(batch)
            before = {b: float(loss.detach()) for b, loss in graph.items()}
            raw = torch.autograd.grad(graph[a], weights)
            steps = [g.to_dense().clone() for g in raw]
            steps[0][:, width:] = 0
            length = sum(float(g.double().square().sum()) for g in steps)
            kept = [w.data.clone() for w in weights]
            for weight, step in zip(weights, steps, strict=True):
                weight.data -= GAIN * before[a] / length * step
            after = {b: float(loss.detach()) for b, loss in losses(batch).items()}
            slow[a].append({b: (1 - after[b] / before[b]) / GAIN for b in TARGETS})
            for weight, old in zip(weights, kept, strict=True):
                weight.data.copy_(old)
    for a in TARGETS:
        for b in TARGETS:
            expected = np.mean([change[b] for change in slow[a]])
            assert found[a][b] == pytest.approx(expected, abs=2e-3)
        assert found[a][a] == pytest.approx(1, abs=0.25)  # But for curvature.


@pytest.mark.parametrize("kind", list(trunks))
def test_the_model_is_left_exactly_as_it_was(kind: str, frame: pl.DataFrame) -> None:
    chosen, prepared, model, _ = started(frame, trunk={"kind": kind}, tower={"norm": "batch"})
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = diagnose(chosen, prepared, model)
    after = model.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert set(found) == {"labels", "gradients", "affinity", "experts", "abundance"}


def test_weights_come_back_when_a_step_fails(frame: pl.DataFrame) -> None:
    _, prepared, model, losses = started(frame)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    calls = 0

    def failing(batch: Batch) -> Mapping[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("no memory")
        return losses(batch)

    with pytest.raises(RuntimeError, match="no memory"):
        affinity(model, failing, batches(prepared))
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_is_learnt_alone_counts(frame: pl.DataFrame) -> None:
    targets = TARGETS | {"again": TARGETS["again"] | {"weight": 0}}
    chosen, prepared, model, _ = started(frame, targets=targets)
    found = diagnose(chosen, prepared, model)
    assert list(found["affinity"]) == ["click", "never", "play"]
    # Play is 0 where nothing was clicked, so its ranks follow the clicks.
    assert found["labels"]["click"]["never"] == pytest.approx(-1)
    assert found["labels"]["click"]["play"] > 0.7


def test_a_scene_without_rows_a_batch_of_one_and_no_shared_tables(frame: pl.DataFrame) -> None:
    scenes = {"column": "tab", "zero": [0], "one": [1], "nowhere": [7]}
    targets = TARGETS | {"never": TARGETS["never"] | {"scene": "nowhere"}}
    _, prepared, model, losses = started(
        frame, scenes=scenes, targets=targets, embedding={"width": 0, "own_width": 2}
    )
    some = [prepared.train.batch(np.arange(1))]
    angles = gradients(model, losses, some)
    assert math.isnan(angles["tables"]["cosine"]["click"]["click"])
    assert math.isnan(angles["trunk.bottom"]["cosine"]["click"]["never"])
    assert math.isnan(angles["trunk.bottom"]["error"]["click"]["again"])
    steps = affinity(model, losses, some)
    assert math.isnan(steps["never"]["click"])
    assert steps["click"]["click"] == pytest.approx(1, abs=0.2)


def test_no_batches(frame: pl.DataFrame) -> None:
    _, _, model, losses = started(frame)
    assert gradients(model, losses, []) == {}
    assert affinity(model, losses, []) == {}
