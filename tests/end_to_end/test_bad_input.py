"""Every broken input ends with one message that says where, what and what to do, and no mess.

Exit code 2 where the input is wrong, 1 where it is not the user's doing. Nothing goes to stdout, no
traceback is shown, and no half-written run is left: its folder is not there, or holds what
``--resume`` goes on from.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import trimtab
from trimtab.batch import Batch
from trimtab.training import checkpoint, loop
from trimtab.training.state import State

Call = Callable[..., Any]
Weights = dict[str, torch.Tensor]
Keys = Mapping[str, str | None]
Files = Mapping[str, pl.DataFrame | str | bytes]
Change = Callable[[pl.DataFrame], pl.DataFrame | bytes]

ROWS = 400
RUN = {
    "data.log": "'log.parquet'",
    "data.user": "'user'",
    "data.valid": "0.25",
    "features.user.kind": "'id'",
    "features.age.kind": "'number'",
    "targets.click.kind": "'binary'",
    "targets.like.kind": "'binary'",
    "targets.play.kind": "'duration'",
    "training.epochs": "1",
    "training.evaluations": "1",
    "training.threads": "1",
}
"""A run file that works, as dotted keys."""

PYDANTIC = re.compile(
    r"Input should|[Ff]ield required|valid (integer|number|string)|function-|\[type="
)
STRAY = ("[]", "..?", "?.", "None", "<class", "Errno")


def log() -> pl.DataFrame:
    draw = np.random.default_rng(0)
    click = draw.integers(0, 2, ROWS)
    return pl.DataFrame(
        {
            "time": 1_700_000_000 + 600 * np.arange(ROWS),
            "user": draw.integers(0, 20, ROWS),
            "age": draw.integers(18, 70, ROWS),
            "place": draw.integers(0, 3, ROWS),
            "verdict": np.where(click, "good", "bad"),
            "tags": ["a,b"] * ROWS,
            "importance": draw.uniform(0.5, 2, ROWS),
            "click": click,
            "like": click * draw.integers(0, 2, ROWS),
            "play": click * draw.exponential(20, ROWS),
        }
    )


def users(**changed: Any) -> pl.DataFrame:
    return pl.DataFrame({"user": range(20), "city": ["x"] * 20}).with_columns(**changed)


def bytes_of(frame: pl.DataFrame, path: Path = Path("frame.parquet")) -> bytes:
    frame.write_parquet(path)
    content = path.read_bytes()
    path.unlink()
    return content


def put(column: str, row: int, value: Any) -> Change:
    """Return a change that puts one value into one row."""

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        values = frame[column].to_list()
        values[row] = value
        return frame.with_columns(pl.Series(column, values, strict=False))

    return change


def replace(**columns: Any) -> Change:
    """Return a change that sets whole columns."""
    return lambda frame: frame.with_columns(
        **{name: pl.lit(v) if not isinstance(v, pl.Expr) else v for name, v in columns.items()}
    )


def write(name: str, content: pl.DataFrame | str | bytes) -> None:
    if isinstance(content, pl.DataFrame):
        content.write_parquet(name)
    else:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)


def write_run_file(keys: Keys | None = None, name: str = "run.toml") -> None:
    merged = {**RUN, **(keys or {})}
    lines = [f"{key} = {value}" for key, value in merged.items() if value is not None]
    Path(name).write_text("\n".join(lines))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a log and a run file that are fine."""
    monkeypatch.chdir(tmp_path)
    write("log.parquet", log())
    write_run_file()
    return tmp_path


def refused(answer: Any, *says: str, code: int = 2) -> None:
    """Check that a command ended with one message that holds every one of some words."""
    message = answer.err[answer.err.index("trimtab: ") :] if "trimtab: " in answer.err else ""
    assert (answer.code, answer.out) == (code, ""), answer.err
    assert message, answer.err
    assert [word for word in says if word not in message] == [], message
    assert "Traceback" not in answer.err
    assert not PYDANTIC.search(message), message
    assert not [odd for odd in STRAY if odd in message], message
    assert all(len(line) < 300 for line in message.splitlines()), message
    assert_no_leftovers()


def assert_no_leftovers() -> None:
    """Check that neither a run, nor its cache, nor a prediction is half-written."""
    assert [str(path) for path in Path().rglob(".*")] == []
    if Path("run").exists():
        assert Path("run/last.safetensors").exists()
        checkpoint.load(Path("run/last.safetensors"))


