"""Each target trained alone and compared with the run, on a small log."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import trimtab
from trimtab.errors import DataError, InputError
from trimtab.evaluation.metrics import auc
from trimtab.training import seesaw as module
from trimtab.training.folder import LEFT
from trimtab.training.run import Run
from trimtab.training.seesaw import seesaw
from trimtab.training.trainings import Trainings

ROWS = 900
TARGETS: dict[str, Any] = {
    "click": {"kind": "binary"},
    "like": {"kind": "binary", "given": "click"},
    "play": {"kind": "duration", "given": "click"},
    "unused": {"kind": "binary", "column": "like", "weight": 0},
}


def log() -> pl.DataFrame:
    random = np.random.default_rng(0)
    user, item = random.integers(0, 30, ROWS), random.integers(0, 20, ROWS)
    click = random.random(ROWS) < (user % 5 + item % 3) / 8
    like = random.random(ROWS) < (item % 4) / 4
    rows = {
        "time": 1_700_000_000 + np.arange(ROWS),
        "user": user,
        "item": item,
        "tab": random.integers(0, 2, ROWS),
        "click": click.astype(int),
        "like": like.astype(int),
        "play": random.exponential(5 + user % 3, ROWS),
    }
    return pl.DataFrame(rows).with_columns(
        pl.when(pl.col("click") == 1).then(pl.col("like", "play"))
    )


def run_file(folder: Path, **tables: Any) -> dict[str, Any]:
    return {
        "data": {"log": str(folder / "log.parquet"), "time": "time", "user": "user", "valid": 0.3},
        "features": {"user": "id", "item": "id"},
        "scenes": {"column": "tab", "zero": [0], "one": [1]},
        "targets": TARGETS,
        "training": {"epochs": 2, "evaluations": 2, "batch_rows": 128, "seed": 3},
        **tables,
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was compared already, with two seeds."""
    place = tmp_path_factory.mktemp("seesaw")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(place / "cache"))
        log().write_parquet(place / "log.parquet")
        seesaw(trimtab.train(run_file(place), out=place / "run"), seeds=2)
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in a folder of the test's own; the log stays where it is."""
    monkeypatch.setenv("TRIMTAB_CACHE", str(trained / "cache"))
    shutil.copytree(trained / "run", tmp_path / "run")
    return tmp_path


def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("Nothing was to be trained.")

    monkeypatch.setattr(module, "train", refuse)


