from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import trimtab
from trimtab.config.load import parse
from trimtab.config.training import TrainingSettings
from trimtab.data.prepare import Prepared, prepare
from trimtab.data.simulate import SimulationSettings, simulate
from trimtab.errors import SettingsError
from trimtab.training import checkpoint
from trimtab.training.build import build_state
from trimtab.training.folder import MODEL
from trimtab.training.front import path_of
from trimtab.training.in_memory import train_in_memory
from trimtab.training.passes import ends, groups
from trimtab.training.peaks import put
from trimtab.training.regret import Stop, Trainer, fit
from trimtab.training.run import Run

RUN: dict[str, Any] = {
    "data": {"time": "time_ms", "user": "user_id", "valid": "2d"},
    "features": {"user_id": "id", "item_id": "id"},
    "targets": {
        "click": "binary",
        "dwell": {"kind": "duration", "unit": "s"},
    },
    "training": {
        "epochs": 4,
        "batch_rows": 256,
        "evaluations": 2,
        "patience": 99,
        "renew_tables": True,
        "passes": 3,
    },
    "report": {"importance": False},
}


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    return simulate(SimulationSettings(rows=4000, users=300, items=200)).log


@pytest.fixture(scope="module")
def prepared(log: pl.DataFrame) -> Prepared:
    return prepare(parse(RUN).plan(), log)


@pytest.fixture(scope="module")
def run(log: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trimtab.train(parse(RUN), log, out=tmp_path_factory.mktemp("passes") / "run")


def test_ends_are_those_of_whole_epochs() -> None:
    curves = [{"step": step, "epoch": step / 10} for step in (5, 10, 15, 20, 26, 30)]
    assert ends(curves) == [10, 20, 30]
    assert groups(curves, 1) == {}
    assert groups(curves, 2) == {20: [10], 30: [20]}
    assert groups(curves, 3) == groups(curves, 9) == {20: [10], 30: [10, 20]}


def served(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = checkpoint.load(folder / MODEL)[1]["served"]
    return found


def test_logits_are_the_mean_over_passes(run: Run, prepared: Prepared) -> None:
    found = served(run.folder)
    steps = [found["step"], *found["earlier"]]
    assert 1 < len(steps) <= 3
    batch = prepared.valid.batch(range(50))
    with torch.no_grad():
        together = run.model(batch)
        alone = []
        for step in steps:
            model = build_state(parse(RUN), prepared).model.eval()
            model.load_state_dict(checkpoint.load(path_of(run.folder, step))[0])
            alone.append(model(batch))
    for name, logit in together.items():
        wanted = torch.stack([one[name] for one in alone]).mean(0)
        torch.testing.assert_close(logit, wanted)
        assert not torch.allclose(logit, alone[0][name])


def test_a_loaded_run_predicts_what_was_trained(run: Run, log: pl.DataFrame) -> None:
    again = Run.load(run.folder)
    assert len(again.model.earlier) == len(served(run.folder)["earlier"])
    assert again.predict(log.head(300)).equals(run.predict(log.head(300)))


def test_training_in_memory_serves_the_same(run: Run, prepared: Prepared) -> None:
    state = build_state(parse(RUN), prepared)
    found = train_in_memory(state, parse(RUN), prepared)
    wanted = served(run.folder)
    assert (found.step, list(found.earlier)) == (wanted["step"], wanted["earlier"])
    assert found.metrics == pytest.approx(wanted["metrics"])


def test_a_training_without_looking_has_the_passes_that_were_stopped_at(prepared: Prepared) -> None:
    state, alone = build_state(parse(RUN), prepared), build_state(parse(RUN), prepared)
    fit(state, prepared.train, parse(RUN), Stop(epochs=3.0, earlier=[1.0, 2.0]))
    fit(alone, prepared.train, parse(RUN), Stop(epochs=1.0))
    assert len(state.model.earlier) == 2
    for name, tensor in alone.model.state_dict().items():
        assert torch.equal(state.model.earlier[0].state_dict()[name], tensor)
    stop = Trainer(prepared).stop(parse(RUN), {})
    assert all(at in (1, 2, 3) and at < stop.epochs for at in stop.earlier)


def test_other_weights_leave_no_pass_behind(prepared: Prepared) -> None:
    model = build_state(parse(RUN), prepared).model
    states = {at: {n: t + at for n, t in model.state_dict().items()} for at in (1, 2)}
    put(model, 2, {}, states.__getitem__, [1])
    assert len(model.earlier) == 1
    put(model, 1, {}, states.__getitem__)
    assert len(model.earlier) == 0
    assert model.state_dict().keys() == states[1].keys()


def test_passes_that_are_alike_are_refused() -> None:
    with pytest.raises(ValueError, match="renew_tables"):
        TrainingSettings(passes=2)
    with pytest.raises(SettingsError, match=r"training.*passes: more than one needs renew_tables"):
        parse(RUN | {"training": {"passes": 2}})


def test_what_is_served_is_told(run: Run) -> None:
    """The epochs of all passes are named."""
    text = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "the mean of epochs" in text
    assert f"{1 + len(run.model.earlier)} passes" in text


def test_a_run_goes_on_from_the_latest_of_the_passes(
    run: Run, log: pl.DataFrame, tmp_path: Path
) -> None:
    days = log.sort("time_ms")
    grown = trimtab.train(parse(RUN), days.tail(2000), out=tmp_path / "on", start=run.folder)
    assert len(grown.model.earlier) == len(served(grown.folder)["earlier"])
    again = Run.load(grown.folder)
    assert again.predict(days.tail(50)).equals(grown.predict(days.tail(50)))


def test_a_killed_training_serves_the_same_passes(
    run: Run, log: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, save = [0], checkpoint.save

    def killed(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        count[0] += 1
        if count[0] == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        trimtab.train(parse(RUN), log, out=tmp_path / "run")
    monkeypatch.undo()
    again = trimtab.train(parse(RUN), log, out=tmp_path / "run", resume=True)
    assert served(again.folder) == served(run.folder)
    assert again.predict(log.tail(300)).equals(run.predict(log.tail(300)))
