"""Permutation importance: finds what decides, keeps scenes, moves whole groups, and is JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import trimtab
from trimtab.data.columns import Columns
from trimtab.evaluation import importance as module
from trimtab.evaluation.evaluate import Evaluation
from trimtab.evaluation.groups import Group, groups_of
from trimtab.evaluation.importance import importance
from trimtab.evaluation.measures import MEASURES
from trimtab.evaluation.predict import order_of, predict
from trimtab.evaluation.shuffle import Shuffled, mixed, other_rows
from trimtab.training.run import Run

ROWS = 4000


def drawn(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    """Draw rows where x decides click, tags decide like on the feed alone, codes decide play."""
    chance = np.random.default_rng(seed)
    x, feed, code = chance.normal(size=rows), chance.random(rows) < 0.6, chance.random(rows) < 0.5
    good = chance.random(rows) < 0.5
    likes = np.where(feed, np.where(good, 0.7, 0.1), 0.4)
    return pl.DataFrame(
        {
            "user": chance.integers(0, 200, rows),
            "place": np.where(feed, "feed", "shop"),
            "x": x,
            "noise": chance.normal(size=rows),
            "constant": np.zeros(rows),
            "tags": [["good", "a"] if g else ["b"] * chance.integers(0, 4) for g in good],
            "code1": code.astype(int),
            "code2": code.astype(int),
            "click": (x + 0.5 * chance.normal(size=rows) > 0).astype(int),
            "like": (chance.random(rows) < likes).astype(int),
            "play": chance.exponential(np.where(code, 30.0, 5.0)),
        }
    )


SETTINGS: dict[str, Any] = {
    "data": {"user": "user", "valid": 0.5},
    "features": {
        "x": "number",
        "noise": "number",
        "constant": "number",
        "tags": "ids",
        "code1": "id",
        "code2": "id",
    },
    "scenes": {"column": "place", "feed": ["feed"], "shop": ["shop"]},
    "targets": {
        "click": "binary",
        "like": "binary",
        "play": {"kind": "duration", "unit": "s"},
        "engage": {"kind": "blend", "of": {"click": 1, "like": 3}},
    },
    "training": {"epochs": 4, "batch_rows": 256, "evaluations": 1, "own_peaks": False},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trimtab.train(SETTINGS, drawn(), out=tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def evaluation(run: Run) -> Evaluation:
    return run.evaluation(drawn(seed=1))


@pytest.fixture(scope="module")
def groups(run: Run) -> list[Group]:
    return groups_of(run.statistics)


@pytest.fixture(scope="module")
def found(run: Run, evaluation: Evaluation, groups: list[Group]) -> dict[str, Any]:
    return importance(evaluation, groups, run.calibration)


def losses(found: dict[str, Any], target: str) -> dict[str, dict[str, Any]]:
    return {group["name"]: group["targets"][target] for group in found["groups"]}


def test_what_decides_a_target_carries_it_and_noise_carries_nothing(found: dict[str, Any]) -> None:
    click = losses(found, "click")
    value = found["targets"]["click"]["value"]
    assert value > 0.9
    assert click["x"]["fall"] == pytest.approx(value - 0.5, abs=0.05)
    assert click["x"]["interval"][0] > 0.3
    others = [of["fall"] for name, of in click.items() if name != "x"]
    assert max(map(abs, others)) < 0.02
    idle = {group["name"]: group["carries_nothing"] for group in found["groups"]}
    assert idle["constant"]
    assert not idle["x"]
    assert not idle["tags"]
    assert not idle["code*"]


def test_what_never_varies_costs_exactly_nothing(found: dict[str, Any]) -> None:
    for target in SETTINGS["targets"]:
        assert losses(found, target)["constant"]["fall"] == 0.0
        assert losses(found, target)["constant"]["interval"] == [0.0, 0.0]


def test_a_list_that_decides_in_one_scene_carries_the_target_there(found: dict[str, Any]) -> None:
    tags = losses(found, "like")["tags"]
    assert tags["scenes"]["feed"] > 0.2
    assert abs(tags["scenes"]["shop"]) < 0.05
    assert tags["interval"][0] > 0.02


def test_features_that_say_the_same_stand_in_for_each_other(found: dict[str, Any]) -> None:
    play = losses(found, "play")
    assert found["targets"]["play"]["metric"] == "xauc"
    assert play["code*"]["fall"] > 0.1
    assert play["code*"]["fall"] > play["code1"]["fall"] + play["code2"]["fall"]


def test_a_blend_loses_utility(found: dict[str, Any]) -> None:
    assert found["targets"]["engage"]["metric"] == "utility"
    assert losses(found, "engage")["x"]["fall"] > 0.05


def test_every_part_of_every_scene_is_measured(evaluation: Evaluation) -> None:
    index = np.arange(0, ROWS, 2)
    sample = module._Sample.draw(evaluation, index, np.random.default_rng(0))
    orders = sample.orders({name: evaluation.order(name)[index] for name in sample.labels})
    for name, target in evaluation.model.targets.items():
        whole, scenes, parts, both = np.split(orders[name], np.cumsum([1, 2, module.PARTS]))
        everyone = np.ones(len(index), dtype=bool)
        masks = [everyone, *(sample.scene == i for i in range(2))]
        masks += [sample.part == i for i in range(module.PARTS)]
        masks += [m & (sample.part == i) for m in masks[1:3] for i in range(module.PARTS)]
        label, order = sample.labels[name], evaluation.order(name)[index]
        slow = [MEASURES[target.measure].rank(label[here], order[here]) for here in masks]
        np.testing.assert_allclose([*whole, *scenes, *parts, *both], slow)


@pytest.mark.parametrize(
    ("fall", "known", "nothing"),
    [(0.2, 20, False), (0.2, 15, False), (0.2, 14, True), (0.002, 20, True), (-0.2, 20, True)],
)
def test_what_a_target_loses_by_in_a_scene_alone_carries_something(
    fall: float, known: int, nothing: bool
) -> None:
    """Over all rows nothing is lost; in a scene with too few known parts nobody knows."""
    both = frozenset({"buy"})
    rows = np.zeros(1, dtype=np.int64)
    sample = module._Sample(
        labels={"buy": np.zeros(1, dtype=np.float32)},
        rankings={"buy": "auc"},
        within={},
        scene=rows,
        part=rows,
        towers={"feed": both, "shop": both},
    )
    chance = np.tile([0.01, -0.01], module.PARTS // 2)
    inside = np.where(np.arange(module.PARTS) < known, fall + chance, np.nan)
    losses = np.concatenate([[0.0, 0.0, fall], chance, chance, inside])
    group = Group(name="x", kind="feature", features=("x",), columns=frozenset({"x"}))
    found = sample.report(group, [{"buy": losses}, {"buy": losses}])
    assert found["carries_nothing"] == nothing
    assert found["targets"]["buy"]["scenes"] == {"feed": 0.0, "shop": fall}


def test_the_numbers_unshuffled_are_those_of_the_report(
    found: dict[str, Any], evaluation: Evaluation
) -> None:
    assert found["rows"] == ROWS
    ranks, metrics = evaluation.ranks(), evaluation.metrics()
    for name, target in found["targets"].items():
        key = target["metric"]
        assert target["value"] == pytest.approx(ranks[name])
        for scene, value in target["scenes"].items():
            assert value == pytest.approx(metrics["scenes"][scene]["targets"][name][key])


def test_the_numbers_shuffled_are_the_metric_of_a_slow_shuffle(
    run: Run, evaluation: Evaluation, groups: list[Group]
) -> None:
    """The same draws, rows gathered by hand, and each scene's metric by itself."""
    once = importance(evaluation, groups, run.calibration, rows=500, repeats=1, seed=3)
    chance = np.random.default_rng(3)
    index = np.sort(chance.permutation(ROWS)[:500])
    chance.permutation(len(np.unique(evaluation.columns.arrays["user"][index])))
    scene = evaluation.columns.arrays["scene"][index]
    other = index[other_rows(scene, chance)]
    for group, reported in zip(groups, once["groups"], strict=True):
        shuffled = predict(run.model, by_hand(evaluation.columns, index, other, group))
        shuffled = run.calibration(shuffled, scene)
        for name, target in run.model.targets.items():
            label, before = evaluation.labels[name][index], evaluation.order(name)[index]
            rank = MEASURES[target.measure].rank
            fall = rank(label, before) - rank(label, order_of(name, shuffled))
            assert reported["targets"][name]["fall"] == pytest.approx(fall, abs=1e-5)
            for i, value in enumerate(reported["targets"][name]["scenes"].values()):
                here = scene == i
                fall = rank(label[here], before[here]) - rank(
                    label[here], order_of(name, shuffled)[here]
                )
                assert value == pytest.approx(fall, abs=1e-5)


