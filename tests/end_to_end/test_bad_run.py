"""Folders that are taken or damaged, rows that do not fit a run, and runs that something stops."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

import trimtab
from trimtab import Run
from trimtab.batch import Batch
from trimtab.errors import LeftOutWarning, SeenWarning, UnseenWarning
from trimtab.training import checkpoint, loop
from trimtab.training.state import State

Weights = dict[str, torch.Tensor]

# Where a run is written


def test_folder_that_is_taken(finished: Any) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in Path("run").iterdir()}
    finished.refused(
        "train run.toml --out run",
        "run: not empty; choose another folder (--out, out=), or go on with --resume",
    )
    assert {path.name: path.stat().st_mtime_ns for path in Path("run").iterdir()} == before


def test_folder_with_other_files(desk: Any) -> None:
    desk.write("notes.txt", "keep me")
    other = "holds other files and no run; choose another folder (--out, out=)."
    desk.refused("train run.toml --out .", ".: not empty; choose another folder")
    desk.refused("train run.toml --out . --resume", other)
    for out in ("notes.txt", "notes.txt/run", "notes.txt/runs/first"):
        for command in ("train run.toml", "demo"):
            desk.refused(f"{command} --out {out}", "notes.txt: a file; choose another folder")
    desk.refused("demo --out .", ".: not empty and no demo; choose another --out.")
    assert Path("notes.txt").read_text() == "keep me"


def test_folder_that_another_training_writes_to(desk: Any) -> None:
    Path("run").mkdir()
    place = os.open("run", os.O_RDONLY)
    fcntl.flock(place, fcntl.LOCK_EX)
    for command in ("train run.toml", "train run.toml --resume", "demo"):
        desk.refused(f"{command} --out run", "run: another training is writing here; let it end")
    os.close(place)
    assert desk.call("train run.toml --out run").code == 0


def test_seesaw_that_another_one_is_at_work_in(finished: Any) -> None:
    Path("run/seesaw").mkdir()
    place = os.open("run/seesaw", os.O_RDONLY)
    fcntl.flock(place, fcntl.LOCK_EX)
    finished.refused("seesaw run", "run/seesaw: another training is writing here; let it end")
    os.close(place)


def test_two_trainings_at_once(desk: Any) -> None:
    words = [sys.executable, "-m", "trimtab", "train", "run.toml", "--out", "a/run"]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=120)[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 2], said
    assert any("a/run: " in text and text.startswith("trimtab: ") for text in said), said
    assert "rows to train on" in max(said, key=len)


def test_nothing_is_left_of_folders_for_a_run_that_could_not_start(desk: Any) -> None:
    desk.refused("train run.toml --out a/b/run -s features.age.column=agee", "no column 'agee'")
    assert not Path("a").exists()


def test_resume_with_other_settings(finished: Any) -> None:
    again = "train run.toml --out run --resume -s "
    finished.refused(
        again + "embedding.width=3",
        "run: was trained with other settings: embedding.width was 16 and is 3. Choose another",
    )
    assert finished.call(again + "training.epochs=2").code == 0
    assert json.loads(Path("run/settings.json").read_text())["training"]["epochs"] == 2


def test_resume_of_nothing_says_that_it_starts_at_the_beginning(desk: Any) -> None:
    says = "run: no checkpoint to go on from; training starts at the beginning.\n"
    for told in (True, False):
        answer = desk.call("train run.toml --out run --resume")
        assert (answer.code, answer.err.startswith(says)) == (0, told)
    assert says not in desk.call("train run.toml --out other").err


def test_resume_of_a_finished_run_without_its_checkpoint(finished: Any) -> None:
    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}

    Path("run/last.safetensors").unlink()
    before = files()
    at_step(finished.patch, 0, stop)
    for more in ("", " --resume", " --resume -s embedding.width=7"):
        answer = finished.call(f"train run.toml --out run{more}")
        assert answer.code == 2, answer
        assert "run: holds a finished run without its last.safetensors" in answer.err
        assert files() == before


def test_rows_that_changed_since(desk: Any) -> None:
    assert desk.call("train run.toml --out run").code == 0
    desk.write("log.parquet", desk.log.head(300))
    again = "train run.toml --out run --resume"
    desk.refused(again, "run: was trained on other rows; choose another folder")
    desk.refused("evaluate run", "data.log: not what the run was trained on ... --data (data=).")


# Runs that cannot be read

COMMANDS = ["evaluate run", "predict run log.parquet new.parquet", "compare run run"]


@pytest.mark.parametrize("command", COMMANDS)
def test_folder_that_holds_no_run(command: str, desk: Any) -> None:
    desk.refused(command, "run: no run; it has no settings.json.")
    Path("run").mkdir()
    desk.refused(command, "run: no run; it has no settings.json.")


@pytest.mark.parametrize("command", COMMANDS)
def test_run_that_has_not_finished(command: str, finished: Any) -> None:
    Path("run/model.safetensors").unlink()
    finished.refused(
        command, "run: the run has not finished; go on with `trimtab train ... --resume"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_model_that_is_cut_short(command: str, finished: Any) -> None:
    whole = Path("run/model.safetensors").read_bytes()
    finished.write("run/model.safetensors", whole[: len(whole) // 2])
    finished.refused(command, "run/model.safetensors: not a checkpoint, or cut short", code=1)


def edited(table: str, key: str, value: object) -> str:
    settings = json.loads(Path("run/settings.json").read_text())
    settings[table][key] = value
    return json.dumps(settings)


def without(target: str) -> str:
    calibration = json.loads(Path("run/calibration.json").read_text())
    del calibration["maps"][target]
    return json.dumps(calibration)


BROKEN: dict[str, tuple[str, Callable[[], str | None], int, str]] = {
    "settings of no JSON": ("settings.json", lambda: "{", 2, "run/settings.json: not valid JSON"),
    "settings of a list": ("settings.json", lambda: "[1]", 2, "expected tables, found list."),
    "settings with a stray key": (
        "settings.json",
        lambda: edited("training", "epoch", 1),
        2,
        "run/settings.json: 1 problem\n  training.epoch: unknown key. Did you mean 'epochs'?",
    ),
    "settings of another model": (
        "settings.json",
        lambda: edited("embedding", "width", 3),
        1,
        "run: damaged, or changed after training; train it anew.",
    ),
    "no statistics": ("statistics.json", lambda: None, 1, "run: damaged"),
    "statistics of nothing": ("statistics.json", lambda: "{}", 1, "run: damaged"),
    "no vocabulary": ("vocabularies/0.parquet", lambda: None, 1, "run: damaged"),
    "broken vocabulary": ("vocabularies/0.parquet", lambda: "PAR1", 1, "run: damaged"),
    "no calibration": ("calibration.json", lambda: None, 1, "run: damaged"),
    "calibration of no JSON": ("calibration.json", lambda: "{", 1, "run: damaged"),
    "calibration of a list": ("calibration.json", lambda: "[]", 1, "run: damaged"),
    "calibration without a target": (
        "calibration.json",
        lambda: without("like"),
        1,
        "run: damaged",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_run_whose_files_are_broken(name: str, finished: Any) -> None:
    file, content, code, says = BROKEN[name]
    text = content()
    Path("run", file).unlink()
    if text is not None:
        finished.write(f"run/{file}", text)
    finished.refused("evaluate run", says, code)


def test_checkpoint_that_is_broken(finished: Any) -> None:
    again, last = "train run.toml --out run --resume", Path("run/last.safetensors")
    shutil.copy("run/model.safetensors", last)
    finished.refused(again, "run: damaged, or not of one run; choose another folder", code=1)
    last.write_bytes(last.read_bytes()[:100])
    assert "run/last.safetensors: not a checkpoint, or cut short" in finished.call(again).err


# Rows that do not fit


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("less.parquet new.parquet", "features.age: the data has no column 'age'."),
        ("empty.parquet new.parquet", "empty.parquet: the file is empty."),
        ("headed.parquet new.parquet", "headed.parquet: the table has no rows."),
        ("none.parquet new.parquet", "none.parquet: no such file"),
        ("log.parquet no/new.parquet", "no/new.parquet: the folder no does not exist; make it"),
        ("log.parquet run", "run: a folder; expected the name of a file."),
        ("log.parquet new.txt", "new.txt: expected a file to write ending in .parquet, .pq, .csv."),
        ("log.parquet new", "new: expected a file to write ending in .parquet"),
        ("log.parquet log.parquet", "log.parquet: holds the rows to predict; name another file."),
    ],
)
def test_wrong_rows_to_predict(command: str, says: str, finished: Any) -> None:
    finished.write("less.parquet", finished.log.drop("age"))
    finished.write("empty.parquet", b"")
    finished.write("headed.parquet", finished.log.head(0))
    finished.refused(f"predict run {command}", says)
    assert not Path("new.parquet").exists()
    assert pl.read_parquet("log.parquet").equals(finished.log)


@pytest.mark.parametrize(
    "command",
    [
        "predict run {} new.parquet",
        "predict run log.parquet {}",
        "evaluate run --data {}",
        "init {} -o new.toml",
        "init log.parquet -o {}",
        "train run.toml --out {}",
        "train run.toml --out new -s data.log={}",
        "demo --out {}",
    ],
)
def test_name_that_no_file_can_have(command: str, finished: Any) -> None:
    answer = finished.call(command.format("x" * 300))
    assert (answer.code, answer.out) == (2, ""), answer
    assert answer.err.splitlines()[-1].startswith("trimtab: ")
    assert "x" * 300 in answer.err
    assert "Traceback" not in answer.err


def test_predictions_are_of_the_kind_that_the_name_says(finished: Any) -> None:
    for name in ("new.parquet", "new.csv"):
        assert finished.call(f"predict run log.parquet {name}").code == 0
    expected = pl.read_parquet("new.parquet")
    assert_frame_equal(pl.read_csv("new.csv"), expected, check_dtypes=False)


def test_ids_that_are_written_another_way_are_told(finished: Any) -> None:
    other = finished.log.with_columns(pl.col("user").cast(pl.Float64).cast(pl.String))
    finished.write("other.parquet", other)
    words = [sys.executable, "-m", "trimtab", "predict", "run", "other.parquet", "new.parquet"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1), done.stderr
    assert done.stderr.startswith("trimtab: features.user: 400 of 400 values were never seen")
    with pytest.warns(UnseenWarning, match="features.user: 60 of 60"):
        Run.load("run").steer(click=1).rank(other.head(60))


@pytest.mark.parametrize("kind", ["polars", "pandas", "pandas without types"])
def test_no_rows_are_no_predictions(kind: str, finished: Any) -> None:
    run, none = Run.load("run"), finished.log.head(0)
    frames = {
        "polars": none,
        "pandas": none.to_pandas(),
        "pandas without types": pd.DataFrame(columns=none.columns),
    }
    predicted = run.predict(frames[kind])
    assert (predicted.columns, len(predicted)) == (run.predict(finished.log).columns, 0)
    assert len(run.steer(click=1).rank(frames[kind])) == 0


def test_a_log_that_is_gone_is_asked_for(desk: Any) -> None:
    assert desk.call("train run.toml --out run").code == 0
    Path("log.parquet").rename("moved.parquet")
    for command in ("evaluate run", "steer run", "compare run run"):
        desk.refused(command, "log.parquet: no such file ... labelled rows with --data (data=).")
        assert desk.call(f"{command} --data moved.parquet").code == 0


def test_home_is_found_in_folders(finished: Any, tmp_path: Path) -> None:
    finished.patch.setenv("HOME", str(tmp_path / "home"))
    trimtab.train("run.toml", out="~/first")
    assert (tmp_path / "home" / "first" / "model.safetensors").exists()
    trimtab.train("run.toml", out="~/second", start="~/first")
    assert Run.load("~/second").settings == Run.load("~/first").settings
    assert not Path("~").exists()
    finished.refused("train run.toml --out ~no-such-user/run", "~no-such-user/run: expected a")


def test_wrong_rows_to_evaluate(finished: Any) -> None:
    finished.write("less.parquet", finished.log.drop("like"))
    finished.write("two.parquet", finished.log.with_columns(click=2))
    finished.refused(
        "evaluate run --json --data less.parquet",
        "targets.like.column: the data has no column 'like'.",
    )
    finished.refused("evaluate run --data two.parquet", "targets.click: ... holds 2 in row 0")
    finished.refused("evaluate run --data none.parquet", "none.parquet: no such file")


def test_numbers_that_are_text_are_numbers_in_every_command(finished: Any) -> None:
    texts = finished.log.with_columns(pl.col("age", "click", "play").cast(pl.String))
    finished.write("texts.parquet", texts)
    finished.write("numbers.parquet", finished.log)
    for command in ("evaluate run --json --data ", "steer run --json --data "):
        assert finished.call(command + "texts.parquet") == finished.call(
            command + "numbers.parquet"
        )
    assert_frame_equal(Run.load("run").predict(texts), Run.load("run").predict(finished.log))
    finished.run_file("data.log = 'texts.parquet'")
    assert finished.call("train run.toml --out again").code == 0
    again, run = (checkpoint.load(Path(name, "model.safetensors"))[0] for name in ("again", "run"))
    assert all(torch.equal(again[name], run[name]) for name in run)
    finished.write("texts.parquet", texts.with_columns(age=pl.lit("old")))
    says = "features.age: kind 'number' expects numbers, found String such as 'old'"
    for command in ("train run.toml --out more", "evaluate run --data texts.parquet"):
        finished.refused(command, says)


@pytest.mark.parametrize("command", ["evaluate run", "compare run run", "steer run"])
def test_rows_that_were_trained_on_are_told(command: str, finished: Any) -> None:
    finished.write("all.parquet", finished.log)
    with pytest.warns(SeenWarning, match="run: was trained on about 7. % of these 400 rows"):
        assert finished.call(f"{command} --data all.parquet --json").code == 0
    model = Path("run/model.safetensors")
    tensors, facts = checkpoint.load(model)
    checkpoint.save(model, tensors, {n: fact for n, fact in facts.items() if n != "seen"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Of a run of before nothing is known.
        assert finished.call(f"{command} --data all.parquet --json").code == 0


def test_rows_that_are_held_out_are_not_called_trained_on(finished: Any) -> None:
    drawn = np.random.default_rng(0).permutation(400)[300:]
    finished.write("new.parquet", finished.log[drawn])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert finished.call("evaluate run --data new.parquet").code == 0


def test_runs_that_cannot_be_compared(finished: Any) -> None:
    finished.run_file("data.valid = 0.3")
    assert finished.call("train run.toml --out longer").code == 0
    finished.refused("compare run longer", "the runs see 100 and 120 rows ... with --data.")
    finished.run_file("targets.click.kind\ntargets.play.kind\ntargets.like.column = 'click'")
    assert finished.call("train run.toml --out other").code == 0
    finished.refused("compare run other", "target 'like' does not have the same labels")
    finished.run_file("targets.click.kind\ntargets.like.kind\ntargets.play.kind = 'binary'")
    finished.write("log.parquet", finished.log.with_columns(pl.col("play") > 0))
    assert finished.call("train run.toml --out another").code == 0
    finished.refused(
        "compare run another",
        "the runs have no target of the same name and kind in common: click is in the first run "
        "only; like is in the first run only; play is of kind 'duration' in the first run and "
        "'binary' in the second.",
    )


def test_targets_that_cannot_be_compared_are_named(finished: Any) -> None:
    finished.run_file(
        "targets.click.kind\ntargets.early.kind = 'binary'\ntargets.early.column = 'click'"
    )
    assert finished.call("train run.toml --out other").code == 0
    with pytest.warns(LeftOutWarning, match="compared: click is .* first .* only; early .* second"):
        answer = finished.call("compare run other --json")
    assert (answer.code, list(json.loads(answer.out))) == (0, ["like", "play"])


# What is not the user's doing

LONG = "train run.toml -s training.batch_rows=50 -s training.epochs=3 --out "
"""Six steps an epoch, with an evaluation and a checkpoint after each epoch."""


@pytest.fixture
def weights(desk: Any) -> Weights:
    """The weights of a training that nothing disturbed."""
    assert desk.call(LONG + "undisturbed").code == 0
    return checkpoint.load(Path("undisturbed/model.safetensors"))[0]


def assert_resumable(desk: Any, weights: Weights) -> None:
    assert desk.call(LONG + "run --resume").code == 0
    resumed, _ = checkpoint.load(Path("run/model.safetensors"))
    assert all(torch.equal(resumed[name], weights[name]) for name in weights)


def fill_disk(patch: pytest.MonkeyPatch, module: Any, name: str, file: str, *, time: int) -> None:
    """Have a function fail as on a full disk when it comes to a file for the so-manieth time."""
    left, whole = [time], getattr(module, name)

    def fail(content: Any, place: Any, **others: Any) -> None:
        left[0] -= file in str(place)
        if left[0]:
            whole(content, place, **others)
            return
        if name == "save_file":
            Path(place).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(module, name, fail)


@pytest.mark.parametrize(
    ("module", "name", "file", "saved"),
    [
        (checkpoint, "save_file", "last.safetensors", 6),
        (os, "replace", "last.safetensors", 6),
        (os, "replace", "log.jsonl", 12),
    ],
)
def test_disk_full_at_a_checkpoint(
    module: Any, name: str, file: str, saved: int, desk: Any, weights: Weights
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fill_disk(patch, module, name, file, time=2)
        says = f"run/{file}: cannot be written: No space left on device. ... --resume"
        desk.refused(LONG + "run", says, code=1)
    assert checkpoint.load(Path("run/last.safetensors"))[1]["step"] == saved
    assert_resumable(desk, weights)


@pytest.mark.parametrize(("module", "name"), [(checkpoint, "save_file"), (os, "replace")])
@pytest.mark.parametrize("file", ["step-6.safetensors", "last.safetensors"])
def test_disk_full_at_the_first_checkpoint(module: Any, name: str, file: str, desk: Any) -> None:
    fill_disk(desk.patch, module, name, file, time=1)
    says = f"{file}: cannot be written: No space left on device. ... make room"
    desk.refused(LONG + "run", says, code=1)
    assert not Path("run").exists()


def test_disk_full_at_a_prediction(finished: Any) -> None:
    def fail(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    finished.patch.setattr(Path, "write_bytes", fail)
    says = "new.parquet: cannot be written: No space left on device."
    finished.refused("predict run log.parquet new.parquet", says, code=1)
    assert not Path("new.parquet").exists()


def at_step(patch: pytest.MonkeyPatch, step: int, do: Callable[[State], object]) -> None:
    """Have something happen to the state right before one update."""
    update = loop.update

    def disturbed(state: State, batch: Batch, settings: Any) -> Weights:
        if state.step == step:
            do(state)
        return update(state, batch, settings)

    patch.setattr(loop, "update", disturbed)


def spoil(state: State) -> None:
    state.model.features.tables.weight.data.fill_(float("nan"))


def assert_finite(path: str) -> None:
    tensors, _ = checkpoint.load(Path(path))
    assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())


def test_loss_that_is_not_finite(desk: Any) -> None:
    says = "the loss is not finite at step 9 ... click nan ... --resume (resume=True) and a smaller"
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 8, spoil)
        desk.refused(LONG + "run", says, code=1)
    assert checkpoint.load(Path("run/last.safetensors"))[1]["step"] == 6
    assert_finite("run/last.safetensors")
    assert desk.call(LONG + "run --resume -s training.learning_rate=1e-4").code == 0


def test_loss_that_is_not_finite_before_the_first_checkpoint(desk: Any) -> None:
    at_step(desk.patch, 2, spoil)
    desk.refused(LONG + "run", "the loss is not finite at step 3", code=1)
    assert not Path("run").exists()


def test_weights_that_are_not_finite_are_not_saved(desk: Any) -> None:
    """The loss of an update may be finite and the weights after it not."""
    follow = State.follow

    def spoilt(state: State) -> None:
        follow(state)
        if state.step == 12:
            spoil(state)

    desk.patch.setattr(State, "follow", spoilt)
    desk.refused(LONG + "run", "features.tables.weight are not finite after step 12", code=1)
    assert checkpoint.load(Path("run/last.safetensors"))[1]["step"] == 6
    assert_finite("run/front/step-6.safetensors")


def stop(state: State) -> None:
    raise KeyboardInterrupt


def test_stopped_by_hand(desk: Any, weights: Weights) -> None:
    says = "stopped; the same command with --resume goes on."
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 8, stop)
        desk.refused(LONG + "run", says, code=130)
    assert_resumable(desk, weights)


def test_stopped_by_hand_before_the_first_checkpoint(desk: Any) -> None:
    at_step(desk.patch, 2, stop)
    desk.refused(LONG + "run", "the same command with --resume goes on.", code=130)
    assert not Path("run").exists()


def test_out_of_memory(desk: Any) -> None:
    says = "out of memory; try a smaller embedding.width"
    desk.refused("train run.toml --out run -s embedding.width=100_000_000_000", says, code=1)


# As a person sees it


def test_message_on_a_terminal_is_not_hidden_by_the_bar(desk: Any) -> None:
    desk.patch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    desk.patch.setenv("TERM", "xterm")
    shown = desk.call("train run.toml --out run -s features.age.column=agee").err
    hide_cursor, show_cursor = "\x1b[?25l", "\x1b[?25h"
    assert hide_cursor in shown, "the bar moves"
    assert "no column 'agee'" in shown[shown.rindex(show_cursor) :]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("trian run.toml", 2),
        ("train run.toml --out run -s targets.like.given=clik", 2),
        ("train run.toml --out log.parquet/run", 2),
    ],
)
def test_in_a_process_of_its_own(command: str, code: int, desk: Any) -> None:
    words = [sys.executable, "-m", "trimtab", *command.split()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "Traceback" not in done.stderr
    desk.assert_tidy()
