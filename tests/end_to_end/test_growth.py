"""``trimtab train --from RUN`` on the next days' log, as a user meets it."""

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import trimtab
from trimtab.cli import main
from trimtab.data.simulate import SimulationSettings, simulate
from trimtab.errors import SeenWarning

RUN_FILE = """
data.log = '{log}.parquet'
data.time = 'time_ms'
data.user = 'user_id'
data.valid = '1d'
features.user_id.kind = 'id'
features.item_id.kind = 'id'
features.hour = {{ kind = 'id', hash_rows = 100 }}
targets.stop.kind = 'binary'
targets.like = {{ kind = 'binary', given = 'stop' }}
training.epochs = 2
training.batch_rows = 256
training.evaluations = 2
training.threads = 1
report.importance_rows = 500
"""

KILL_AT_RENAME = """
import os, signal, sys
from trimtab.cli import main
rename, left = os.replace, [int(sys.argv.pop(1))]
def replace(source, place):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, place)
os.replace = replace
main()
"""


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two logs, their run files, and a run on the first."""
    place = tmp_path_factory.mktemp("feed")
    rows = simulate(SimulationSettings(rows=6_000, users=150, items=60, days=8)).log
    rows = rows.with_columns(like=pl.col("like").fill_null(0))
    edge = rows["time_ms"].min() + 5 * 86_400_000  # type: ignore[operator]
    early = rows.filter((pl.col("time_ms") < edge) & (pl.col("item_id") % 4 != 0))
    early.write_parquet(place / "early.parquet")
    rows.filter(pl.col("time_ms") >= edge).write_parquet(place / "late.parquet")
    for log in ("early", "late"):
        (place / f"{log}.toml").write_text(RUN_FILE.format(log=log))
    trimtab.train(place / "early.toml", out=place / "early")
    return place


def call(*words: str | Path) -> str:
    """Run the command line in this process; return the one message of exit 2, else nothing."""
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(StringIO()) as errors:
        patch.setattr(sys, "argv", ["trimtab", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
    if not stopped.value.code:
        return ""
    assert stopped.value.code == 2, errors.getvalue()
    return errors.getvalue()


def command(feed: Path, out: Path, *more: str | Path) -> str:
    """Run ``trimtab train`` on the later log."""
    return call("train", feed / "late.toml", "--out", out, *more)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_next_days(feed: Path, tmp_path: Path) -> None:
    before = contents(feed / "early")
    assert command(feed, tmp_path / "late", "--from", feed / "early") == ""
    assert contents(feed / "early") == before
    told = json.loads((tmp_path / "late" / "start.json").read_text())
    assert told["run"] == str(feed / "early")
    assert told["new_ids"]["item_id"] > 5
    assert told["new_ids"]["hour"] == 0
    report = (tmp_path / "late" / "report.html").read_text()
    assert "went on from" in report
    assert f"item_id {told['new_ids']['item_id']:,}" in report
    assert "of them share a row" in report
    values = [
        pl.read_parquet(run / "vocabularies" / "1.parquet")["value"].to_list()
        for run in (feed / "early", tmp_path / "late")
    ]
    assert values[1][: len(values[0])] == values[0]
    late = trimtab.Run.load(tmp_path / "late")
    metrics = late.evaluate()["targets"]
    assert metrics == json.loads((late.folder / "metrics.json").read_text())["targets"]
    assert metrics["stop"]["auc"] > 0.6
    rows = pl.read_parquet(feed / "late.parquet")
    assert late.predict(rows)["stop"].is_between(0, 1).all()
    assert len(late.steer(stop=1, like=5).rank(rows)) == len(rows)


def test_rows_that_were_trained_on_before_are_told(feed: Path, tmp_path: Path) -> None:
    again = "early: was trained on about (\\d+) % of the training rows; they count once more"
    with pytest.warns(SeenWarning, match=again) as told:
        assert (
            call("train", feed / "early.toml", "--out", tmp_path / "two", "--from", feed / "early")
            == ""
        )
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        late = trimtab.train(feed / "late.toml", out=tmp_path / "late", start=feed / "early")
    rows = pl.read_parquet(feed / "early.parquet")
    edge = rows["time_ms"].max() - 86_400_000  # type: ignore[operator]
    trained = (rows["time_ms"] <= edge).mean()
    for run in (late, trimtab.Run.load(tmp_path / "late")):
        with pytest.warns(SeenWarning, match="late: was trained on about .* 2,.* rows") as told:
            run.evaluate(rows)
        found = re.findall("about (\\d+) %", str(told[0].message))
        assert float(found[0]) == pytest.approx(100 * trained, abs=2)


def test_it_goes_on_in_python_and_from_run_to_run(feed: Path, tmp_path: Path) -> None:
    one = trimtab.train(feed / "late.toml", out=tmp_path / "one", start=feed / "early")
    two = trimtab.train(feed / "late.toml", out=tmp_path / "two", start=one)
    told = json.loads((two.folder / "start.json").read_text())
    assert told["run"] == str(tmp_path / "one")
    assert set(told["new_ids"].values()) == {0}


@pytest.mark.parametrize(("rename", "renewed"), [(2, "false"), (7, "true")])
def test_a_killed_one_goes_on_bit_for_bit(
    feed: Path, tmp_path: Path, rename: int, renewed: str
) -> None:
    change = ["-s", f"training.renew_tables={renewed}"]
    source: list[str] = ["--from", str(feed / "early")]
    assert command(feed, tmp_path / "whole", *change, *source) == ""
    arguments = ["train", str(feed / "late.toml"), "--out", str(tmp_path / "killed")]
    killed = subprocess.run(
        [sys.executable, "-c", KILL_AT_RENAME, str(rename), *arguments, *change, *source],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    if (tmp_path / "killed" / "last.safetensors").exists():
        source = []  # The folder itself holds what it went on from.
    assert command(feed, tmp_path / "killed", *change, *source, "--resume") == ""
    models = [load_file(tmp_path / out / "model.safetensors") for out in ("whole", "killed")]
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    left = [sorted(os.listdir(tmp_path / out)) for out in ("whole", "killed")]
    assert left[0] == left[1]


def test_the_same_run_goes_on_with_its_start_named_and_no_other(feed: Path, tmp_path: Path) -> None:
    out, source = tmp_path / "late", ["--from", feed / "early"]
    assert command(feed, out, *source) == ""
    assert command(feed, out, *source, "--resume") == ""
    assert command(feed, tmp_path / "other") == ""
    refused(command(feed, out, "--from", tmp_path / "other", "--resume"), "did not start from")
    refused(command(feed, tmp_path / "other", *source, "--resume"), "did not start from")
    for words in (["seesaw", out], ["steer", out, "--verify", "2"]):
        refused(call(*words), "went on from")


def refused(errors: str, says: str) -> None:
    """Check that a command ended with one message for people."""
    assert errors.count("trimtab: ") == 1
    assert says in errors
    assert "Traceback" not in errors


def test_a_run_that_is_none_not_finished_or_damaged(feed: Path, tmp_path: Path) -> None:
    out = tmp_path / "late"
    refused(command(feed, out, "--from", tmp_path / "nothing"), "no run")
    for file, says in (
        ("model.safetensors", "let it finish first"),
        ("last.safetensors", "keep its files"),
        ("vocabularies/1.parquet", "damaged"),
        ("statistics.json", "damaged"),
    ):
        broken = tmp_path / f"without-{Path(file).name}"
        copy(feed / "early", broken)
        (broken / file).unlink()
        refused(command(feed, out, "--from", broken), says)
    for file in ("model.safetensors", "last.safetensors", "statistics.json", "settings.json"):
        broken = tmp_path / f"cut-{file}"
        copy(feed / "early", broken)
        content = (broken / file).read_bytes()
        (broken / file).write_bytes(content[: len(content) // 2])
        refused(command(feed, out, "--from", broken), str(broken))
    assert not out.exists()


def copy(source: Path, place: Path) -> None:
    for name, content in contents(source).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)


def test_a_run_file_of_other_parts(feed: Path, tmp_path: Path) -> None:
    out, source = tmp_path / "late", ["--from", feed / "early"]
    errors = command(feed, out, *source, "-s", "embedding.width=8", "-s", "tower.widths=[8]")
    refused(errors, "embedding.width was 16 and is 8")
    assert "tower.widths was [32] and is [8]" in errors
    assert not out.exists()
    refused(command(feed, feed / "early", *source), "not empty")
    refused(command(feed, feed / "early", *source, "--resume"), "other settings")