def by_hand(
    columns: Columns, index: np.ndarray[Any, Any], other: np.ndarray[Any, Any], group: Group
) -> Columns:
    """Return the rows of ``index`` with the group's values from ``other``, value by value."""
    names, arrays = columns.names, dict(columns.arrays)
    for kind in ("labels", "weights", "scene", "user"):
        arrays[kind] = arrays[kind][index]
    for kind, within in (("ids", names.ids), ("numbers", names.numbers)):
        parts = [
            arrays[kind][other if name in group.columns else index, i]
            for i, name in enumerate(within)
        ]
        arrays[kind] = np.stack(parts, axis=1)
    for i, name in enumerate(names.lists):
        values, ends = arrays[f"values.{i}"], arrays[f"offsets.{i}"]
        lists = [
            values[ends[row] : ends[row + 1]] for row in (other if name in group.columns else index)
        ]
        arrays[f"values.{i}"] = np.concatenate(lists)
        arrays[f"offsets.{i}"] = np.cumsum([0, *map(len, lists)])
    return Columns(names=names, arrays=arrays)


def test_each_row_takes_one_of_its_scene() -> None:
    chance = np.random.default_rng(0)
    scene = chance.integers(0, 4, 1000)
    other = other_rows(scene, chance)
    np.testing.assert_array_equal(scene[other], scene)
    np.testing.assert_array_equal(np.sort(other), np.arange(1000))
    assert (other == np.arange(1000)).mean() < 0.05


