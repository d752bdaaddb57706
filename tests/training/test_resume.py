"""A run that is killed again and again ends bit-equal to one that never was.

``TRIMTAB_KILLS=50 pytest tests/training/test_resume.py`` kills it fifty times; CI a few.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trimtab.data.simulate import SimulationSettings, simulate

KILLS = int(os.environ.get("TRIMTAB_KILLS", "3"))

RUN_FILE = """
[data]
log = "log.parquet"
time = "time_ms"
user = "user_id"
valid = "2d"
[features]
user_id = "id"
item_id = "id"
hour = "id"
[scenes]
stages = ["discover", "playback"]
[targets]
stop = { kind = "binary", scene = "discover" }
click = { kind = "binary", scene = "discover", given = "stop" }
play = { kind = "duration", scene = "playback", given = "click" }
[trunk]
kind = "shared_bottom"
dropout = 0.1
[training]
epochs = 3
batch_rows = 256
evaluations = 8
patience = 100
average = 0.9
threads = 1
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    feed = simulate(SimulationSettings(rows=20_000, users=200, items=100, days=10))
    feed.log.write_parquet(tmp_path / "log.parquet")
    (tmp_path / "run.toml").write_text(RUN_FILE)
    return tmp_path


def command(folder: Path, out: str) -> list[str]:
    return ["train", str(folder / "run.toml"), "--out", str(folder / out), "--resume"]


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(folder: Path, out: str) -> dict[str, torch.Tensor]:
    process = start(["-m", "trimtab", *command(folder, out)])
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return load_file(folder / out / "model.safetensors")


def assert_bit_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert not different


def test_killed_at_random_moments(folder: Path) -> None:
    wanted = finish(folder, "whole")
    whole = (folder / "whole" / "log.jsonl").read_text().count("\n")
    chance = random.Random(0)
    for _ in range(KILLS):
        process = start(["-m", "trimtab", *command(folder, "killed")])
        while not (folder / "killed" / "settings.json").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert_bit_equal(finish(folder, "killed"), wanted)
    assert (folder / "killed" / "log.jsonl").read_text().count("\n") == whole
    assert not list((folder / "killed").glob(".*")), "an interrupted checkpoint is swept away"


@pytest.mark.parametrize("rename", [1, 4, 5])
def test_killed_while_a_checkpoint_is_written(folder: Path, rename: int) -> None:
    wanted = finish(folder, "whole")
    process = start(["-c", KILL_AT_RENAME, str(rename), *command(folder, "killed")])
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert_bit_equal(finish(folder, "killed"), wanted)


def test_what_a_balancer_learns_goes_on_too(folder: Path) -> None:
    with (folder / "run.toml").open("a") as file:
        file.write('[balancing]\nkind = "famo"\n')
    wanted = finish(folder, "whole")
    process = start(["-c", KILL_AT_RENAME, "9", *command(folder, "killed")])
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert_bit_equal(finish(folder, "killed"), wanted)
    last = [load_file(folder / out / "last.safetensors") for out in ("killed", "whole")]
    assert_bit_equal(*last)
    assert last[0]["balancer.xi"].any()


def test_tables_that_start_anew_do_so_after_a_kill_too(folder: Path) -> None:
    text = (folder / "run.toml").read_text()
    (folder / "run.toml").write_text(text.replace("[training]", "[training]\nrenew_tables = true"))
    wanted = finish(folder, "whole")
    process = start(["-c", KILL_AT_RENAME, "9", *command(folder, "killed")])
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert_bit_equal(finish(folder, "killed"), wanted)
