"""What weights of targets do to a whole training, and what the start depends on."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

import trimtab
from trimtab.config.load import parse
from trimtab.data.prepare import Prepared, prepare
from trimtab.model import RankingModel
from trimtab.targets import Duration, Number
from trimtab.targets.heads import LogSquared
from trimtab.targets.number import Squared
from trimtab.training.build import build_state
from trimtab.training.loop import update
from trimtab.training.order import Order
from trimtab.training.state import State

ROWS, EPOCHS = 600, 2


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    random = np.random.default_rng(0)
    click = random.integers(0, 2, ROWS)
    drawn = {f"id{i}": random.integers(0, 4 + 3 * i, ROWS) for i in range(6)}
    history = [random.integers(0, 22, random.integers(0, 5)).tolist() for _ in range(ROWS)]
    like = [int(c and random.random() < 0.5) if random.random() < 0.9 else None for c in click]
    return pl.DataFrame(drawn).with_columns(
        history=pl.Series(history, dtype=pl.List(pl.Int64)),
        age=pl.Series(random.normal(size=ROWS)),
        tab=pl.Series(random.integers(0, 3, ROWS)),
        click=pl.Series(click),
        like=pl.Series(like),
        play=pl.Series(np.exp(random.normal(size=ROWS) + 2)),
        rating=pl.Series(np.where(random.random(ROWS) < 0.3, np.nan, random.normal(size=ROWS))),
        weight=pl.Series(random.random(ROWS)),
        held_out=pl.Series(np.arange(ROWS) % 6 == 0),
    )


TARGETS: dict[str, Any] = {
    "click": {"kind": "binary"},
    "like": {"kind": "binary", "given": "click", "weight": 3.0, "positive_weight": 2.0},
    "play": {"kind": "duration", "row_weight": "weight"},
}
EXTRA: dict[str, Any] = {
    "binary": {"kind": "binary", "column": "like"},
    "conditional": {"kind": "binary", "column": "like", "given": "click", "positive_weight": 9.0},
    "number": {"kind": "number", "column": "rating", "row_weight": "weight"},
    "duration": {"kind": "duration", "column": "play", "given": "click"},
    "amount": {"kind": "amount", "column": "play", "given": "click"},
    "blend": {"kind": "blend", "of": {"click": 1, "like": 5}},
    "limited": {"kind": "binary", "column": "like", "scene": "stream"},
    "task": {"kind": "binary", "column": "like", "task": "rare"},
}


def run_file(targets: dict[str, Any], **tables: Any) -> dict[str, Any]:
    ids = {f"id{i}": {"kind": "id", "least_rows": 1} for i in range(6)}
    return {
        "data": {"valid": {"column": "held_out", "values": [True]}},
        "features": {
            **ids,
            "history": {"kind": "ids", "shares": "id5"},
            "age": {"kind": "number"},
        },
        "scenes": {"column": "tab", "cover": [0], "stream": [1]},
        "targets": copy.deepcopy(targets),
        "embedding": {"width": 8, "own_width": 4, "first_order": True},
        "training": {"batch_rows": 64, "epochs": EPOCHS, "device": "cpu", "seed": 5},
        **tables,
    }


def start(frame: pl.DataFrame, content: dict[str, Any]) -> tuple[State, Prepared, Any]:
    settings = parse(content)
    prepared = prepare(settings.plan(), frame)
    return build_state(settings, prepared), prepared, settings


Trained = tuple[State, dict[str, Tensor]]


@pytest.fixture(scope="module")
def baseline(frame: pl.DataFrame) -> Trained:
    return trained(frame, run_file(TARGETS))


def trained(frame: pl.DataFrame, content: dict[str, Any]) -> Trained:
    """Train some epochs; return the state and its predictions of the valid rows."""
    state, prepared, settings = start(frame, content)
    torch.manual_seed(0)  # Of dropout.
    order = Order(len(prepared.train), settings.training.batch_rows, settings.training.seed)
    for rows in order.indices(0, EPOCHS * order.steps):
        update(state, prepared.train.batch(rows), settings.training)
    with torch.no_grad():
        model = state.model.eval()
        whole = prepared.train.batch(np.arange(len(prepared.train)))
        model.finish(whole, model(whole))
        data = prepared.valid.batch(np.arange(len(prepared.valid)))
        return state, model.predict(data, model(data))


def parts(model: RankingModel) -> dict[str, Tensor]:
    """Return every parameter and buffer by name, the table cut into its tables and blocks."""
    found = {f"{n}": t for n, t in model.state_dict().items() if n != "features.tables.weight"}
    tables, weight = model.features.tables, model.features.tables.weight.detach()
    for table, rows in tables.tables.items():
        first, column = tables.offset[table], 0
        for block, width in tables.blocks.items():
            found[f"{table}/{block}"] = weight[first : first + rows, column : column + width]
            column += width
    return found


def assert_as_if_absent(with_it: State, without: State) -> None:
    ours, theirs = parts(with_it.model), parts(without.model)
    assert len(theirs) > 20
    assert theirs.keys() < ours.keys()
    different = [name for name, value in theirs.items() if not torch.equal(ours[name], value)]
    assert different == []


def assert_it_learnt(state: State, begun: State) -> None:
    before, after = parts(begun.model), parts(state.model)
    same = [name for name in before if torch.equal(after[name], before[name])]
    # What a target knows of its labels is learnt before the start.
    assert [name for name in same if not name.startswith("targets.")] == []


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("kind", EXTRA)
def test_a_target_of_weight_zero_is_as_if_absent(
    frame: pl.DataFrame, baseline: Trained, kind: str, place: str
) -> None:
    extra = {"extra": EXTRA[kind] | {"weight": 0.0}}
    targets = extra | TARGETS if place == "first" else TARGETS | extra
    without, expected = baseline
    with_it, predictions = trained(frame, run_file(targets))
    assert_as_if_absent(with_it, without)
    assert all(torch.equal(predictions[name], value) for name, value in expected.items())


def test_every_part_learns_meanwhile(frame: pl.DataFrame, baseline: Trained) -> None:
    assert_it_learnt(baseline[0], start(frame, run_file(TARGETS))[0])


@pytest.mark.parametrize(
    ("others", "embedding"),
    [(1, {}), (2, {}), (6, {}), (2, {"own_width": 8}), (2, {"own_width": 0})],
)
def test_however_many_targets_of_weight_zero_there_are(
    frame: pl.DataFrame, others: int, embedding: dict[str, Any]
) -> None:
    """Sums over fields, blocks and rows are rounded alike whatever stands beside them."""
    embedding = {"width": 8, "own_width": 4, **embedding}
    extra = {f"extra{i}": EXTRA["binary"] | {"weight": 0.0} for i in range(others)}
    without, expected = trained(frame, run_file(TARGETS, embedding=embedding))
    with_it, predictions = trained(frame, run_file(TARGETS | extra, embedding=embedding))
    assert_as_if_absent(with_it, without)
    assert all(torch.equal(predictions[name], value) for name, value in expected.items())


TABLES: dict[str, dict[str, Any]] = {
    "denominator": {"loss": {"denominator": "observed"}},
    "weights": {"loss": {"denominator": "weights"}},
    "norm": {"trunk": {"kind": "shared_bottom", "norm": "batch"}, "tower": {"norm": "batch"}},
    "dropout": {
        "trunk": {"kind": "shared_bottom", "dropout": 0.2},
        "tower": {"dropout": 0.2},
        "embedding": {"dropout": 0.2},
    },
    "loop": {
        "training": {
            "batch_rows": 64,
            "max_gradient_norm": 0.1,
            "average": 0.9,
            "weight_decay": 0.1,
            "table_weight_decay": 0.01,
        }
    },
}


@pytest.mark.parametrize("table", TABLES)
def test_weight_zero_under_other_settings(frame: pl.DataFrame, table: str) -> None:
    extra = {"extra": EXTRA["binary"] | {"weight": 0.0}}
    without, expected = trained(frame, run_file(TARGETS, **TABLES[table]))
    with_it, predictions = trained(frame, run_file(extra | TARGETS, **TABLES[table]))
    assert_as_if_absent(with_it, without)
    assert all(torch.equal(predictions[name], value) for name, value in expected.items())


def test_weight_zero_under_the_mean_over_a_tower(frame: pl.DataFrame) -> None:
    extra = {"extra": EXTRA["binary"] | {"weight": 0.0}}
    without, _ = trained(frame, run_file(TARGETS, loss={"tower": "mean"}))
    with_it, _ = trained(frame, run_file(extra | TARGETS, loss={"tower": "mean"}))
    assert_as_if_absent(with_it, without)


@pytest.mark.parametrize("table", ["denominator", "dropout"])
def test_weight_zero_in_a_whole_run(frame: pl.DataFrame, table: str, tmp_path: Path) -> None:
    """Early stopping, the best checkpoint and the metrics do not see it either."""
    extra = {"extra": EXTRA["binary"] | {"weight": 0.0}}
    without, with_it = (
        trimtab.train(run_file(targets, **TABLES[table]), frame, out=tmp_path / str(len(targets)))
        for targets in (TARGETS, TARGETS | extra)
    )
    valid = frame.filter(pl.col("held_out"))
    ours, theirs = with_it.predict(valid), without.predict(valid)
    assert ours.select(theirs.columns).equals(theirs)


def test_a_target_of_some_weight_is_not_as_if_absent(
    frame: pl.DataFrame, baseline: Trained
) -> None:
    without, _ = baseline
    with_it, _ = trained(frame, run_file(TARGETS | {"extra": EXTRA["binary"] | {"weight": 1e-3}}))
    ours, theirs = parts(with_it.model), parts(without.model)
    for name in ("trunk.bottom.0.weight", "id0/shared", "towers.cover.hidden.all.0.weight"):
        assert not torch.equal(ours[name], theirs[name])


def test_adding_a_target_changes_no_others_start(frame: pl.DataFrame) -> None:
    small, _, _ = start(frame, run_file(TARGETS))
    large, _, _ = start(frame, run_file({"extra": EXTRA["binary"]} | TARGETS))
    assert_as_if_absent(large, small)


def test_adding_a_feature_changes_only_the_first_layer(frame: pl.DataFrame) -> None:
    content = run_file(TARGETS)
    small, _, _ = start(frame, content)
    content["features"] = {
        "new": {"kind": "id", "column": "id3"},
        "ratio": {"kind": "number", "column": "weight"},
    } | content["features"]
    large, _, _ = start(frame, content)
    ours, theirs = parts(large.model), parts(small.model)
    different = [name for name, value in theirs.items() if not torch.equal(ours[name], value)]
    # A layer's bias is drawn after its weight, whose shape changed.
    layers = ["trunk.bottom.0", *(f"own.{target}.hidden.0" for target in TARGETS)]
    assert {name.rpartition(".")[0] for name in different} == set(layers)
    assert {"new/shared", "new/own/click", "new/first/click"} <= ours.keys() - theirs.keys()


def test_adding_a_scene_changes_no_others_start(frame: pl.DataFrame) -> None:
    small, _, _ = start(frame, run_file(TARGETS))
    scenes = {"column": "tab", "page": [2], "cover": [0], "stream": [1]}
    large, _, _ = start(frame, run_file(TARGETS, scenes=scenes))
    ours, theirs = parts(large.model), parts(small.model)
    common = ours.keys() & theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in common)
    assert {name.split(".")[1] for name in ours.keys() - theirs.keys()} == {"page"}


def test_the_seed_decides_the_start(frame: pl.DataFrame) -> None:
    first, again = (parts(start(frame, run_file(TARGETS))[0].model) for _ in range(2))
    assert all(torch.equal(again[name], value) for name, value in first.items())
    content = run_file(TARGETS)
    content["training"]["seed"] = 6
    other = parts(start(frame, content)[0].model)
    drawn = [name for name in first if "weight" in name or "/" in name]
    assert len(drawn) > 20
    assert not any(torch.equal(other[name], first[name]) for name in drawn)


def test_the_same_run_twice_is_the_same_run(frame: pl.DataFrame) -> None:
    a, b = (trained(frame, run_file(TARGETS, **TABLES["dropout"]))[1] for _ in range(2))
    assert all(torch.equal(b[name], value) for name, value in a.items())


def test_every_block_of_the_tables_is_trained(frame: pl.DataFrame) -> None:
    state, prepared, settings = start(frame, run_file(TARGETS))
    data = prepared.train.batch(np.arange(64))
    before = parts(state.model)
    before = {name: value.clone() for name, value in before.items() if "/" in name}
    update(state, data, settings.training)
    after = parts(state.model)
    assert [name for name, value in before.items() if torch.equal(after[name], value)] == []


def test_a_conditional_target_starts_from_the_rows_where_it_can_happen(
    frame: pl.DataFrame,
) -> None:
    """P(b | a) from the rows where a happened; scales from those with a value to learn."""
    targets = {
        "click": {"kind": "binary"},
        "like": {"kind": "binary", "given": "click"},
        "play": {"kind": "duration", "given": "click", "head": "log_squared"},
    }
    state, _, _ = start(frame, run_file(targets))
    rows = frame.filter(~pl.col("held_out") & (pl.col("click") == 1))
    logs = np.log1p(rows["play"].to_numpy())
    play = state.model.targets["play"]
    assert isinstance(play, Duration)
    assert isinstance(play.head, LogSquared)
    assert play.head.center.item() == pytest.approx(logs.mean(), rel=1e-5)
    assert play.head.deviation.item() == pytest.approx(logs.std(), rel=1e-5)
    bias = state.model.towers["cover"].heads["like"].bias
    assert bias.sigmoid().item() == pytest.approx(rows["like"].mean(), rel=1e-5)


def test_a_target_learns_its_scale_in_its_own_scenes(frame: pl.DataFrame) -> None:
    targets = {"click": {"kind": "binary"}, "play": {"kind": "number", "scene": "stream"}}
    state, _, _ = start(frame, run_file(targets))
    rows = frame.filter(~pl.col("held_out") & (pl.col("tab") == 1))
    play = state.model.targets["play"]
    assert isinstance(play, Number)
    assert isinstance(play.head, Squared)
    assert play.head.center.item() == pytest.approx(rows["play"].mean(), rel=1e-5)


def test_a_batch_without_a_row_of_any_targets_scene(frame: pl.DataFrame) -> None:
    """The last, small batch of an epoch may hold rows of a scene that has no target."""
    content = run_file({"click": {"kind": "binary", "scene": "cover"}})
    content["embedding"] = {"own_width": 0, "first_order": False}
    state, prepared, settings = start(frame, content)
    elsewhere = (prepared.train.arrays["scene"] == 1).nonzero()[0][:1]
    before = {name: value.clone() for name, value in parts(state.model).items()}
    losses = update(state, prepared.train.batch(elsewhere), settings.training)
    assert losses["click"].item() == 0
    assert all(torch.equal(before[name], value) for name, value in parts(state.model).items())
