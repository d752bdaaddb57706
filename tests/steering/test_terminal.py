import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from trimtab.steering.candidates import Candidates
from trimtab.steering.effect import effect
from trimtab.steering.formulas.base import parse
from trimtab.steering.question import solve
from trimtab.steering.search import front
from trimtab.steering.terminal import show, show_regret, words

Many = Callable[[int], Candidates]
NOW = parse({"kind": "additive", "weights": {"click": 1}}, "now")
THEN = parse({"kind": "additive", "weights": {"click": 1, "like": 5}}, "then")


def shown(found: dict[str, Any], *, colour: bool = False) -> str:
    file = io.StringIO()
    system: Any = "standard" if colour else None
    console = Console(
        file=file, width=80, highlight=False, force_terminal=colour, color_system=system
    )
    show({"saved": None, "against_profile": "default"} | found, console)
    text = file.getvalue()
    assert colour or all(len(line) <= 80 for line in text.splitlines()), text
    return text


def test_an_effect_fits_80_columns(many: Many) -> None:
    text = shown(effect(many(600), THEN, NOW))
    assert "click=1,like=5\nagainst default: click=1\n600 rows of 60 lists" in text
    for word in ("auc", "gauc", "ndcg@10", "utility", "in user", "xauc", "fused gain", "change"):
        assert word in text
    assert "scene stream: 300 rows" in text
    assert "Nothing is saved; --save NAME" in text


def test_what_is_beyond_chance_is_coloured(many: Many) -> None:
    text = shown(effect(many(2000), THEN, NOW), colour=True)
    like = next(line for line in text.splitlines() if "mlike " in line)
    click = next(line for line in text.splitlines() if "mclick " in line)
    assert "\x1b[32m" in like
    assert "\x1b[31m" in click


def test_a_profile_by_itself(many: Many) -> None:
    text = shown(effect(many(300), NOW) | {"saved": "growth"})
    assert "change" not in text
    assert "Saved: growth is the current profile now." in text


def test_a_front(many: Many) -> None:
    rows = many(300)
    text = shown(front(rows, ["click", "like", "play"], trials=100).as_dict())
    assert "Front of click, like, play by utility, of 100 weightings tried" in text
    assert text.count("knee") == 2
    assert "play/min=" in text
    assert shown(front(rows, ["click"], trials=1).as_dict()).count("click=1") == 1


@pytest.mark.parametrize(("bound", "met"), [("now", True), (0.99, False)])
def test_an_answer(bound: Any, met: bool, many: Many) -> None:
    rows = many(300)
    found = solve(rows, NOW, maximise="play", keep={"like": bound}, trials=60)
    text = shown({"answer": found.as_dict()} | effect(rows, found.formula, NOW))
    assert "Most play by utility, keeping like at" in text
    assert ("No weighting was found" in text) is not met


def test_formulas_in_a_line() -> None:
    def line(**formula: Any) -> str:
        return words(parse(formula, "profile").model_dump())

    play = {"weight": 2, "per": "min", "cap": 3}
    assert line(kind="expression", text="click^2") == "click^2"
    assert line(kind="rank", weights={"click": 1}) == "the formula rank"
    both = line(kind="additive", weights={"click": 1, "play": play}, scenes={"a": {"like": 0}})
    assert both == "click=1,play/min=2 (at most 3),a.like=0"


def test_regret_fits_80_columns() -> None:
    shares = dict.fromkeys(("click", "long_view", "like", "play"), 0.25)
    one = {"steered": 0.75, "retrained": 0.7488, "regret": -0.0012, "interval": [-0.0032, 0.0011]}
    lost = {"steered": 0.75, "retrained": 0.752, "regret": 0.002, "interval": [0.001, 0.003]}
    means = {"mean_regret": -0.0012, "max_regret": -0.0012}
    found: dict[str, Any] = {
        "weightings": [{"shares": shares, **one}],
        **means,
        "seeds": 1,
        "steered_seconds": 3.0,
        "retrained_seconds": 5.0,
    }
    text = regret_shown(found)
    assert "-0.0012  -0.0032 to +0.0011" in text
    assert "Mean regret -0.0012" in text
    assert "retraining took 5 s" in text
    assert "another seed" in text
    assert "loss weights" not in text
    (weighting,) = found["weightings"]
    found["weightings"] = [weighting | {"reweighted": {**lost, "seconds": 4.0}}]
    text = regret_shown(found | {"reweighted": {"mean_regret": 0.002, "max_regret": 0.002}})
    assert "as loss weights:" in text
    assert "+0.0020  +0.0010 to +0.0030" in text
    assert "retraining took 9 s" in text


def regret_shown(found: dict[str, Any]) -> str:
    file = io.StringIO()
    show_regret(found, Console(file=file, width=80, highlight=False))
    return file.getvalue()
