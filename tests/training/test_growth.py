"""What a run takes over from an earlier one, tensor by tensor."""

import json
import os
import shutil
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
from trimtab.training.build import build_state
from trimtab.training.growth import Start
from trimtab.training.progress import Silent
from trimtab.training.state import State
from trimtab.training.takeover import unlike

TARGETS = {"click": {"kind": "binary"}, "like": {"kind": "binary"}, "play": {"kind": "duration"}}


def day(first: int, last: int, rows: int = 300) -> pl.DataFrame:
    """Return rows of users ``first`` to ``last``."""
    random = np.random.default_rng(first)
    return pl.DataFrame(
        {
            "user": random.integers(first, last, rows),
            "item": random.integers(0, 9, rows),
            "seen": random.integers(0, 9, (rows, 2)).tolist(),
            "age": random.normal(size=rows),
            "click": random.integers(0, 2, rows),
            "like": random.integers(0, 2, rows),
            "play": random.exponential(9.0, rows),
            "held_out": np.arange(rows) % 5 == 0,
        }
    )


def settings(**tables: Any) -> RunSettings:
    content: dict[str, Any] = {
        "data": {"valid": {"column": "held_out", "values": [True]}},
        "features": {
            "user": "id",
            "item": {"kind": "id", "hash_rows": 12},
            "seen": {"kind": "ids", "shares": "item"},
            "age": "number",
        },
        "targets": TARGETS,
        "balancing": {"kind": "uncertainty"},
        "training": {"batch_rows": 50, "epochs": 1, "evaluations": 2, "average": 0.5},
        "report": {"importance": False},
    }
    return parse(content | tables)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    trimtab.train(settings(), day(0, 10), out=out)
    return out


def started(run: Path, new: RunSettings) -> tuple[State, Prepared, Start]:
    start = Start.of(run, new)
    prepared = prepare(replace(new.plan(), base=start.base), day(5, 15))
    state = build_state(new, prepared)
    start.take_over(state, new)
    return state, prepared, start


def test_known_ids_keep_weights_and_step_sizes_and_new_ones_start_fresh(run: Path) -> None:
    new = settings()
    state, prepared, start = started(run, new)
    served, last = load_file(run / "model.safetensors"), load_file(run / "last.safetensors")
    old = {"user": 12, "item": 14, "seen.length": 51}
    tables = state.model.features.tables
    assert start.base.statistics.tables | {"seen.length": 51} == old
    assert tables.tables == {"user": 17, "item": 14, "seen.length": 51}
    fresh = build_state(new, prepared).model.features.tables.weight
    own, place = state.tables(), 0
    for name, rows in old.items():
        was = slice(place, place + rows)
        now = slice(tables.offset[name], tables.offset[name] + rows)
        assert torch.equal(own["weight"][now], served["features.tables.weight"][was])
        sums = last["optimizer.model.features.tables.weight.sum"]
        assert torch.equal(own["sum"][now], sums[was])
        place += rows
    added = slice(tables.offset["user"] + 12, tables.offset["user"] + 17)
    assert torch.equal(own["weight"][added], fresh[added])
    assert not own["sum"][added].any()


def test_the_dense_part_and_its_optimiser_go_on(run: Path) -> None:
    state, _, _ = started(run, settings())
    served, last = load_file(run / "model.safetensors"), load_file(run / "last.safetensors")
    for name, tensor in state.model.state_dict().items():
        assert name == "features.tables.weight" or torch.equal(tensor, served[name])
    names = [name for name, _, _ in state.learnt()]
    assert "balancer.log_variance" in names
    own = state.tensors()
    optimizer = [name for name in last if name.startswith(("optimizer.", "balancer."))]
    assert {n for n in own if n.startswith(("optimizer.", "balancer."))} == set(optimizer)
    for name in optimizer:
        assert "tables" in name or torch.equal(own[name], last[name])
    assert (state.step, state.curves, state.average) == (0, [], {})


