"""The main job, end to end: train, evaluate, predict and compare runs on a simulated feed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import trimtab
from trimtab.data.simulate import Simulation, SimulationSettings, best_auc, simulate

RUN_FILE = """
[data]
log = "log.parquet"
join = [{ table = "users.parquet", on = "user_id" }, { table = "items.csv", on = "item_id" }]
time = "time_ms"
user = "user_id"
valid = "2d"
[features]
user_id = "id"
item_id = "id"
user_age_band = "id"
item_seconds = { kind = "number", scale = "log" }
hour = "id"
[scenes]
stages = ["discover", "playback"]
[targets]
stop = { kind = "binary", scene = "discover" }
dwell = { kind = "duration", scene = "discover" }
click = { kind = "binary", scene = "discover", given = "stop" }
play = { kind = "duration", scene = "playback", given = "click" }
like = { kind = "binary", scene = "playback", given = "click" }
[training]
epochs = 2
batch_rows = 512
evaluations = 1
threads = 1
"""
PREDICTIONS = ["stop", "dwell", "dwell_typical", "click", "click_given_stop"]
PREDICTIONS += ["play", "play_typical", "play_given_click", "play_given_click_typical"]
PREDICTIONS += ["like", "like_given_click"]


@pytest.fixture(scope="module")
def feed() -> Simulation:
    return simulate(SimulationSettings(rows=20_000, users=200, items=100, days=10))


@pytest.fixture(scope="module")
def place(feed: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the feed, its run file, and two runs of different seeds."""
    place = tmp_path_factory.mktemp("feed")
    feed.log.write_parquet(place / "log.parquet")
    feed.users.write_parquet(place / "users.parquet")
    feed.items.write_csv(place / "items.csv")
    (place / "run.toml").write_text(RUN_FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(place / "cache"))
        for seed in (0, 1):
            settings = trimtab.load_settings(place / "run.toml", [f"training.seed={seed}"])
            trimtab.train(settings, out=place / f"seed{seed}")
    return place


@pytest.fixture
def printed(place: Path, desk: Any) -> Callable[..., Any]:
    """Return a function that runs a command in the feed's folder and reads the JSON it prints."""
    desk.patch.chdir(place)

    def run(command: str) -> Any:
        answer = desk.call(command)
        assert (answer.code, answer.err) == (0, ""), answer
        return json.loads(answer.out, parse_constant=pytest.fail)

    return run


def test_train_leaves_a_whole_run(place: Path) -> None:
    files = {path.name for path in (place / "seed0").iterdir()}
    assert files >= {"settings.json", "statistics.json", "metrics.json", "report.html", "log.jsonl"}
    assert not [name for name in files if name.startswith(".")]
    metrics = json.loads((place / "seed0" / "metrics.json").read_text())
    assert set(metrics) == {"rows", "targets", "scenes"}
    assert "</html>" in (place / "seed0" / "report.html").read_text(encoding="utf-8")


def test_evaluate_prints_what_scripts_rely_on(printed: Callable[..., Any], place: Path) -> None:
    found = printed("evaluate seed0 --json")
    targets = found["targets"]
    assert list(targets) == ["stop", "dwell", "click", "play", "like"]
    for name in ("stop", "click", "like"):
        assert {"auc", "auc_interval", "gauc", "logloss"} <= set(targets[name])
        low, high = targets[name]["auc_interval"]
        assert low < targets[name]["auc"] < high
    assert "auc_given" not in targets["stop"]
    assert targets["like"]["given"] == "click"
    assert 0 < targets["like"]["auc_given"] < targets["like"]["auc"]
    assert {"xauc", "xauc_given", "mae", "rmse"} <= set(targets["play"])
    assert {name: list(scene["targets"]) for name, scene in found["scenes"].items()} == {
        "discover": ["stop", "dwell", "click"],
        "playback": ["play", "like"],
    }
    assert {scene["rows"] for scene in found["scenes"].values()} == {found["rows"]}
    assert found == json.loads((place / "seed0" / "metrics.json").read_text())


def test_evaluate_on_given_rows_is_the_same(
    printed: Callable[..., Any], feed: Simulation, tmp_path: Path
) -> None:
    whole = printed("evaluate seed0 --json")
    feed.log.tail(whole["rows"]).write_csv(tmp_path / "rows.csv")
    given = printed(f"evaluate seed0 --data {tmp_path / 'rows.csv'} --json")
    for found, same in ((whole["targets"], given["targets"]), (whole["scenes"], given["scenes"])):
        assert found.keys() == same.keys()
    # Of given rows levels are measured as served, of its own without the rows: all else is equal.
    levels = ("logloss", "normalised_entropy", "pcoc", "ece", "mae", "rmse")
    for name, target in whole["targets"].items():
        same = given["targets"][name]
        assert target.keys() == same.keys()
        for key, value in target.items():
            if key.removesuffix("_interval") in levels:
                assert value == pytest.approx(same[key], rel=0.05, abs=0.01), (name, key)
            else:
                assert value == same[key], (name, key)