# The run file

ONE_OF_TARGETS = "expected 'binary', 'blend', 'duration' or 'number'"
BLEND = {"targets.all.kind": "'blend'"}
STAGES = {f"targets.{name}.scene": "'first'" for name in ("click", "like", "play")}

RUN_FILE: dict[str, tuple[Keys, list[str]]] = {
    "wrong type": (
        {"training.epochs": "'three'"},
        ["run.toml: 1 problem\n  training.epochs: expected a whole number; found 'three'."],
    ),
    "unknown key": (
        {"training.epoch": "3"},
        ["training.epoch: unknown key. Did you mean 'epochs'?"],
    ),
    "unknown table": (
        {"trainning.epochs": "3"},
        ["trainning: unknown key. Did you mean 'training'?"],
    ),
    "several problems": (
        {
            "targets.like.knd": "1",
            "features.age.kind": "'numbr'",
            "training.epoch": "3",
            "training.learning_rate": "-1",
        },
        [
            "4 problems",
            "\n  features.age.kind: expected 'id', 'ids' or 'number'; found 'numbr'.",
            "\n  targets.like.knd: unknown key. Did you mean 'kind'?",
            "\n  training.learning_rate: expected a number above 0; found -1.",
            "\n  training.epoch: unknown key. Did you mean 'epochs'?",
        ],
    ),
    "unknown feature": ({"features.age.kind": "'text'"}, ["features.age.kind", "found 'text'"]),
    "unknown target": (
        {"targets.like.kind": "'boolean'"},
        [f"targets.like.kind: {ONE_OF_TARGETS}; found 'boolean'."],
    ),
    "no kind of target": (
        {"targets.like.kind": None, "targets.like.column": "'like'"},
        [f"targets.like.kind: {ONE_OF_TARGETS}; it is missing."],
    ),
    "unknown trunk": ({"trunk.kind": "'mmo'"}, ["trunk.kind: expected 'shared_bottom'", "'mmo'"]),
    "no target": (
        {f"targets.{name}.kind": None for name in ("click", "like", "play")},
        ["targets: missing; it must be given."],
    ),
    "given of no target": (
        {"targets.like.given": "'clik'"},
        ["targets.like.given: no target named 'clik'. Did you mean 'click'?"],
    ),
    "given of a duration": (
        {"targets.like.given": "'play'"},
        ["targets.like.given: 'play' is a duration; expected a binary target."],
    ),
    "cycle of one": (
        {"targets.like.given": "'like'"},
        ["1 problem\n  targets.like.given: a cycle, like <- like"],
    ),
    "cycle of two": (
        {"targets.like.given": "'click'", "targets.click.given": "'like'"},
        ["1 problem\n  targets.click.given: a cycle, click <- like <- click"],
    ),
    "cycle of three": (
        {
            "targets.like.given": "'click'",
            "targets.click.given": "'stop'",
            "targets.stop.given": "'like'",
            "targets.stop.kind": "'binary'",
        },
        ["1 problem\n  targets.click.given: a cycle, click <- stop <- like <- click"],
    ),
    "names that PyTorch has": (
        {"targets.keys.kind": "'binary'", "targets.training.kind": "'binary'"},
        ["2 problems", "targets.keys: cannot be used as a name", "column = 'training'"],
    ),
    "a name with a dot": ({"targets.'a.b'.kind": "'binary'"}, ["targets.a.b: cannot be used"]),
    "a name of a prediction": (
        {
            "targets.like.given": "'click'",
            "targets.like_given_click.kind": "'binary'",
        },
        ["targets.like_given_click: the prediction of 'like'", "choose another"],
    ),
    "negative target weight": (
        {"targets.like.weight": "-1"},
        ["targets.like.weight: expected a number of 0 or more; found -1."],
    ),
    "NaN weight": ({"targets.like.weight": "nan"}, ["targets.like.weight", "finite", "found nan"]),
    "all target weights zero": (
        {f"targets.{name}.weight": "0" for name in ("click", "like", "play")},
        ["targets: every weight is 0, so there is nothing to learn."],
    ),
    "unknown shares": (
        {"features.friend.kind": "'id'", "features.friend.shares": "'usr'"},
        ["features.friend.shares: no other feature named 'usr'. Did you mean 'user'?"],
    ),
    "nothing to share": (
        {"features.friend.kind": "'id'", "features.friend.shares": "'age'"},
        ["features.friend.shares: 'age' has no table of its own to share."],
    ),
    "one value in two scenes": (
        {"scenes.column": "'place'", "scenes.feed": "[0, 1]", "scenes.search": "[1]"},
        ["scenes: value 1 is in both 'feed' and 'search'."],
    ),
    "unknown scene of a target": (
        {"scenes.column": "'place'", "scenes.feed": "[0]", "targets.like.scene": "'fed'"},
        ["targets.like.scene: no scene named 'fed'. Did you mean 'feed'?"],
    ),
    "a scene without scenes": (
        {"targets.like.scene": "'feed'"},
        ["targets.like.scene: no scene named 'feed'. The run file has no [scenes]."],
    ),
    "stages without a target's scene": (
        {"scenes.stages": "['first', 'second']", **STAGES, "targets.like.scene": None},
        ["targets.like.scene: with stages, name one of first, second."],
    ),
    "a stage named twice": (
        {"scenes.stages": "['first', 'first']", **STAGES},
        ["scenes: 'stages' names a stage twice."],
    ),
    "all scene weights zero": (
        {
            "scenes.column": "'place'",
            "scenes.feed": "[0]",
            "scenes.weights": "{ feed = 0, other = 0 }",
        },
        ["scenes.weights: every weight is 0, so there is nothing to learn."],
    ),
    "negative weight in a blend": (
        BLEND | {"targets.all.of.click": "-1"},
        ["targets.all.of.click: expected a number above 0; found -1."],
    ),
    "unknown key in a blend": (
        BLEND | {"targets.all.of.play": "{ weight = 1, atleast = 3 }"},
        ["targets.all.of.play.atleast: unknown key. Did you mean 'at_least'?"],
    ),
    "a raw duration in a blend": (
        BLEND | {"targets.all.of.play": "1"},
        ["targets.all.of.play: 'play' is a quantity; give 'at_least', or 'per' with 'cap'."],
    ),
    "a threshold on a click in a blend": (
        BLEND | {"targets.all.of.click": "{ weight = 1, at_least = 1 }"},
        ["targets.all.of.click: 'click' is 0 or 1; give its weight alone."],
    ),
    "a blend of a blend": (
        BLEND
        | {"targets.all.of.click": "1", "targets.more.kind": "'blend'", "targets.more.of.all": "1"},
        ["targets.more.of.all: 'all' is a blend itself; name its behaviours."],
    ),
    "a blend with a column": (
        BLEND | {"targets.all.of.click": "1", "targets.all.column": "'click'"},
        ["targets.all: a blend has neither 'column' nor 'given'; name behaviours in 'of'."],
    ),
    "valid in words": ({"data.valid": "'two days'"}, ["data.valid: expected", "found 'two days'"]),
    "valid of more than all": (
        {"data.valid": "1.5"},
        ["data.valid: fraction: expected a number below 1; found 1.5."],
    ),
    "unset variable": (
        {"data.log": "'${NO_SUCH_VARIABLE}/log.parquet'"},
        ["environment variable NO_SUCH_VARIABLE is not set", "${NO_SUCH_VARIABLE:-...}"],
    ),
    "no such device": (
        {"training.device": "'gpu'"},
        ["training.device: this machine has no 'gpu'; expected 'auto', 'cpu' or 'cuda'."],
    ),
}


