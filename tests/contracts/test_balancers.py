"""What every balancer owes, checked for each one that is registered, in a whole model."""

import copy
from importlib.util import find_spec
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from trimtab.balancing import Balancer, balancers
from trimtab.batch import Batch
from trimtab.config.load import parse
from trimtab.data.prepare import Prepared, prepare
from trimtab.features.tables import Tables
from trimtab.training.build import build_state
from trimtab.training.loop import update
from trimtab.training.state import State

ROWS = 96
WEIGHTS = {"click": 1.0, "like": 2.0, "play": 0.5}
OPTIONS: list[dict[str, Any]] = [
    *({"kind": kind} for kind in balancers),
    {"kind": "db_mtl", "at": "parameters"},
    {"kind": "metabalance", "at": "parameters", "toward": "like"},
    {"kind": "torchjd", "at": "parameters"},
    *({"kind": "torchjd", "aggregator": name} for name in ("pcgrad", "aligned_mtl", "nash")),
]


@pytest.fixture(params=OPTIONS, ids=lambda table: "-".join(map(str, table.values())))
def balancing(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param["kind"] == "torchjd" and find_spec("torchjd") is None:
        pytest.skip("torchjd is optional")
    return dict(request.param)


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    random = np.random.default_rng(0)
    like = random.integers(0, 2, ROWS).astype(float)
    like[:48] = np.nan
    return pl.DataFrame(
        {
            "user": random.integers(0, 9, ROWS),
            "item": random.integers(0, 5, ROWS),
            "age": random.normal(size=ROWS),
            "click": random.integers(0, 2, ROWS),
            "like": like,
            "play": np.exp(random.normal(size=ROWS)),
            "held_out": np.arange(ROWS) % 8 == 0,
        }
    )


def run_file(balancing: dict[str, Any], **changes: Any) -> dict[str, Any]:
    kinds = {"click": "binary", "like": "binary", "play": "duration"}
    return {
        "data": {"valid": {"column": "held_out", "values": [True]}},
        "features": {
            "user": {"kind": "id", "least_rows": 1},
            "item": {"kind": "id", "least_rows": 1},
            "age": "number",
        },
        "targets": {n: {"kind": kinds[n], "weight": WEIGHTS[n]} for n in kinds},
        "embedding": {"width": 4, "own_width": 2},
        "trunk": {"kind": "shared_bottom", "widths": [8]},
        "tower": {"widths": [4]},
        "balancing": balancing,
        "training": {"batch_rows": 16, "device": "cpu"},
        **changes,
    }


def start(frame: pl.DataFrame, content: dict[str, Any]) -> tuple[State, Prepared, Any]:
    settings = parse(content)
    prepared = prepare(settings.plan(), frame)
    return build_state(settings, prepared), prepared, settings.training


def gradients(state: State, batch: Batch) -> dict[str, Tensor]:
    """Return what one backward of the balancer leaves on every parameter."""
    for parameter in state.model.parameters():
        parameter.grad = None
    inputs, tasks = state.model.represent(batch)
    losses = state.objective(state.model, batch, state.model.head(inputs, tasks))
    different = list({id(x): x for x in tasks.values()}.values())
    shared = list(state.model.trunk.shared_parameters())
    state.balancer.backward(losses, different, shared)
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.to_dense()
        for name, p in state.model.named_parameters()
    }


@pytest.mark.parametrize("rows", [1, 7, 60])
@pytest.mark.parametrize("trunk", ["shared_bottom", "mmoe"])
def test_every_gradient_is_finite(
    frame: pl.DataFrame, balancing: dict[str, Any], trunk: str, rows: int
) -> None:
    state, prepared, _ = start(frame, run_file(balancing, trunk=trunk))
    found = gradients(state, prepared.train.batch(np.arange(rows)))
    assert all(gradient.isfinite().all() for gradient in found.values())
    assert all(found[name].any() for name in found if "trunk" in name) or rows < 60


