"""Trainings with FBGEMM's tables: the same as with the engine ``torch``, and as safe."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import trimtab
from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared, prepare
from trimtab.errors import InputError, RunError, SettingsError
from trimtab.features.engines import FbgemmSettings
from trimtab.training import checkpoint
from trimtab.training.build import build_state
from trimtab.training.diagnose import diagnose
from trimtab.training.growth import Start
from trimtab.training.loop import renew, update
from trimtab.training.order import Order, batches
from trimtab.training.passes import make_room
from trimtab.training.run import Run
from trimtab.training.state import State

ENGINES = {
    "row-wise": {"kind": "fbgemm"},
    "full": {"kind": "fbgemm", "optimizer": "adagrad"},
    "fp16": {"kind": "fbgemm", "precision": "fp16"},
}


@pytest.fixture(autouse=True)
def package() -> None:
    try:
        FbgemmSettings().build(torch.device("cpu"))
    except SettingsError as error:
        pytest.skip(str(error))


def rows(first: int = 0, last: int = 20, size: int = 300) -> pl.DataFrame:
    random = np.random.default_rng(first)
    return pl.DataFrame(
        {
            "user": random.integers(first, last, size),
            "item": random.integers(0, 9, size),
            "seen": random.integers(0, 9, (size, 2)).tolist(),
            "click": random.integers(0, 2, size),
            "like": random.integers(0, 2, size),
            "held_out": np.arange(size) % 5 == 0,
        }
    )


def settings(engine: dict[str, str], balancing: str = "fixed", **training: Any) -> RunSettings:
    return parse(
        {
            "data": {"valid": {"column": "held_out", "values": [True]}},
            "features": {"user": "id", "item": "id", "seen": {"kind": "ids", "shares": "item"}},
            "targets": {"click": "binary", "like": "binary"},
            "embedding": {"engine": engine},
            "balancing": balancing,
            "training": {"batch_rows": 40, "epochs": 2, "patience": 9, **training},
            "report": {"importance": False},
        }
    )


def prepared_state(run: RunSettings) -> tuple[State, Prepared]:
    prepared = prepare(run.plan(), rows())
    return build_state(run, prepared), prepared


def steps(state: State, prepared: Prepared, run: RunSettings, last: int) -> None:
    order = Order(len(prepared.train), run.training.batch_rows, run.training.seed)
    for some in batches(prepared.train, order.buffers(state.step, last)):
        for batch in some.split():
            renew(state, order, run.training)
            update(state, batch, run.training)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
def test_a_run_that_goes_on_from_a_checkpoint_is_bit_equal(
    engine: dict[str, str], tmp_path: Path
) -> None:
    run = settings(engine, renew_tables=True, max_row_gradient_norm=0.01, table_weight_decay=0.1)
    whole, prepared = prepared_state(run)
    steps(whole, prepared, run, 10)
    first, _ = prepared_state(run)
    steps(first, prepared, run, 4)
    checkpoint.save(tmp_path / "last.safetensors", first.tensors(), first.facts())
    second, _ = prepared_state(run)
    second.restore(*checkpoint.load(tmp_path / "last.safetensors"))
    steps(second, prepared, run, 10)
    found = second.tensors()
    for name, tensor in whole.tensors().items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize(
    ("balancing", "precision", "close"),
    [("fixed", "float32", 1e-4), ("metabalance", "float32", 1e-4), ("fixed", "fp16", 5e-3)],
)
def test_a_training_is_that_of_torch(
    balancing: str, precision: str, close: float, tmp_path: Path
) -> None:
    saved = {}
    for engine in ({"kind": "torch"}, {"kind": "fbgemm", "precision": precision}):
        run = settings(
            engine, balancing=balancing, max_row_gradient_norm=0.01, table_weight_decay=0.01
        )
        out = tmp_path / engine["kind"]
        trimtab.train(run, rows(), out=out)
        saved[engine["kind"]] = load_file(out / "last.safetensors")
    assert saved["torch"].keys() == saved["fbgemm"].keys()
    for name, tensor in saved["torch"].items():
        found = saved["fbgemm"][name].to(tensor.dtype)
        torch.testing.assert_close(found, tensor, rtol=close, atol=close, msg=name)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
def test_a_run_is_served_where_the_package_is_missing(
    engine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trimtab.train(settings(engine), rows(), out=tmp_path / "run")
    monkeypatch.setitem(sys.modules, "fbgemm_gpu", None)
    run = Run.load(tmp_path / "run")
    table = load_file(tmp_path / "run" / "model.safetensors")["features.tables.weight"]
    assert torch.equal(run.model.features.tables.weight, table.float())
    assert run.predict(rows().head(3)).height == 3
    assert set(run.evaluate(rows())["targets"]) == {"click", "like"}


@pytest.mark.parametrize("before", ["torch", "row-wise"])
@pytest.mark.parametrize("after", ["row-wise", "fp16"])
def test_a_run_goes_on_from_another_on_later_rows(before: str, after: str, tmp_path: Path) -> None:
    first = settings(ENGINES.get(before, {"kind": "torch"}))
    trimtab.train(first, rows(), out=tmp_path / "first")
    state = grown(tmp_path / "first", settings(ENGINES[after]))
    table = load_file(tmp_path / "first" / "model.safetensors")["features.tables.weight"]
    last = load_file(tmp_path / "first" / "last.safetensors")
    own = state.tables()
    users = slice(0, 22)
    assert torch.equal(own["weight"][users], table[users].to(own["weight"].dtype))
    sums = last["optimizer.model.features.tables.weight.sum"]
    assert torch.equal(own["sum"][users], sums[users])
    assert len(own["weight"]) > len(table)
    trimtab.train(
        settings(ENGINES[after], renew_tables=True),
        rows(10, 30),
        out=tmp_path / "second",
        start=tmp_path / "first",
    )


@pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
def test_a_model_can_be_looked_at_and_is_left_alone(engine: dict[str, str]) -> None:
    found = {}
    for name, kind in (("torch", {"kind": "torch"}), ("fbgemm", engine)):
        run = settings(kind, renew_tables=True, passes=2)
        state, prepared = prepared_state(run)
        make_room(state.model, 1)
        before = {key: tensor.clone() for key, tensor in state.model.state_dict().items()}
        found[name] = diagnose(run, prepared, state.model)["affinity"]
        after = state.model.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)
    close = 1e-2 if engine.get("precision") == "fp16" else 1e-4
    for target, row in found["torch"].items():
        assert found["fbgemm"][target] == pytest.approx(row, abs=close)


def test_step_sizes_of_another_kind_are_refused(tmp_path: Path) -> None:
    trimtab.train(settings(ENGINES["full"]), rows(), out=tmp_path / "run")
    assert grown(tmp_path / "run", settings(ENGINES["full"])).tables()["sum"].any()
    with pytest.raises(InputError, match="embedding.engine"):
        grown(tmp_path / "run", settings(ENGINES["row-wise"]))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    run = settings(ENGINES["fp16"], table_learning_rate=1e9)
    with pytest.raises(RunError, match="not finite"):
        trimtab.train(run, rows(), out=tmp_path / "run")


def grown(run: Path, now: RunSettings) -> State:
    """Return the state of a training that goes on from ``run`` on later rows."""
    start = Start.of(run, now)
    state = build_state(now, prepare(replace(now.plan(), base=start.base), rows(10, 30)))
    start.take_over(state, now)
    return state