def test_it_predicts_what_the_earlier_run_predicts(run: Path, tmp_path: Path) -> None:
    new = settings(training={"epochs": 1, "evaluations": 1, "learning_rate": 1e-30,
                             "table_learning_rate": 1e-30})  # fmt: skip
    grown = trimtab.train(new, day(5, 15), out=tmp_path / "second", start=run)
    rows = day(0, 10).drop("click", "like", "play")
    earlier = trimtab.Run.load(run)
    for ours in (grown, trimtab.Run.load(tmp_path / "second")):
        assert ours.predict(rows).columns == earlier.predict(rows).columns
        logits = [run.model(run.statistics.columns(rows, {}, {}, None).batch(np.arange(300)))
                  for run in (earlier, ours)]  # fmt: skip
        for name, logit in logits[0].items():
            assert torch.allclose(logit, logits[1][name], atol=1e-6)


def test_targets_come_and_go(run: Path) -> None:
    kept = {"like": TARGETS["like"], "share": {"kind": "binary", "column": "click"}}
    state, _, _ = started(run, settings(targets=kept))
    served = load_file(run / "model.safetensors")
    own = state.model.state_dict()
    for name in ("towers.all.heads.like.weight", "trunk.bottom.0.weight"):
        assert torch.equal(own[name], served[name])
    assert not any("balancer" in name for name in state.tensors() if name.startswith("optimizer"))
    assert list(state.model.features.tables.blocks)[:3] == ["shared", "own/like", "own/share"]
    table, old = state.tables()["weight"][:12], served["features.tables.weight"][:12]
    assert torch.equal(table[:, :16], old[:, :16])
    assert torch.equal(table[:, 16:20], old[:, 20:24])  # After the block of ``click`` before.
    assert not torch.equal(table[:, 20:24], old[:, 24:28])


def test_a_day_without_a_single_like_is_a_day(run: Path, tmp_path: Path) -> None:
    rows = day(5, 15).with_columns(like=pl.lit(0), play=pl.lit(None, pl.Float64))
    grown = trimtab.train(settings(), rows, out=tmp_path / "second", start=run)
    assert grown.predict(rows)["play"].is_finite().all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"features": {"user": "id"}}, "features: gone: item, seen, age"),
        ({"features": {"age": "number", "user": "id"}}, "features: gone: item, seen"),
        ({"embedding": {"width": 8}}, "embedding.width was 16 and is 8"),
        ({"trunk": {"kind": "mmoe"}}, "trunk.kind was"),
        ({"trunk": {"kind": "shared_bottom", "widths": [9]}}, r"trunk.widths was .* is \[9\]"),
        ({"tower": {"widths": [8]}}, "tower.widths was"),
        ({"targets": {"play": {"kind": "number"}}}, "targets.play.kind was"),
        ({"targets": TARGETS | {"click": {"kind": "binary", "task": "one"}}}, "tasks of the trunk"),
        ({"scenes": {"stages": ["one"]}}, "scenes"),
    ],
)
def test_what_cannot_be_taken_over_is_told(run: Path, changes: Any, says: str) -> None:
    try:
        new = settings(**changes)
    except trimtab.SettingsError:
        new = settings(**(changes | {"targets": {"click": {"kind": "binary", "scene": "one"}}}))
    with pytest.raises(trimtab.InputError, match=says):
        Start.of(run, new)


def test_weights_columns_and_the_loop_may_change(run: Path) -> None:
    targets = TARGETS | {"click": {"kind": "binary", "weight": 3, "column": "clicked"}}
    new = settings(
        targets=targets,
        training={"epochs": 9},
        balancing={"kind": "fixed"},
        embedding={"dropout": 0.1},
        features={
            "user": {"kind": "id", "least_rows": 5, "column": "user_id"},
            "item": {"kind": "id", "hash_rows": 12},
            "seen": {"kind": "ids", "shares": "item"},
            "age": "number",
        },
    )
    assert unlike(settings(), new) == []


