"""Correlations, experts and embeddings against slow twins and cases with a known answer."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from trimtab.batch import Batch
from trimtab.evaluation.diagnostics import (
    expert_health,
    information_abundance,
    label_correlation,
)
from trimtab.features.encoder import FeatureEncoder, IdFeature
from trimtab.model import RankingModel
from trimtab.targets import Binary
from trimtab.towers import Tower
from trimtab.trunks import trunks

TARGETS = ("click", "like")


def model_of(kind: str, *, items: int = 30, **settings: Any) -> RankingModel:
    ids = [IdFeature(name=name, table=name) for name in ("user", "item")]
    features = FeatureEncoder(
        ids,
        [],
        tables={"user": 40, "item": items},
        numbers=[],
        targets=TARGETS,
        width=6,
        own_width=3,
        first_order=True,
        deviation=0.1,
        dropout=0.0,
    )
    features.tables.reset_parameters()
    chosen = trunks[kind](**settings)
    tasks = chosen.tasks(TARGETS)
    members = {task: [t for t in TARGETS if tasks[t] == task] for task in tasks.values()}
    trunk = chosen.build(features.out_width, features.own_out_width, members, 1)
    tower = Tower(trunk.out_width, tasks, dict.fromkeys(TARGETS, 1), widths=[4])
    targets = {name: Binary(name) for name in TARGETS}
    return RankingModel(features, trunk, {"all": tower}, targets, staged=False, given={}).eval()


def batch_of(rows: int) -> Batch:
    draw = torch.Generator().manual_seed(rows)
    return Batch(
        ids=torch.randint(0, 30, (rows, 2), generator=draw, dtype=torch.int32),
        lists={},
        numbers=torch.zeros(rows, 0),
        scene=torch.zeros(rows, dtype=torch.long),
        labels={name: torch.zeros(rows) for name in TARGETS},
        weights={},
    )


def test_phi_by_hand() -> None:
    # Of five rows both happen in one, one alone in two, and neither in two.
    a = np.array([1, 1, 0, 0, 0, np.nan], dtype=np.float32)
    b = np.array([1, 0, 1, 0, 0, 1], dtype=np.float32)
    phi = (1 * 2 - 1 * 1) / math.sqrt(2 * 3 * 2 * 3)
    found = label_correlation({"a": a, "b": b})
    assert found["a"]["b"] == pytest.approx(phi)
    assert found["b"]["a"] == pytest.approx(phi)
    assert found["a"]["a"] == pytest.approx(1)


def test_quantities_are_correlated_by_rank() -> None:
    random = np.random.default_rng(0)
    click = random.integers(0, 2, 500).astype(np.float32)
    play = (click * random.exponential(size=500)).astype(np.float32)
    expected = stats.spearmanr(click, play).statistic
    assert label_correlation({"a": click, "b": play})["a"]["b"] == pytest.approx(expected)


def test_correlation_with_what_never_changes_or_was_never_seen_together() -> None:
    a, b = np.ones(3, dtype=np.float32), np.array([0, 1, np.nan], dtype=np.float32)
    c = np.array([np.nan, np.nan, 1], dtype=np.float32)
    found = label_correlation({"a": a, "b": b, "c": c})
    assert math.isnan(found["a"]["b"])
    assert math.isnan(found["b"]["c"])


def test_information_abundance_is_from_singular_values() -> None:
    model = model_of("shared_bottom")
    found = information_abundance(model)
    assert list(found) == ["user", "item"]
    assert list(found["user"]) == ["shared", "own/click", "own/like"]
    weight = model.features.tables.weight.detach()
    for part, value in (
        (weight[:40, :6], found["user"]["shared"]),
        (weight[40:, 9:12], found["item"]["own/like"]),
    ):
        values = torch.linalg.svdvals(part.double())
        assert value == pytest.approx(float(values.sum() / values[0]))


def test_information_abundance_of_a_line_and_of_nothing() -> None:
    model = model_of("shared_bottom")
    weight = model.features.tables.weight.data
    weight[:40, :6] = torch.arange(40.0)[:, None]
    weight[40:, :6] = 0
    found = information_abundance(model)
    assert found["user"]["shared"] == pytest.approx(1, abs=1e-4)
    assert math.isnan(found["item"]["shared"])


def test_information_abundance_of_a_table_too_small_to_fill_its_width() -> None:
    assert list(information_abundance(model_of("shared_bottom", items=24))) == ["user", "item"]
    assert list(information_abundance(model_of("shared_bottom", items=23))) == ["user"]


@torch.no_grad()
def test_gates_and_experts_of_mmoe() -> None:
    model = model_of("mmoe", experts=3, widths=[5])
    batches = [batch_of(50), batch_of(20)]
    seen = [
        (model.trunk.experts(inputs.x), model.trunk.gates(inputs.x))
        for inputs in map(model.features, batches)
    ]
    outputs, weights = (torch.cat(part).double() for part in zip(*seen, strict=True))
    found = expert_health(model, batches)
    dead = ((outputs <= 0).double().mean(0) > 0.9).double().mean(1)
    (experts,), (gates,) = found["experts"].values(), found["gates"].values()
    assert list(experts.values()) == pytest.approx(dead.tolist())
    assert list(gates) == list(TARGETS)
    for i, gate in enumerate(gates.values()):
        mean = weights[:, i].mean(0)
        assert list(gate["weights"].values()) == pytest.approx(mean.tolist(), abs=1e-6)
        entropy = -(weights[:, i] * weights[:, i].log()).sum(1).mean() / math.log(3)
        assert gate["entropy"] == pytest.approx(float(entropy), abs=1e-6)


@torch.no_grad()
def test_dead_experts_and_a_gate_of_one_expert_are_found() -> None:
    model = model_of("mmoe", experts=2, widths=[4])
    bias = model.trunk.experts.first.bias.data.view(2, 4)
    bias[0], bias[1, :3], bias[1, 3] = -100, 100, -100
    model.trunk.gates.linear.bias.data[:] = torch.tensor([100.0, 0.0, 0.0, 0.0])
    found = expert_health(model, [batch_of(40)])
    (experts,), (gates,) = found["experts"].values(), found["gates"].values()
    assert list(experts.values()) == [1.0, 0.25]
    assert gates["click"]["entropy"] == pytest.approx(0, abs=1e-6)
    assert gates["like"]["entropy"] > 0.9


@torch.no_grad()
@pytest.mark.parametrize("activation", ["silu", "gelu", "tanh", "identity"])
def test_a_unit_that_gives_something_is_not_dead(activation: str) -> None:
    model = model_of("mmoe", experts=2, widths=[4], activation=activation)
    model.trunk.experts.first.bias.data[:] = -1.0
    outputs = model.trunk.experts(model.features(batch_of(40)).x)
    assert ((outputs <= 0).double().mean(0) > 0.9).all()
    (experts,) = expert_health(model, [batch_of(40)])["experts"].values()
    assert list(experts.values()) == [0.0, 0.0]


@torch.no_grad()
@pytest.mark.parametrize("activation", ["silu", "gelu"])
def test_a_unit_that_gives_nearly_nothing_is_dead(activation: str) -> None:
    model = model_of("mmoe", experts=2, widths=[4], activation=activation)
    bias = model.trunk.experts.first.bias.data.view(2, 4)
    bias[0, :2], bias[0, 2:], bias[1] = -20, -1, 1
    (experts,) = expert_health(model, [batch_of(40)])["experts"].values()
    assert list(experts.values()) == [0.5, 0.0]


def test_experts_that_a_gate_does_not_see_are_not_listed() -> None:
    found = expert_health(model_of("ple", levels=2, widths=[4]), [batch_of(8)])
    assert len(found["gates"]) == 2
    names = {frozenset(g["weights"]) for gates in found["gates"].values() for g in gates.values()}
    assert len(names) > 1
    for gates in found["gates"].values():
        for gate in gates.values():
            assert sum(gate["weights"].values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", list(trunks))
def test_every_trunk_can_be_looked_at_and_is_left_alone(kind: str) -> None:
    model = model_of(kind)
    expert_health(model, [batch_of(8), batch_of(1)])
    assert not any(part._forward_hooks for part in model.modules())


def test_a_trunk_without_experts() -> None:
    assert expert_health(model_of("shared_bottom"), [batch_of(8)]) == {}


def test_hooks_are_taken_off_when_a_batch_fails() -> None:
    model = model_of("mmoe")
    broken = batch_of(4)
    object.__setattr__(broken, "ids", broken.ids + 1000)
    with pytest.raises((IndexError, RuntimeError)):
        expert_health(model, [broken])
    assert not any(part._forward_hooks for part in model.modules())
