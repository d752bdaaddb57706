"""Calibration, end to end: a log whose level drifts, and what is then reported and served."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import trimtab
from trimtab.errors import SettingsError
from trimtab.evaluation.metrics import pcoc

ROWS, VALID = 8000, 3000
SETTINGS: dict[str, Any] = {
    "data": {"log": "log.parquet", "time": "time", "user": "user", "valid": "3000s"},
    "features": {"user": "id", "x": "number"},
    "scenes": {"column": "tab", "cover": [0], "stream": [1]},
    "targets": {
        "click": "binary",
        "like": {"kind": "binary", "given": "click"},
        "play": {"kind": "duration", "given": "click"},
        "engage": {"kind": "blend", "of": {"click": 1, "like": 5}},
    },
    "training": {"epochs": 2, "evaluations": 1, "threads": 1},
}


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    """A second a row; from the valid rows on, fewer clicks in one scene, more in the other."""
    draw = np.random.default_rng(0)
    x, tab = draw.normal(size=ROWS), draw.integers(0, 2, ROWS)
    late = np.arange(ROWS) >= ROWS - VALID
    drift = np.where(late, np.where(tab == 0, -1.0, 1.0), 0.0)
    click = draw.random(ROWS) < 1 / (1 + np.exp(-(x + drift)))
    like = click & (draw.random(ROWS) < 0.3)
    return pl.DataFrame(
        {
            "time": 1_700_000_000 + np.arange(ROWS),
            "user": draw.integers(0, 300, ROWS),
            "x": x,
            "tab": tab,
            "click": click.astype(int),
            "like": like.astype(int),
            "play": click * draw.exponential(20, ROWS) * np.where(late, 2, 1),
        }
    )


@pytest.fixture(scope="module")
def place(log: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the log and a run of each kind of calibration."""
    place = tmp_path_factory.mktemp("drift")
    log.write_parquet(place / "log.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("TRIMTAB_CACHE", str(place / "cache"))
        for kind in ("platt", "isotonic", "none"):
            trimtab.train(SETTINGS | {"calibration": kind}, out=kind)
    return place


@pytest.fixture(autouse=True)
def at(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


@pytest.mark.parametrize("kind", ["platt", "isotonic", "none"])
def test_a_loaded_run_evaluates_and_predicts_the_same(kind: str, log: pl.DataFrame) -> None:
    metrics = json.loads(Path(kind, "metrics.json").read_text())
    first, second = trimtab.Run.load(kind), trimtab.Run.load(kind)
    assert first.evaluate() == metrics
    assert first.predict(log).equals(second.predict(log))
    valid = log.tail(VALID)
    np.testing.assert_allclose(
        first.predict(valid)["click"].to_numpy(), first.evaluation().predictions["click"], rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_levels_are_mended_in_each_scene(kind: str) -> None:
    metrics = json.loads(Path(kind, "metrics.json").read_text())
    for scene, too_many in (("cover", True), ("stream", False)):
        targets = metrics["scenes"][scene]["targets"]
        for name in ("click", "like"):
            found = targets[name]
            assert (found["pcoc_before"] > 1.1) == too_many
            assert abs(found["pcoc"] - 1) < min(0.06, abs(found["pcoc_before"] - 1))
            assert found["ece"] < found["ece_before"]
            low, high = found["pcoc_interval"]
            assert low < found["pcoc"] < high
            assert low < 1 < high
        assert abs(targets["play"]["pcoc"] - 1) < 0.06
        assert abs(targets["play"]["pcoc_before"] - 1) > 0.1
        assert "ece_before" not in targets["play"]
        assert not [key for key in targets["engage"] if key.startswith(("pcoc", "ece"))]


def test_orders_within_a_scene_are_those_of_the_model() -> None:
    runs = {kind: json.loads(Path(kind, "metrics.json").read_text()) for kind in ("platt", "none")}
    for scene in ("cover", "stream"):
        platt, none = (runs[kind]["scenes"][scene]["targets"] for kind in runs)
        assert platt["click"]["auc"] == pytest.approx(none["click"]["auc"], abs=1e-6)
        assert platt["like"]["auc_given"] == pytest.approx(none["like"]["auc_given"], abs=1e-6)
        assert platt["play"]["xauc"] == pytest.approx(none["play"]["xauc"], abs=1e-6)
        assert platt["engage"] == none["engage"]
    found = runs["none"]["targets"]["click"]
    assert (found["pcoc"], found["ece"]) == (found["pcoc_before"], found["ece_before"])


def test_conditional_predictions_have_maps_of_their_own(log: pl.DataFrame) -> None:
    valid = log.tail(VALID)
    predicted = trimtab.Run.load("platt").predict(valid)
    happened = valid["click"].to_numpy() == 1
    for name, both in (("like", "like_given_click"), ("play", "play_given_click")):
        label = valid[name].to_numpy()
        assert pcoc(label, predicted[name].to_numpy()) == pytest.approx(1, abs=0.01)
        given = predicted[both].to_numpy()[happened]
        assert pcoc(label[happened], given) == pytest.approx(1, abs=1e-4)
    assert (predicted["like"] <= predicted["click"]).all()


def test_rows_that_are_served_have_the_served_maps(log: pl.DataFrame) -> None:
    run = trimtab.Run.load("platt")
    own, given = run.evaluation(), run.evaluation(log.tail(VALID))
    np.testing.assert_allclose(own.predictions["click"], given.predictions["click"], rtol=1e-5)
    assert given.levels is given.predictions
    different = np.abs(own.levels["click"] - own.predictions["click"])
    assert 1e-5 < different.mean() < 0.02


def test_the_report_shows_both(log: pl.DataFrame) -> None:
    page = Path("platt", "report.html").read_text(encoding="utf-8")
    assert page.count('class="before"') == 2
    assert "before its predictions are calibrated" in page
    page = Path("none", "report.html").read_text(encoding="utf-8")
    assert 'class="before"' not in page


def test_no_calibration_may_miss_its_file(desk: Any) -> None:
    desk.run_file("calibration.kind = 'none'")
    assert desk.call("train run.toml --out run").code == 0
    before = trimtab.Run.load("run").predict(desk.log)
    Path("run/calibration.json").unlink()
    assert trimtab.Run.load("run").predict(desk.log).equals(before)


def test_a_finished_run_may_be_calibrated_in_another_way(desk: Any) -> None:
    assert desk.call("train run.toml --out run").code == 0
    few = "calibration.least_positives = 5\ncalibration.folds = 3"
    for change in ("calibration.kind = 'none'", few):
        desk.run_file(change)
        assert desk.call("train run.toml --out run --resume").code == 0
    maps = json.loads(Path("run/calibration.json").read_text())["maps"]
    assert {name: of["all"]["kind"] for name, of in maps.items()} == {
        **dict.fromkeys(("click", "like", "play"), "platt"),
        "play_typical": "isotonic",  # Lines through medians, whatever moves the means.
    }


def test_typical_values_are_medians(log: pl.DataFrame) -> None:
    platt, none = (trimtab.Run.load(kind) for kind in ("platt", "none"))
    valid, happened = log.tail(VALID), log.tail(VALID)["click"].to_numpy() == 1
    for scene in (0, 1):
        rows = happened & (valid["tab"].to_numpy() == scene)
        label = valid["play"].to_numpy()[rows]
        shares = []
        for run in (platt, none):
            typical = run.predict(valid)["play_given_click_typical"].to_numpy()[rows]
            shares.append((label < typical).mean())
        assert shares[0] == pytest.approx(0.5, abs=0.02)
        assert abs(shares[1] - 0.5) > 0.1  # Plays are twice as long from the valid rows on.
    mae = [run.evaluate()["targets"]["play"]["mae"] for run in (platt, none)]
    assert mae[0] < mae[1]


def test_a_run_from_before_medians_is_served_as_it_was(tmp_path: Path) -> None:
    shutil.copytree("platt", tmp_path / "run")
    file = tmp_path / "run" / "calibration.json"
    state = json.loads(file.read_text())
    state["maps"] = {name: of for name, of in state["maps"].items() if "typical" not in name}
    file.write_text(json.dumps(state))
    own = trimtab.Run.load(tmp_path / "run").evaluation()
    assert np.array_equal(own.predictions["play_typical"], own.before["play_typical"])
    assert not np.array_equal(own.predictions["play"], own.before["play"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("calibration.kind = 'plat'", "calibration.kind: expected 'isotonic', 'none' or 'platt'"),
        ("calibration.folds = 1", "calibration.folds: expected a number of 2 or more; found 1"),
        ("calibration.fold = 3", "calibration.fold: unknown key. Did you mean 'folds'?"),
        ("calibration = 3", "calibration: expected the name of a kind, or a table"),
        ("targets.like.window = '7d'", "targets.like.window: needs data.time"),
        ("targets.like.window = 'soon'", "expected a stretch of time such as '7d'"),
        ("targets.like.entire_space = 'ips'", "entire_space = 'ips' needs 'given'"),
    ],
)
def test_wrong_settings(change: str, says: str, desk: Any) -> None:
    desk.run_file(change)
    desk.refused("check run.toml", says)


# Labels that come late


def test_young_rows_are_not_observed(log: pl.DataFrame) -> None:
    late = {"kind": "binary", "column": "like", "window": "1000s"}
    targets = {"click": "binary", "late": late, "both": {"kind": "blend", "of": {"late": 1}}}
    wanted = {"click": VALID, "late": VALID - 1000, "both": VALID - 1000}
    run = trimtab.train(SETTINGS | {"targets": targets})
    assert {n: t["rows"] for n, t in run.evaluate()["targets"].items()} == wanted
    again = trimtab.Run.load(run.folder)
    assert {n: t["rows"] for n, t in again.evaluate(log.tail(VALID))["targets"].items()} == wanted
    half = again.evaluate(log.tail(VALID).head(1500))["targets"]
    assert half["late"]["rows"] == 500
    assert again.predict(log.drop("time", "like")).null_count().sum_horizontal().item() == 0
    with pytest.raises(SettingsError, match=r"targets\.late\.window: needs data\.time"):
        trimtab.train(SETTINGS | {"targets": targets, "data": {"log": "log.parquet"}})


def test_another_window_is_another_cache() -> None:
    def rows(window: str) -> int:
        late = {"kind": "binary", "column": "like", "window": window}
        settings = SETTINGS | {"targets": {"click": "binary", "late": late}}
        return int(trimtab.train(settings).evaluate()["targets"]["late"]["rows"])

    assert [rows("10m"), rows("20m"), rows("10m")] == [VALID - 600, VALID - 1200, VALID - 600]


def test_inverse_propensity_learns() -> None:
    like = {"kind": "binary", "given": "click", "entire_space": "ips"}
    settings = SETTINGS | {"targets": {"click": "binary", "like": like}}
    found = trimtab.train(settings).evaluate()["targets"]["like"]
    esmm = json.loads(Path("platt", "metrics.json").read_text())["targets"]["like"]
    assert found["auc"] == pytest.approx(esmm["auc"], abs=0.02)