def test_features_in_another_order_are_other_inputs() -> None:
    features = settings().model_dump(mode="json")["features"]
    other = settings(features=dict(reversed(features.items())))
    assert unlike(settings(), other) == ["features: in another order"]


def test_tables_are_renewed_to_where_they_started(run: Path, tmp_path: Path) -> None:
    training = {"batch_rows": 50, "epochs": 3, "evaluations": 1, "renew_tables": True}
    new = settings(training=training)
    state, _, start = started(run, new)
    grown = trimtab.train(new, day(5, 15), out=tmp_path / "second", start=run)
    kept = load_file(tmp_path / "second" / "start.safetensors")
    assert {name: t.shape for name, t in kept.items()} == {
        name: t.shape for name, t in state.tables().items()
    }
    assert all(torch.equal(kept[name], tensor) for name, tensor in state.tables().items())
    state.origin = tmp_path / "second" / "start.safetensors"
    for tensor in state.tables().values():
        tensor += 1.0
    state.renew(0)
    assert all(torch.equal(kept[name], tensor) for name, tensor in state.tables().items())
    assert grown.folder == tmp_path / "second"
    assert start.run == run


def killed(folder: Path) -> Path:
    """Leave what a run leaves that is killed before its first checkpoint."""
    for path in folder.iterdir():
        if path.is_file() and path.name not in ("settings.json", "start.json", "statistics.json"):
            path.unlink()
    shutil.rmtree(folder / "front")
    return folder


def begun(run: Path, place: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """Return a copy of ``run``, and the weights of what went on from it into ``second``."""
    first = shutil.copytree(run, place / "first")
    trimtab.train(settings(), day(5, 15), out=place / "second", start=first)
    return first, load_file(place / "second" / "model.safetensors")


def resume(place: Path, **others: Any) -> None:
    trimtab.train(settings(), day(5, 15), out=place / "second", resume=True, **others)


@pytest.mark.parametrize("left", ["all that is written before training", "start.json alone"])
def test_one_killed_before_its_first_checkpoint_starts_from_the_same_run(
    run: Path, tmp_path: Path, left: str
) -> None:
    _, wanted = begun(run, tmp_path)
    folder = killed(tmp_path / "second")
    if left == "start.json alone":
        (folder / "settings.json").unlink()
        (folder / "statistics.json").unlink()
        shutil.rmtree(folder / "vocabularies")
    resume(tmp_path)
    found = load_file(folder / "model.safetensors")
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_what_it_started_from_is_written_before_all_else(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (written.append(Path(b).name), replace(a, b)))
    begun(run, tmp_path)
    assert written[0] == "start.json"


def test_one_killed_asks_for_its_start_where_that_is_gone_or_other(
    run: Path, tmp_path: Path
) -> None:
    first, wanted = begun(run, tmp_path)
    folder = killed(tmp_path / "second")
    first.rename(tmp_path / "moved")
    says = f"{folder}: has no checkpoint yet.*first: no run;.*\n.*--from"
    with pytest.raises(trimtab.InputError, match=f"(?s){says}"):
        resume(tmp_path)
    trimtab.train(settings(), day(0, 3), out=first)
    with pytest.raises(trimtab.InputError, match=r"first: was trained anew .*\n.*--from"):
        resume(tmp_path)
    resume(tmp_path, start=tmp_path / "moved")
    found = load_file(folder / "model.safetensors")
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_one_killed_and_then_stopped_still_knows_its_start(run: Path, tmp_path: Path) -> None:
    class Stop(Silent):
        def advance(self, *update: Any) -> None:
            raise KeyboardInterrupt

    begun(run, tmp_path)
    folder = killed(tmp_path / "second")
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path, progress=Stop())
    assert json.loads((folder / "start.json").read_text())["run"] == str(tmp_path / "first")