def test_served_predictions_sum_to_what_happened(
    printed: Callable[..., Any], place: Path, feed: Simulation
) -> None:
    rows = printed("evaluate seed0 --json")["rows"]
    served = trimtab.Run.load(place / "seed0").evaluate(feed.log.tail(rows))["targets"]
    for name in ("stop", "dwell", "click", "play"):  # Too few likes to calibrate them.
        assert served[name]["pcoc"] == pytest.approx(1, abs=0.01), name
        low, high = served[name]["pcoc_interval"]
        assert low < 1 < high


def test_learnt_auc_is_above_chance_and_below_the_truth(
    printed: Callable[..., Any], feed: Simulation
) -> None:
    found = printed("evaluate seed0 --json")
    held_out = slice(len(feed.log) - found["rows"], None)
    best = best_auc(Simulation(feed.log[held_out], feed.users, feed.items, feed.truth[held_out]))
    for name, truth in best.items():
        learnt = found["targets"][name]["auc"]
        assert learnt > 0.7, name
        assert learnt < truth + 0.02, name


def test_predict_writes_a_column_a_target(
    place: Path, feed: Simulation, desk: Any, tmp_path: Path
) -> None:
    rows = feed.log.drop("stop", "dwell", "click", "play", "like").head(1000)
    rows.write_parquet(tmp_path / "rows.parquet")
    answer = desk.call(f"predict {place}/seed0 rows.parquet predicted.parquet")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"predicted.parquet: 1,000 rows of {', '.join(PREDICTIONS)}\n"
    predicted = pl.read_parquet("predicted.parquet")
    assert predicted.columns == PREDICTIONS
    assert len(predicted) == len(rows)
    assert sum(predicted.null_count().row(0)) == 0
    funnel = predicted["stop"] * predicted["click_given_stop"]
    np.testing.assert_allclose(predicted["click"], funnel, rtol=0.5)  # Calibrated, each alone.
    assert (predicted["like"] <= predicted["click"]).all()
    assert (predicted["click"] <= predicted["stop"]).all()
    for name in ("stop", "click", "like"):
        assert predicted[name].is_between(0, 1).all()
    loaded = trimtab.Run.load(place / "seed0")
    assert loaded.predict(rows).equals(predicted)
    for some, wanted in ((rows.reverse(), predicted.reverse()), (rows.head(1), predicted.head(1))):
        np.testing.assert_allclose(loaded.predict(some).to_numpy(), wanted.to_numpy(), rtol=1e-4)


def test_compare_is_paired(printed: Callable[..., Any]) -> None:
    first, second = (printed(f"evaluate seed{seed} --json")["targets"] for seed in (0, 1))
    found = printed("compare seed0 seed1 --json")
    assert list(found) == ["stop", "dwell", "click", "play", "like"]
    for name in ("stop", "click", "like"):
        auc = found[name]["auc"]
        for key in ("auc", "gauc", "logloss"):
            pair = (found[name][key]["first"], found[name][key]["second"])
            assert pair == (first[name][key], second[name][key])
        assert auc["difference"] == pytest.approx(auc["second"] - auc["first"])
        low, high = auc["interval"]
        assert low <= auc["difference"] <= high
        alone = np.diff(first[name]["auc_interval"])[0]
        assert high - low < alone, "most chance is common to both"
    same = printed("compare seed1 seed1 --json")
    intervals = [metric["interval"] for target in same.values() for metric in target.values()]
    assert intervals == [[0.0, 0.0]] * len(intervals)


def test_frames_of_any_library_give_the_model_of_the_file(
    place: Path, feed: Simulation, tmp_path: Path
) -> None:
    of_file = load_file(place / "seed0" / "model.safetensors")
    settings = trimtab.load_settings(place / "run.toml")
    frames = {"polars": feed.log, "pandas": feed.log.to_pandas(), "arrow": feed.log.to_arrow()}
    for library, frame in frames.items():
        run = trimtab.train(settings, frame, out=tmp_path / library)
        learnt = run.model.state_dict()
        assert of_file.keys() == learnt.keys()
        assert [n for n in of_file if not torch.equal(of_file[n], learnt[n])] == [], library
        with_rows = run.predict(frame[:100] if library == "pandas" else feed.log.head(100))
        assert with_rows.equals(trimtab.Run.load(place / "seed0").predict(feed.log.head(100)))


# Other shapes of a run

SIMPLE: dict[str, Any] = {
    "data": {"user": "user", "valid": 0.25},
    "features": {"user": "id", "age": "number"},
    "targets": {"click": "binary", "like": "binary", "play": "duration"},
    "training": {"epochs": 1, "threads": 1},
}