def test_one_pass_through_the_tables(
    frame: pl.DataFrame, balancing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []

    def counted(self: Tables, lookup: Any) -> Tensor:
        rows = gather(self, lookup)
        rows.grad_fn.register_hook(lambda *_: passes.append(1))  # type: ignore[union-attr]
        return rows

    gather = Tables.distinct
    monkeypatch.setattr(Tables, "distinct", counted)
    state, prepared, _ = start(frame, run_file(balancing))
    gradients(state, prepared.train.batch(np.arange(60)))
    assert len(passes) == 1


def test_own_parts_get_plain_directions(frame: pl.DataFrame, balancing: dict[str, Any]) -> None:
    """A head's gradient is its loss's alone, whatever the others do."""
    state, prepared, _ = start(frame, run_file(balancing))
    plain, _, _ = start(frame, run_file({"kind": "fixed"}))
    batch = prepared.train.batch(np.arange(60))
    found, expected = gradients(state, batch), gradients(plain, batch)
    for name in found:
        if ".heads." in name or name.startswith("own."):
            assert_same_direction(found[name], expected[name], name)


def assert_same_direction(found: Tensor, expected: Tensor, name: str) -> None:
    lengths = found.norm() * expected.norm()
    if expected.norm() == 0:
        assert found.norm() == 0, name
    else:
        assert (found * expected).sum() / lengths == pytest.approx(1, abs=1e-4), name


def test_one_target_alone_trains_as_ever(frame: pl.DataFrame, balancing: dict[str, Any]) -> None:
    targets = {"like": {"kind": "binary", "weight": 2.0}}
    state, prepared, _ = start(frame, run_file(balancing, targets=targets))
    plain, _, _ = start(frame, run_file({"kind": "fixed"}, targets=targets))
    batch = prepared.train.batch(np.arange(60))
    expected = gradients(plain, batch)
    for _ in range(3):
        found = gradients(state, batch)
        for name in found:
            # Blocks of the tables have step sizes of their own.
            blocks = list(state.model.features.tables.blocks.values())
            widths = blocks if "tables" in name else [found[name].shape[-1]]
            parts = zip(
                found[name].split(widths, -1), expected[name].split(widths, -1), strict=True
            )
            for part, wanted in parts:
                assert_same_direction(part, wanted, name)


def test_a_target_without_observed_rows_trains_nothing(
    frame: pl.DataFrame, balancing: dict[str, Any]
) -> None:
    state, prepared, training = start(frame, run_file(balancing))
    label = prepared.train.label("like")
    missing = prepared.train.batch(np.flatnonzero(np.isnan(label))[:20])
    for _ in range(3):
        found = gradients(state, missing)
        assert all(gradient.isfinite().all() for gradient in found.values())
        for name, gradient in found.items():
            assert not (("like" in name) and gradient.any()), name
        assert found["trunk.bottom.0.weight"].any()
    for rows in (missing, prepared.train.batch(np.arange(60)), missing):
        update(state, rows, training)
    assert all(weight >= 0 for weight in state.balancer.weights().values())
    assert all(parameter.isfinite().all() for parameter in state.model.parameters())


def test_no_observed_row_at_all(frame: pl.DataFrame, balancing: dict[str, Any]) -> None:
    state, prepared, training = start(frame, run_file(balancing))
    batch = prepared.train.batch(np.arange(8))
    empty = {name: torch.full_like(label, torch.nan) for name, label in batch.labels.items()}
    nothing = Batch(**{f: getattr(batch, f) for f in Batch.__slots__} | {"labels": empty})
    assert not any(gradient.any() for gradient in gradients(state, nothing).values())
    for rows in (nothing, batch, nothing):
        update(state, rows, training)
    assert all(parameter.isfinite().all() for parameter in state.model.parameters())


def test_a_targets_weight_counts(frame: pl.DataFrame, balancing: dict[str, Any]) -> None:
    """Four times the weight is a larger share of what the trunk learns; in conflict, not 4."""
    shares = []
    for weight in (1.0, 4.0):
        content = run_file(balancing)
        content["targets"] = {n: t | {"weight": 1.0} for n, t in content["targets"].items()}
        content["targets"]["like"]["weight"] = weight
        state, prepared, _ = start(frame, content)
        gradients(state, prepared.train.batch(np.arange(60)))
        used = state.balancer.weights()
        shares.append(used["like"] / used["click"])
    assert shares[1] > 1.3 * shares[0]


def test_weight_zero_takes_no_part(frame: pl.DataFrame, balancing: dict[str, Any]) -> None:
    """Not even with a loss that is not finite."""
    settings = parse(run_file({k: v for k, v in balancing.items() if k != "toward"})).balancing
    found = []
    for weights in ({"a": 1.0, "b": 2.0}, {"a": 1.0, "off": 0.0, "b": 2.0}):
        torch.manual_seed(0)
        shared = torch.nn.Parameter(torch.tensor([[1.0, 2.0]]))
        h = 3 * shared
        losses = {"a": h.square().sum(), "b": (h - 1).abs().sum(), "off": h.sum() * torch.inf}
        balancer = settings.build(weights)
        balancer.backward(losses, [h], [shared])
        assert list(balancer.weights()) == ["a", "b"]
        found.append(shared.grad)
    assert torch.equal(found[0], found[1])


def test_its_state_is_all_that_it_remembers(frame: pl.DataFrame, balancing: dict[str, Any]) -> None:
    table = balancing | ({"window": 2} if balancing["kind"] == "dwa" else {})
    state, prepared, training = start(frame, run_file(table))
    batches = [prepared.train.batch(np.arange(i, i + 40)) for i in range(0, 40, 8)]
    for batch in batches:
        update(state, batch, training)
    tensors = {name: t.clone() for name, t in state.tensors().items()}
    facts = copy.deepcopy(state.facts())
    again, _, _ = start(frame, run_file(table))
    again.restore(tensors, facts)
    assert again.balancer.weights() == state.balancer.weights()
    runs = []
    for run in (state, again):
        torch.set_rng_state(tensors["random"])
        for batch in batches:
            update(run, batch, training)
        runs.append(run.tensors())
    assert runs[0].keys() == runs[1].keys()
    assert [name for name in runs[0] if not torch.equal(runs[0][name], runs[1][name])] == []


def test_it_knows_no_settings(balancing: dict[str, Any]) -> None:
    balancer = parse(run_file(balancing)).balancing.build(WEIGHTS)
    assert isinstance(balancer, Balancer)
    assert not any("Settings" in type(value).__name__ for value in vars(balancer).values())


def test_a_trunk_without_parameters(frame: pl.DataFrame, balancing: dict[str, Any]) -> None:
    trunk = {"kind": "shared_bottom", "widths": []}
    state, prepared, _ = start(frame, run_file(balancing, trunk=trunk))
    found = gradients(state, prepared.train.batch(np.arange(60)))
    assert found["features.tables.weight"].any()
    assert all(gradient.isfinite().all() for gradient in found.values())
