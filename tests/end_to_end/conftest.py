"""A desk to work at: a folder with a log and a run file that are fine, and the command line."""

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

import trimtab
from trimtab.cli import main
from trimtab.training import checkpoint

ROWS = 400
RUN = """
data.log = 'log.parquet'
data.user = 'user'
data.valid = 0.25
features.user.kind = 'id'
features.age.kind = 'number'
targets.click.kind = 'binary'
targets.like.kind = 'binary'
targets.play.kind = 'duration'
training.epochs = 1
training.evaluations = 1
training.threads = 1
"""
ALIEN = re.compile(
    r"Input should|ield required|should be a valid|function-|\[type=|Errno|\?\.|\.\.$"
)
"""How a message reads that was not written for people."""


class Answer(NamedTuple):
    """What a command left: its exit code, and what it wrote to stdout and stderr."""

    code: object
    out: str
    err: str


class Desk:
    """The current folder, and ``trimtab`` called in this process."""

    def __init__(
        self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str] | None = None
    ) -> None:
        self.patch = patch
        self.capture = capture
        self.log = _log()
        self.write("log.parquet", self.log)
        self.run_file()

    def write(self, name: str, content: pl.DataFrame | str | bytes) -> None:
        """Write a table, a text or anything."""
        if isinstance(content, pl.DataFrame):
            content.write_parquet(name)
        else:
            Path(name).write_bytes(content.encode() if isinstance(content, str) else content)

    def run_file(self, changes: str = "", name: str = "run.toml") -> None:
        """Write the run file with some keys changed, added, or (without a value) left out."""
        lines = [line.split(" = ", 1) for line in (RUN + changes).splitlines() if line.strip()]
        keys: Mapping[str, str] = {line[0].strip(): line[-1] for line in lines if len(line) == 2}
        left_out = {line[0].strip() for line in lines if len(line) == 1}
        kept = [f"{key} = {value}" for key, value in keys.items() if key not in left_out]
        self.write(name, "\n".join(kept))

    def call(self, command: str) -> Answer:
        """Run ``trimtab`` with the words of a command."""
        assert self.capture is not None
        self.patch.setattr(sys, "argv", ["trimtab", *command.split()])
        self.capture.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        return Answer(stopped.value.code or 0, *self.capture.readouterr())

    def refused(self, command: str, says: str, code: int = 2) -> None:
        """Check that a command ends with one message, and leaves no mess.

        ``says`` are pieces that stand in the message in this order, with `` ... `` between them.
        """
        answer = self.call(command)
        *before, message = answer.err.split("trimtab: ", 1)
        assert (answer.code, answer.out, len(before)) == (code, "", 1), answer
        pieces = [re.escape(piece) for piece in says.split(" ... ")]
        assert re.search(".*".join(pieces), message, flags=re.DOTALL), message
        assert "Traceback" not in answer.err
        assert not ALIEN.search(message), message
        assert all(len(line) < 300 for line in message.splitlines()), message
        self.assert_tidy()

    def assert_tidy(self) -> None:
        """Check that neither a run, nor its cache, nor a prediction is half-written."""
        assert [str(path) for path in Path().rglob(".*")] == []
        if Path("run/settings.json").exists():
            checkpoint.load(Path("run/last.safetensors"))


def _log() -> pl.DataFrame:
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


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    """Return a desk in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return Desk(monkeypatch, capsys)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a desk with a finished run."""
    place = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("TRIMTAB_CACHE", str(place / "cache"))
        Desk(patch)
        trimtab.train("run.toml", out="run")
    return place


@pytest.fixture
def finished(trained: Path, desk: Desk) -> Desk:
    """Return a desk with a finished run, trained on the log of the session's desk."""
    shutil.copytree(trained / "run", "run")
    desk.run_file(f"data.log = '{trained / 'log.parquet'}'")
    return desk