def test_training_says_what_is_a_problem_of_the_data(desk: Any) -> None:
    assert "problem" not in desk.call("train run.toml --out fine").err
    desk.run_file("\nfeatures.seen.kind = 'number'\nfeatures.seen.column = 'click'")
    answer = desk.call("train run.toml --out run")
    assert answer.code == 0
    *_, said = " ".join(answer.err.split()).split(" problem features.seen ")
    assert said.startswith("Its column is the label of click. Leave it out")


def test_what_training_says_is_no_wider_than_a_page_but_for_paths(desk: Any) -> None:
    folder = "run-" + "long-" * 30 + "name"
    desk.patch.setenv("COLUMNS", "80")
    said = desk.call(f"train run.toml --out {folder}").err
    assert [line for line in said.splitlines() if len(line) > 80] == [f"{folder}:"]
    assert "importance.json" in said.splitlines()[-3]


def test_what_is_left_can_be_read_by_those_who_read_the_report(desk: Any) -> None:
    assert desk.call("train run.toml --out run").code == 0
    modes = {path.stat().st_mode for path in Path("run").iterdir() if path.is_file()}
    assert len(modes) == 1


def test_scenes_by_a_column(desk: Any) -> None:
    scenes = {"column": "place", "feed": [0], "ghost": [17]}
    like = {"kind": "binary", "scene": ["feed", "other"]}
    targets = SIMPLE["targets"] | {"like": like, "play": {"kind": "duration", "scene": "feed"}}
    run = trimtab.train(SIMPLE | {"scenes": scenes, "targets": targets}, desk.log, out="run")
    metrics = run.evaluate(desk.log)
    assert list(metrics["scenes"]) == ["feed", "ghost", "other"]
    counts = desk.log["place"].value_counts(sort=True)
    in_feed = counts.filter(place=0)["count"].item()
    rows = {name: scene["rows"] for name, scene in metrics["scenes"].items()}
    assert rows == {"feed": in_feed, "ghost": 0, "other": len(desk.log) - in_feed}
    assert metrics["scenes"]["ghost"]["targets"]["click"]["auc"] is None
    assert list(metrics["scenes"]["other"]["targets"]) == ["click", "like"]
    json.dumps(metrics, allow_nan=False)

    predicted = run.predict(desk.log)
    assert predicted["click"].null_count() == 0
    assert predicted["play"].is_null().equals((desk.log["place"] != 0).alias("play"))
    unseen = desk.log.with_columns(place=pl.lit(99))
    known = desk.log.with_columns(place=pl.lit(2))
    assert run.predict(unseen).equals(run.predict(known)), "what is not named is in 'other'"


def test_scene_that_no_training_row_is_in_falls_to_the_largest(desk: Any) -> None:
    scenes = {"column": "place", "feed": [0, 1], "search": [2]}
    run = trimtab.train(SIMPLE | {"scenes": scenes}, desk.log, out="run")
    assert list(run.evaluate(desk.log)["scenes"]) == ["feed", "search"]
    unseen, feed = (desk.log.with_columns(place=pl.lit(value)) for value in (99, 0))
    assert run.predict(unseen).equals(run.predict(feed))


def test_numbers_only(desk: Any) -> None:
    features = {"age": "number", "importance": {"kind": "number", "scale": "log"}}
    run = trimtab.train(SIMPLE | {"features": features}, desk.log, out="run")
    assert run.evaluate(desk.log)["targets"]["click"]["rows"] == len(desk.log)
    loaded = trimtab.Run.load("run")
    assert loaded.predict(desk.log).equals(run.predict(desk.log))


@pytest.mark.parametrize("negatives", ["unlabelled", "every_row"])
def test_blend_alone(negatives: str, desk: Any) -> None:
    of = {"click": 1, "like": 5, "play": {"weight": 3, "at_least": 10}}
    blend = {"kind": "blend", "negatives": negatives, "of": of}
    run = trimtab.train(SIMPLE | {"targets": {"engage": blend}}, desk.log, out="run")
    found = run.evaluate(desk.log)["targets"]["engage"]
    assert found["kind"] == "blend"
    assert {"utility", "utility_interval"} <= set(found)
    predicted = trimtab.Run.load("run").predict(desk.log.drop("click", "like", "play"))
    assert predicted.columns == ["engage"]
    assert (predicted["engage"] > 0).all()


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_batch_of_one_row(norm: str, desk: Any) -> None:
    trunk = {"kind": "shared_bottom", "widths": [8], "norm": norm}
    training = {"epochs": 1, "threads": 1, "batch_rows": 299}
    run = trimtab.train(SIMPLE | {"trunk": trunk, "training": training}, desk.log, out="run")
    tensors = [t for t in run.model.state_dict().values() if t.is_floating_point()]
    assert all(tensor.isfinite().all() for tensor in tensors)
    assert len(run.predict(desk.log.head(1))) == 1