@pytest.mark.parametrize("name", RUN_FILE)
def test_wrong_run_file(name: str, call: Call) -> None:
    keys, says = RUN_FILE[name]
    write_run_file(keys)
    refused(call("train", "run.toml", "--out", "run"), *says)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"data.log = log.parquet", "not valid TOML: Invalid value (at line 1"),
        (b"[data]\nlog = 'a'\n[data]\nlog = 'b'", "not valid TOML"),
        ("data.log = 'é'".encode("latin-1"), "not a text file in UTF-8."),
        (b"", "features: missing; it must be given.\n  targets: missing"),
    ],
)
def test_run_file_that_is_none(content: bytes, says: str, call: Call) -> None:
    write("run.toml", content)
    refused(call("train", "run.toml", "--out", "run"), "run.toml: ", says)


def test_run_file_that_is_not_there(call: Call) -> None:
    for command in ("train", "check"):
        refused(call(command, "rum.toml"), "rum.toml: cannot be read: No such file or directory.")
        refused(call(command, "."), "Is a directory.")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epochs", "-s training.epochs: expected key=value, such as training.epochs=3."),
        ("training.epoch=3", "training.epoch: unknown key. Did you mean 'epochs'?"),
        ("training.epochs=many", "training.epochs: expected a whole number; found 'many'."),
        ("training.epochs.most=3", "-s training.epochs.most=3: 'epochs' is no table"),
    ],
)
def test_wrong_override(override: str, says: str, call: Call) -> None:
    refused(call("train", "run.toml", "--out", "run", "-s", override), says)