def test_a_group_moves_together(evaluation: Evaluation, groups: list[Group]) -> None:
    """Rows that held the same code twice still do, and nothing else moved."""
    columns = evaluation.columns
    shuffled = Shuffled(evaluation.model, columns, np.arange(300), np.random.default_rng(0))
    group = next(group for group in groups if group.name == "code*")
    moved = mixed(*shuffled.pairs[0], group, shuffled.names)
    places = [columns.names.ids.index(name) for name in ("code1", "code2")]
    ids = moved.ids[:, places]
    assert (ids[:, 0] == ids[:, 1]).all()
    assert (ids != columns.batch(np.arange(300)).ids[:, places]).any()
    assert (moved.numbers == columns.batch(np.arange(300)).numbers).all()


def test_the_same_seed_gives_the_same_numbers(
    run: Run, evaluation: Evaluation, groups: list[Group]
) -> None:
    one, same, other = (
        importance(evaluation, groups, run.calibration, rows=400, repeats=1, seed=seed)
        for seed in (5, 5, 6)
    )
    assert one == same
    assert one != other
    assert (one["rows"], one["repeats"]) == (400, 1)


def test_the_spread_is_over_repeats(found: dict[str, Any]) -> None:
    assert found["repeats"] == 3
    for group in found["groups"]:
        for of in group["targets"].values():
            assert of["spread"][0] <= of["fall"] <= of["spread"][1]
    low, high = losses(found, "click")["x"]["spread"]
    assert 0 < high - low < 0.05


def test_a_single_row_and_a_single_class_are_undefined(run: Run, groups: list[Group]) -> None:
    frame = drawn(50, seed=2).with_columns(click=pl.lit(1), play=pl.lit(None, pl.Float64))
    for rows in (1, 50):
        of = importance(run.evaluation(frame.head(rows)), groups, run.calibration)
        text = json.dumps(of, allow_nan=False)
        assert json.loads(text) == of
        assert of["rows"] == rows
        for name in ("click", "play"):
            assert of["targets"][name]["value"] is None
            assert losses(of, name)["x"]["fall"] is None
            assert losses(of, name)["x"]["interval"] == [None, None]
    one = importance(run.evaluation(frame.head(1)), groups, run.calibration)
    assert not any(group["carries_nothing"] for group in one["groups"])


def test_where_there_is_much_to_look_at_less_is(
    evaluation: Evaluation, groups: list[Group], monkeypatch: pytest.MonkeyPatch
) -> None:
    """First repeats go, then features that a group holds, then rows."""
    a_pass = (100 + 5 + 1.75) * ROWS  # a list has 1.75 values on average
    monkeypatch.setattr(module, "_FEWEST_ROWS", 50)
    for passes, expected in (
        (14.5, (ROWS, 2, True)),
        (7.5, (ROWS, 1, True)),
        (6.5, (ROWS, 1, False)),
        (2.5, (2000, 1, False)),
    ):
        monkeypatch.setattr(module, "WORK", passes * a_pass)
        of = importance(evaluation, groups)
        assert (of["repeats"], of["alone"]) == expected[1:]
        assert of["rows"] == pytest.approx(expected[0], rel=0.02)
        names = [group["name"] for group in of["groups"]]
        assert ("code1" in names) == of["alone"]
        assert "code*" in names


def test_with_stages_there_is_nothing_to_say_scene_by_scene() -> None:
    settings = SETTINGS | {
        "scenes": {"stages": ["page", "playback"]},
        "targets": {
            "click": {"kind": "binary", "scene": "page"},
            "like": {"kind": "binary", "scene": "playback", "given": "click"},
        },
        "training": {"epochs": 1},
    }
    run = trimtab.train(settings, drawn(600))
    of = importance(run.evaluation(drawn(600)), groups_of(run.statistics), run.calibration)
    assert of["targets"]["like"]["scenes"] == {}
    assert losses(of, "click")["x"]["fall"] > 0.02


def test_a_run_keeps_it_and_shows_it(run: Run) -> None:
    kept = json.loads((run.folder / "importance.json").read_text(encoding="utf-8"))
    assert kept["rows"] == ROWS // 2
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    for target in SETTINGS["targets"]:
        assert f"What carries {target}</title>" in page
    assert 'class="bar several"' in page


def test_a_run_may_go_without(run: Run, tmp_path: Path) -> None:
    """What an earlier training left goes too."""
    settings = SETTINGS | {"training": {"epochs": 1}, "report": {"importance": False}}
    (tmp_path / "importance.json").write_text("{}")
    trimtab.train(settings, drawn(600), out=tmp_path, add=True)
    assert not (tmp_path / "importance.json").exists()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="importance"' not in page
