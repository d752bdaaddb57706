import os
import re
import sys

import pytest

import trimtab
from trimtab.cli import _spelled, main
from trimtab.errors import SlowerWarning, UnseenWarning


def test_only_our_own_warnings_are_spelled_as_errors_are() -> None:
    assert _spelled("no compiler", SlowerWarning, "auto.py", 7) == "trimtab: no compiler\n"
    assert _spelled("all new", UnseenWarning, "a.py", 7) == "trimtab: all new\n"
    assert _spelled("old", FutureWarning, "a.py", 7, "x = 1") == (
        "a.py:7: FutureWarning: old\n  x = 1\n"
    )


def test_the_version_and_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, says in (
        ("--version", f"^trimtab {re.escape(trimtab.__version__)}\n$"),
        ("--help", "Train one ranker for every behaviour, and choose"),
    ):
        monkeypatch.setattr(sys, "argv", ["trimtab", option])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert (stopped.value.code or 0) == 0
        assert re.search(says, capsys.readouterr().out)


@pytest.mark.parametrize(("said", "found"), [(None, "3000"), ("7", "7")])
def test_threads_wait_as_long_as_the_user_says(
    said: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", said or "")  # So that it is put back afterwards.
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if said is None:
        monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setattr(sys, "argv", ["trimtab", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert os.environ["GOMP_SPINCOUNT"] == found
