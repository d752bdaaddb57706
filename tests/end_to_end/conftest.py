"""The command line, called in this process."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from trimtab.cli import main


class Answer(NamedTuple):
    """What a command left: its exit code, and what it wrote to stdout and stderr."""

    code: object
    out: str
    err: str


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Return a function that runs ``trimtab`` with some arguments."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["trimtab", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        return Answer(stopped.value.code or 0, *capsys.readouterr())

    return run