# The log, its columns and side tables

JOIN = {"data.join": "[{ table = 'users.parquet', on = 'user' }]"}
OF_CSV = {"data.log": "'log.csv'"}


def cut_short(frame: pl.DataFrame) -> bytes:
    content = bytes_of(frame)
    return content[: len(content) // 2]


DATA: dict[str, tuple[Keys, Change | None, Files, list[str]]] = {
    "log missing": ({"data.log": "'lag.parquet'"}, None, {}, ["lag.parquet: no such file"]),
    "log of no name": ({"data.log": "''"}, None, {}, ["data.log: no files are named; expected"]),
    "no log": ({"data.log": None}, None, {}, ["data.log: no files are named; expected a file"]),
    "unknown format": ({"data.log": "'log.xlsx'"}, None, {"log.xlsx": "x"}, ["ending in .parquet"]),
    "empty file": ({}, lambda frame: b"", {}, ["log.parquet: the file is empty."]),
    "header only": (
        OF_CSV,
        None,
        {"log.csv": "user,age,click,like,play\n"},
        ["log.csv: the table has no rows."],
    ),
    "cut short": ({}, cut_short, {}, ["log.parquet: cannot be read as parquet", "cut short"]),
    "CSV in Parquet's name": (
        {},
        lambda frame: frame.write_csv().encode(),
        {},
        ["log.parquet: cannot be read as parquet", "of another format than its name says?"],
    ),
    "rows of other lengths": (
        OF_CSV,
        None,
        {"log.csv": "user,age,click\n1,2,0\n1,2,3,4,5\n"},
        ["log.csv: cannot be read as csv"],
    ),
    "missing feature": (
        {"features.age.column": "'agee'"},
        None,
        {},
        ["features.age.column: the data has no column 'agee'. Did you mean 'age'?"],
    ),
    "missing label": (
        {"targets.like.column": "'is_like'"},
        None,
        {},
        ["targets.like.column: the data has no column 'is_like'. Did you mean 'like'?"],
    ),
    "missing user": (
        {"data.user": "'usr'"},
        None,
        {},
        ["data.user", "'usr'. Did you mean 'user'?"],
    ),
    "unknown behaviour of a blend": (
        BLEND | {"targets.all.of.clik": "1"},
        None,
        {},
        ["targets.all.of.clik", "no column 'clik'. Did you mean 'click'?"],
    ),
    "label of 2": (
        {},
        put("click", 7, 2),
        {},
        ["targets.click: column 'click' holds 2 in row 7", "expected 0 or 1"],
    ),
    "text label": (
        {"targets.click.column": "'verdict'"},
        None,
        {},
        ["targets.click: column 'verdict' is text such as ['", 'positive = "..."'],
    ),
    "positive value that never is": (
        {"targets.click.column": "'verdict'", "targets.click.positive": "'god'"},
        None,
        {},
        ["targets.click", "none of them holds the positive value, 'god'"],
    ),
    "negative duration": (
        {},
        put("play", 7, -3.0),
        {},
        ["targets.play: column 'play' holds -3 in row 7", "expected finite numbers of 0 or more"],
    ),
    "all rows in one class": (
        {},
        replace(click=1, like=0),
        {},
        [
            "targets.click: column 'click' is 1 in all 300 training rows that have a label",
            "\ntargets.like: column 'like' is 0 in all 300",
            "There is nothing to tell apart.",
        ],
    ),
    "no label at all": (
        {},
        replace(like=pl.lit(None, dtype=pl.Int64)),
        {},
        ["targets.like: no training row has a label in 'like'."],
    ),
    "no label in a target's scene": (
        {"scenes.column": "'place'", "scenes.feed": "[0]", "targets.like.scene": "'feed'"},
        replace(like=pl.when(pl.col("place") > 0).then("like")),
        {},
        ["targets.like: no training row of its scenes has a label in 'like'."],
    ),
    "infinite feature": (
        {},
        put("age", 350, float("inf")),
        {},
        ["features.age: row 350 is inf; expected finite numbers."],
    ),
    "text as a number": (
        {"features.verdict.kind": "'number'"},
        None,
        {},
        ["features.verdict: kind 'number' expects numbers, found String", "kind 'id'?"],
    ),
    "text as a list": (
        {"features.tags.kind": "'ids'"},
        None,
        {},
        ["features.tags: kind 'ids' expects a column of lists", 'separator = ","'],
    ),
    "NaN row weight": (
        {"data.row_weight": "'importance'"},
        put("importance", 7, float("nan")),
        {},
        ["data.row_weight: column 'importance' holds nan in row 7", "finite weights of 0 or more"],
    ),
    "negative row weight": (
        {"targets.like.row_weight": "'importance'"},
        put("importance", 7, -1.0),
        {},
        ["targets.like.row_weight: column 'importance' holds -1 in row 7"],
    ),
    "row weights all zero": (
        {"data.row_weight": "'importance'"},
        replace(importance=0.0),
        {},
        ["data.row_weight: 0 in all 300 training rows; there is nothing to learn."],
    ),
    "duplicate keys": (
        JOIN,
        None,
        {"users.parquet": users(user=pl.col("user") // 2)},
        ["data.join[0]: ", "users.parquet has 10 keys more than once, such as user = "],
    ),
    "key of another type": (
        JOIN,
        None,
        {"users.parquet": users(user=pl.col("user").cast(str))},
        ["data.join[0]: ", "'user' is String here and Int64 in the log", "Store it as one type"],
    ),
    "key missing": (
        JOIN,
        None,
        {"users.parquet": users().rename({"user": "user_id"})},
        ["data.join[0].on", "no column 'user'. Did you mean 'user_id'?"],
    ),
    "clashing columns": (
        JOIN,
        None,
        {"users.parquet": users(age=1)},
        ["data.join[0]: ", "users.parquet and the log both have age.", "or give a prefix"],
    ),
    "split without training rows": (
        {"data.valid": "'90d'", "data.time": "'time'"},
        None,
        {},
        ["data.valid: last = 90 days", "leaves no training rows of 400; hold out less."],
    ),
    "split without valid rows": (
        {"data.valid": "0.0001"},
        None,
        {},
        ["data.valid: fraction = 0.0001 leaves no valid rows of 400; hold out more."],
    ),
    "split by time without a time": (
        {"data.valid": "'2d'"},
        None,
        {},
        ["data.valid: a split by time needs data.time, the column with the time."],
    ),
    "time of nonsense": (
        {"data.time": "'verdict'", "data.valid": "'2d'"},
        None,
        {},
        ["data.time: 'verdict' holds text such as '", "expected ISO 8601 times."],
    ),
    "scenes of no column": (
        {"scenes.column": "'plce'", "scenes.feed": "[0]"},
        None,
        {},
        ["scenes.column: the data has no column 'plce'. Did you mean 'place'?"],
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_wrong_data(name: str, call: Call) -> None:
    keys, change, files, says = DATA[name]
    write_run_file(keys)
    write("log.parquet", change(log()) if change else log())
    for file, content in files.items():
        write(file, content)
    refused(call("train", "run.toml", "--out", "run"), *says)
    assert not Path("run").exists()


# The folder of a run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run and its log; to be copied."""
    place = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("TRIMTAB_CACHE", str(place / "cache"))
        write("log.parquet", log())
        write_run_file()
        trimtab.train("run.toml", out="run")
    return place


@pytest.fixture
def run(trained: Path, folder: Path) -> Path:
    """A copy of a finished run."""
    shutil.copytree(trained / "run", folder / "run")
    return Path("run")


def test_folder_that_is_taken(run: Path, call: Call) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    refused(
        call("train", "run.toml", "--out", "run"),
        "run: not empty; choose another --out, or go on with --resume.",
    )
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_folder_with_other_files(call: Call) -> None:
    write("notes.txt", "keep me")
    refused(call("train", "run.toml", "--out", "."), "not empty")
    refused(call("train", "run.toml", "--out", ".", "--resume"), "holds other files and no run")
    refused(call("train", "run.toml", "--out", "notes.txt"), "notes.txt: a file; choose another")
    inside = call("train", "run.toml", "--out", "notes.txt/run")
    refused(inside, "notes.txt/run: cannot be written: Not a directory.", code=1)
    refused(call("demo", "--out", "notes.txt"), "notes.txt: a file")
    refused(call("demo", "--out", "."), "not empty and no demo")
    assert Path("notes.txt").read_text() == "keep me"


def test_resume_with_other_settings(trained: Path, run: Path, call: Call) -> None:
    where = ["-s", f"data.log={trained / 'log.parquet'}"]
    wider = call("train", "run.toml", "--out", run, "--resume", *where, "-s", "embedding.width=3")
    refused(wider, "run: was trained with other settings: embedding.width was 16 and is 3.")
    longer = call("train", "run.toml", "--out", run, "--resume", *where, "-s", "training.epochs=2")
    assert longer.code == 0
    assert json.loads((run / "settings.json").read_text())["training"]["epochs"] == 2


def test_resume_on_other_rows(run: Path, call: Call) -> None:
    saved = json.loads((run / "settings.json").read_text())
    saved["data"]["log"] = str(Path("log.parquet").resolve())
    write(str(run / "settings.json"), json.dumps(saved))
    write("log.parquet", log().head(300))
    resumed = call("train", "run.toml", "--out", run, "--resume")
    refused(resumed, "run: was trained on other rows; choose another --out.")
    refused(call("evaluate", run), "data.log: not what the run was trained on any more", "--data")


COMMANDS = {
    "evaluate": ["evaluate", "run"],
    "predict": ["predict", "run", "log.parquet", "predictions.parquet"],
    "compare": ["compare", "run", "run"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_folder_that_holds_no_run(command: str, call: Call) -> None:
    refused(call(*COMMANDS[command]), "run: no run; it has no settings.json.")
    Path("run").mkdir()
    answer = call(*COMMANDS[command])
    Path("run").rmdir()
    refused(answer, "run: no run; it has no settings.json.")


@pytest.mark.parametrize("command", COMMANDS)
def test_run_that_has_not_finished(command: str, run: Path, call: Call) -> None:
    (run / "model.safetensors").unlink()
    refused(call(*COMMANDS[command]), "run: the run has not finished; go on with", "--resume")


@pytest.mark.parametrize("command", COMMANDS)
def test_model_that_is_cut_short(command: str, run: Path, call: Call) -> None:
    content = (run / "model.safetensors").read_bytes()
    write(str(run / "model.safetensors"), content[: len(content) // 2])
    refused(
        call(*COMMANDS[command]), "run/model.safetensors: not a checkpoint, or cut short", code=1
    )


def edited(run: Path, *keys: str, value: Any) -> str:
    settings = json.loads((run / "settings.json").read_text())
    table = settings
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = value
    return json.dumps(settings)


BROKEN: dict[str, tuple[str, Callable[[Path], str | None], int, str]] = {
    "settings of no JSON": (
        "settings.json",
        lambda run: "{",
        2,
        "run/settings.json: not valid JSON",
    ),
    "settings of a list": ("settings.json", lambda run: "[1]", 2, "expected tables, found list"),
    "settings with a stray key": (
        "settings.json",
        lambda run: edited(run, "training", "epoch", value=1),
        2,
        "run/settings.json: 1 problem\n  training.epoch: unknown key.",
    ),
    "settings of another model": (
        "settings.json",
        lambda run: edited(run, "embedding", "width", value=3),
        1,
        "run: damaged, or changed after training; train it anew.",
    ),
    "no statistics": ("statistics.json", lambda run: None, 1, "run: damaged"),
    "statistics of nothing": ("statistics.json", lambda run: "{}", 1, "run: damaged"),
    "no vocabulary": ("vocabularies/0.parquet", lambda run: None, 1, "run: damaged"),
    "broken vocabulary": ("vocabularies/0.parquet", lambda run: "PAR1", 1, "run: damaged"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_run_whose_files_are_broken(name: str, run: Path, call: Call) -> None:
    file, content, code, says = BROKEN[name]
    text = content(run)
    (run / file).unlink()
    if text is not None:
        write(str(run / file), text)
    refused(call("evaluate", run), says, code=code)


def test_checkpoint_that_is_broken(trained: Path, run: Path, call: Call) -> None:
    again = ["train", "run.toml", "--out", run, "--resume"]
    again += ["-s", f"data.log={trained / 'log.parquet'}"]
    whole = (run / "last.safetensors").read_bytes()
    shutil.copy(run / "model.safetensors", run / "last.safetensors")
    refused(call(*again), "run: damaged, or not of one run; choose another --out.", code=1)
    write(str(run / "last.safetensors"), whole[:100])
    answer = call(*again)
    write(str(run / "last.safetensors"), whole)
    refused(answer, "run/last.safetensors: not a checkpoint, or cut short", code=1)


# Rows to evaluate and to predict


def test_wrong_rows_to_predict(run: Path, call: Call) -> None:
    write("less.parquet", log().drop("age"))
    write("empty.parquet", b"")
    write("headed.parquet", log().head(0))
    wrong = [
        ("less.parquet", "p.parquet", "features.age: the data has no column 'age'."),
        ("empty.parquet", "p.parquet", "empty.parquet: the file is empty."),
        ("headed.parquet", "p.parquet", "headed.parquet: the table has no rows."),
        ("none.parquet", "p.parquet", "none.parquet: no such file"),
        ("log.parquet", "no/p.parquet", "no/p.parquet: the folder no does not exist; make it"),
        ("log.parquet", "run", "run: a folder; expected the name of a Parquet file."),
        ("log.parquet", "log.parquet", "log.parquet: holds the rows to predict; name another"),
    ]
    for rows, output, says in wrong:
        refused(call("predict", run, rows, output), says)
    assert not Path("p.parquet").exists()
    assert pl.read_parquet("log.parquet").equals(log())


def test_wrong_rows_to_evaluate(run: Path, call: Call) -> None:
    write("less.parquet", log().drop("like"))
    write("two.parquet", put("click", 7, 2)(log()))
    evaluate = ["evaluate", run, "--json", "--data"]
    refused(call(*evaluate, "less.parquet"), "targets.like.column: the data has no column 'like'.")
    refused(call(*evaluate, "two.parquet"), "targets.click: column 'click' holds 2 in row 7")
    refused(call(*evaluate, "none.parquet"), "none.parquet: no such file")


def test_runs_that_cannot_be_compared(run: Path, call: Call) -> None:
    keys = {"data.valid": "0.3", "training.evaluations": "1"}
    write_run_file(keys, "longer.toml")
    assert call("train", "longer.toml", "--out", "longer").code == 0
    refused(call("compare", run, "longer"), "the runs see 100 and 120 rows", "--data")
    keys = {f"targets.{name}.kind": None for name in ("click", "play")}
    write_run_file({**keys, "targets.like.column": "'click'"}, "other.toml")
    assert call("train", "other.toml", "--out", "other").code == 0
    refused(call("compare", run, "other"), "target 'like' does not have the same labels")


def test_wrong_arguments_of_init(call: Call) -> None:
    refused(call("init", "log.parquet"), "run.toml: exists already; name another file with -o")
    init = ["init", "log.parquet", "-o", "new.toml"]
    refused(call(*init, "--targets", "clik"), "no column 'clik'. Did you mean 'click'?")
    refused(call("init", "none.parquet", "-o", "new.toml"), "none.parquet: no such file")
    refused(call("init", "log.parquet", "-o", "no/new.toml"), "the folder no does not exist")
    assert not Path("new.toml").exists()


# What is not the user's doing

LONG = ["train", "run.toml", "--out", "run", "-s", "training.batch_rows=50", "-s"]
LONG += ["training.epochs=3"]
"""Six steps an epoch, with an evaluation and a checkpoint after each epoch."""


@pytest.fixture
def weights(call: Call) -> Weights:
    """The weights of a training that nothing disturbed."""
    assert call(*LONG[:3], "undisturbed", *LONG[4:]).code == 0
    return checkpoint.load(Path("undisturbed/model.safetensors"))[0]


def assert_resumable(call: Call, weights: Weights) -> None:
    assert call(*LONG, "--resume").code == 0
    resumed, _ = checkpoint.load(Path("run/model.safetensors"))
    assert all(torch.equal(resumed[name], weights[name]) for name in weights)


def full_disk(patch: pytest.MonkeyPatch, module: Any, name: str, *, file: str, time: int) -> None:
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


WRITERS = [(checkpoint, "save_file"), (os, "replace")]


@pytest.mark.parametrize(
    ("module", "name", "file"),
    [*((*writer, "last.safetensors") for writer in WRITERS), (os, "replace", "log.jsonl")],
)
def test_disk_full_at_a_checkpoint(
    module: Any, name: str, file: str, call: Call, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        full_disk(patch, module, name, file=file, time=2)
        answer = call(*LONG)
    refused(answer, f"run/{file}: cannot be written: No space left on device", "--resume", code=1)
    saved = 6 if file == "last.safetensors" else 12
    assert checkpoint.load(Path("run/last.safetensors"))[1]["step"] == saved
    assert_resumable(call, weights)


@pytest.mark.parametrize(("module", "name"), WRITERS)
@pytest.mark.parametrize("file", ["best.safetensors", "last.safetensors"])
def test_disk_full_at_the_first_checkpoint(
    module: Any, name: str, file: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, module, name, file=file, time=1)
    refused(call(*LONG), f"run/{file}: cannot be written: No space left on device", code=1)
    assert not Path("run").exists()


def test_disk_full_at_a_prediction(run: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    answer = call("predict", run, "log.parquet", "p.parquet")
    refused(answer, "p.parquet: cannot be written: No space left on device.", code=1)
    assert not Path("p.parquet").exists()


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, do: Callable[[State], None]) -> None:
    """Have something happen to the state right before one update."""
    update = loop.update

    def disturbed(state: State, batch: Batch, settings: Any) -> dict[str, torch.Tensor]:
        if state.step == step:
            do(state)
        return update(state, batch, settings)

    monkeypatch.setattr(loop, "update", disturbed)


def spoil(state: State) -> None:
    state.model.features.tables.weight.data.fill_(float("nan"))


@pytest.mark.parametrize("step", [8, 2])
def test_loss_that_is_not_finite(step: int, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    at_step(monkeypatch, step, spoil)
    answer = call(*LONG)
    refused(answer, f"the loss is not finite at step {step + 1}", "click nan", "--resume", code=1)
    assert "smaller training.learning_rate" in answer.err
    if step < 6:
        assert not Path("run").exists()
        return
    tensors, facts = checkpoint.load(Path("run/last.safetensors"))
    assert facts["step"] == 6
    assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())
    monkeypatch.undo()


def test_weights_that_are_not_finite_are_not_saved(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of an update may be finite, and the weights after it not."""
    follow = State.follow

    def spoilt(state: State) -> None:
        follow(state)
        if state.step == 12:
            spoil(state)

    monkeypatch.setattr(State, "follow", spoilt)
    refused(call(*LONG), "features.tables.weight are not finite after step 12", code=1)
    assert checkpoint.load(Path("run/last.safetensors"))[1]["step"] == 6
    best, _ = checkpoint.load(Path("run/best.safetensors"))
    assert all(tensor.isfinite().all() for tensor in best.values())


def test_stopped_by_hand(call: Call, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(state: State) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        at_step(patch, 8, stop)
        answer = call(*LONG)
    refused(answer, "stopped; the same command with --resume goes on.", code=130)
    assert_resumable(call, weights)
    with monkeypatch.context() as patch:
        at_step(patch, 2, stop)
        answer = call(*LONG[:3], "stopped", *LONG[4:])
    refused(answer, "--resume goes on", code=130)
    assert not Path("stopped").exists()


def test_out_of_memory(call: Call) -> None:
    answer = call("train", "run.toml", "--out", "run", "-s", "embedding.width=100_000_000_000")
    refused(answer, "out of memory; try a smaller embedding.width", code=1)


# As a person sees it


def test_message_on_a_terminal_is_not_hidden_by_the_bar(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run_file({"features.age.column": "'agee'"})
    monkeypatch.setattr("trimtab.training.progress.sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    shown = call("train", "run.toml", "--out", "run").err
    hidden, visible = "\x1b[?25l", "\x1b[?25h"
    assert hidden in shown, "the bar moves"
    assert "no column 'agee'" in shown[shown.rindex(visible) :]


def test_in_a_process_of_its_own() -> None:
    for arguments, code in (
        (["trian"], 2),
        (["train", "run.toml", "--out", "run", "-s", "targets.like.given=clik"], 2),
        (["train", "run.toml", "--out", "log.parquet/run"], 1),
    ):
        command = [sys.executable, "-m", "trimtab", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert "Traceback" not in done.stderr
    assert_no_leftovers()
