"""``trimtab seesaw`` as a person calls it."""

import json
from pathlib import Path
from typing import Any


def test_the_command(finished: Any) -> None:
    answer = finished.call("seesaw run")
    assert answer.code == 0, answer
    assert "1/3 click alone, seed 0" in answer.err
    table, *_ = answer.out.split("\n\n")
    assert table.split()[:5] == ["target", "single", "shared", "difference", "95"]
    assert "One training of each model" in answer.out
    assert "The same rows chose when each model was at its best" in answer.out
    assert "run/seesaw.html shows it" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    assert Path("run/seesaw.html").exists()
    again = finished.call("seesaw run --json")
    assert json.loads(again.out) == json.loads(Path("run/seesaw.json").read_text())
    assert "trained before" in again.err
    finished.assert_tidy()


def test_what_is_refused(finished: Any) -> None:
    finished.refused("seesaw nowhere", "nowhere: no run")
    assert finished.call("seesaw run --seeds 0").code == 2
    changes = "\ntargets.like.weight = 0\ntargets.play.weight = 0"
    finished.run_file(changes)
    assert finished.call("train run.toml --out one").code == 0
    finished.refused("seesaw one", "one: only 'click' is learnt; there is nothing to compare")