def found(place: Path) -> dict[str, Any]:
    text = (place / "run" / "seesaw.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def test_what_is_left(place: Path) -> None:
    left = {path.name for path in (place / "run").iterdir()}
    assert {"seesaw", "seesaw.json", "seesaw.html"} <= left <= LEFT
    folders = {p.relative_to(place / "run" / "seesaw") for p in place.glob("run/seesaw/*/*")}
    assert {str(folder) for folder in folders} == {
        "all-targets/seed-4",
        *(f"{name}/seed-{seed}" for name in ("click", "like", "play") for seed in (3, 4)),
    }
    assert not list(place.glob("run/seesaw/*/*/last.safetensors"))


def test_what_is_found(place: Path) -> None:
    content = found(place)
    assert content["seeds"] == 2
    assert list(content["targets"]) == ["click", "like", "play"]
    assert content["targets"]["play"]["metric"] == "xauc"
    assert list(content["scenes"]) == ["zero", "one"]
    assert sum(scene["rows"] for scene in content["scenes"].values()) == content["rows"]
    assert set(content["why"]) == {
        *("labels", "gradients", "affinity", "experts", "abundance", "peaks"),
    }
    page = (place / "run" / "seesaw.html").read_text(encoding="utf-8")
    assert f"run: {content['verdict']}" in page


def test_single_models_are_measured_on_the_run_s_labels(place: Path) -> None:
    run = Run.load(place / "run")
    own = run.evaluation()
    content, label = found(place), own.labels["like"]
    assert (label == 0).sum() > (own.labels["click"] == 0).sum() > 0
    assert content["targets"]["like"]["rows"] == (~np.isnan(label)).sum()
    difference = content["targets"]["like"]["seeds_differences"][0]
    single = Run.load(place / "run" / "seesaw" / "like" / "seed-3")
    assert list(single.settings.targets) == ["like"]
    assert single.rows == run.rows
    single.settings = module.Alone.of(run.settings, "like")
    alone = single.evaluation()
    np.testing.assert_array_equal(alone.labels["like"], label)
    expected = auc(label, own.predictions["like"]) - auc(label, alone.predictions["like"])
    assert difference == pytest.approx(expected)


def test_what_was_trained_is_used_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = found(place)
    no_training(monkeypatch)
    assert seesaw(Run.load(place / "run"), seeds=2) == before


def test_one_seed_of_the_two(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_training(monkeypatch)
    one = seesaw(Run.load(place / "run"))
    click = one["targets"]["click"]
    assert one["seeds"] == 1
    assert click["seeds_differences"] == [pytest.approx(click["difference"])]
    assert click["seeds_deviation"] is None
    assert "p_delong" in click


def test_other_rows(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_training(monkeypatch)
    later = place / "later.parquet"
    log().tail(200).write_parquet(later)
    run = Run.load(place / "run")
    content = seesaw(run, seeds=2, data=later)
    assert (content["data"], content["rows"]) == (str(later), 200)
    own, alone = run.evaluation(later), Run.load(place / "run" / "seesaw" / "click" / "seed-3")
    label = own.labels["click"]
    single = auc(label, alone.evaluation(later).predictions["click"])
    difference = content["targets"]["click"]["seeds_differences"][0]
    assert difference == pytest.approx(auc(label, own.predictions["click"]) - single)
    with pytest.raises(InputError, match="none.parquet: no such file"):
        seesaw(run, seeds=2, data="none.parquet")


@pytest.mark.parametrize("harm", ["model.safetensors", "settings.json", "statistics.json", "all"])
def test_a_damaged_single_model_is_trained_anew(place: Path, harm: str) -> None:
    before = found(place)
    folder = place / "run" / "seesaw" / "click" / "seed-3"
    for path in folder.iterdir() if harm == "all" else [folder / harm]:
        if path.is_file():
            path.write_bytes(b"{")
    assert seesaw(Run.load(place / "run"), seeds=2) == before


def test_other_settings_are_trained_anew(place: Path) -> None:
    run = Run.load(place / "run")
    training = run.settings.training.model_copy(update={"epochs": 1})
    run.settings = run.settings.model_copy(update={"training": training})
    seesaw(run)
    saved = json.loads((place / "run/seesaw/click/seed-3/settings.json").read_text())
    assert saved["training"]["epochs"] == 1


def test_an_interrupted_training_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = found(place)
    folder = place / "run" / "seesaw" / "click" / "seed-3"
    shutil.rmtree(folder)
    evaluated = Trainings.evaluated

    def stop(self: Trainings, state: Any) -> None:
        evaluated(self, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainings, "evaluated", stop)
        with pytest.raises(KeyboardInterrupt):
            seesaw(Run.load(place / "run"), seeds=2)
    assert (folder / "last.safetensors").exists()
    assert not (folder / "model.safetensors").exists()
    seen: list[int] = []
    monkeypatch.setattr(Trainings, "evaluated", lambda self, state: seen.append(state.step))
    assert seesaw(Run.load(place / "run"), seeds=2) == before
    assert len(seen) == 3


def test_a_quantity_is_served_at_its_own_best(place: Path) -> None:
    folder = place / "run" / "seesaw" / "play" / "seed-3"
    lines = (folder / "log.jsonl").read_text().splitlines()
    best = max(json.loads(line)["metrics"]["play"] for line in lines)
    run = Run.load(place / "run")
    single = Run.load(folder)
    single.settings = module.Alone.of(run.settings, "play")
    module._choose_for("play", single, module.prepare(run.settings.plan()))
    evaluation = single.evaluation()
    own = single.model.targets["play"]
    assert own.measure == "quantity"
    measured = module.Evaluation(single.model, evaluation.columns).ranks()["play"]
    assert measured == pytest.approx(best, abs=1e-6)


def test_stages_and_a_blend(tmp_path: Path) -> None:
    log().write_parquet(tmp_path / "log.parquet")
    targets = {
        "click": {"kind": "binary", "scene": "first"},
        "like": {"kind": "binary", "scene": "second", "given": "click", "weight": 0},
        "engage": {"kind": "blend", "scene": "second", "of": {"click": 1, "like": 5}},
    }
    scenes = {"stages": ["first", "second"]}
    content = run_file(tmp_path, targets=targets, scenes=scenes, trunk={"kind": "mmoe"})
    result = seesaw(trimtab.train(content, out=tmp_path / "run"))
    assert {name: one["metric"] for name, one in result["targets"].items()} == {
        "click": "auc",
        "engage": "utility",
    }
    assert result["scenes"] == {}
    assert result["why"]["experts"]["gates"]


def test_a_run_of_a_frame_is_refused(tmp_path: Path) -> None:
    content = run_file(tmp_path)
    del content["data"]["log"]
    run = trimtab.train(content, log(), out=tmp_path / "run")
    with pytest.raises(InputError, match="was trained on a frame, so there is no log"):
        seesaw(run)


def test_one_target_is_refused(tmp_path: Path) -> None:
    log().write_parquet(tmp_path / "log.parquet")
    targets = {"click": {"kind": "binary"}, "like": {"kind": "binary", "weight": 0}}
    run = trimtab.train(run_file(tmp_path, targets=targets), out=tmp_path / "run")
    with pytest.raises(InputError, match="only 'click' is learnt; there is nothing to compare"):
        seesaw(run)


def test_no_seeds_are_refused(place: Path) -> None:
    with pytest.raises(InputError, match="seeds: found 0"):
        seesaw(Run.load(place / "run"), seeds=0)


def test_a_log_that_changed_is_refused(tmp_path: Path) -> None:
    log().write_parquet(tmp_path / "log.parquet")
    run = trimtab.train(run_file(tmp_path), out=tmp_path / "run")
    log().head(500).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match="not what the run was trained on any more; train it anew"):
        seesaw(run)
    assert not (tmp_path / "run" / "seesaw").exists()


def test_what_is_shown(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(place / "run" / "seesaw" / "click" / "seed-3")
    with Trainings() as progress:
        seesaw(Run.load(place / "run"), progress=progress)
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith("1/3 click alone, seed 3  0.")
    assert first.endswith(" s")
    assert others == [
        "2/3 like alone, seed 3  trained before",
        "3/3 play alone, seed 3  trained before",
    ]
