"""The page of a seesaw: what it shows, and that any name and any number can stand in it."""

import re
from pathlib import Path
from typing import Any

import pytest

from trimtab.evaluation.seesaw_page import differences_chart, render, write


def target(difference: float | None = 0.01, side: int = 0, **other: Any) -> dict[str, Any]:
    interval = [None, None] if difference is None else [difference - 0.005, difference + 0.005]
    return {
        "metric": "auc", "rows": 1000, "positives": 100, "single": 0.7, "shared": 0.71,
        "difference": difference, "interval": interval, "seeds_differences": [difference],
        "seeds_deviation": None, "p": 0.01, "p_holm": 0.02, "direction": side, "p_delong": 0.0001,
    } | other  # fmt: skip


def found(**changes: Any) -> dict[str, Any]:
    names = ("click", "like")
    pairs = {a: {b: -0.25 if a != b else 1.0 for b in names} for a in names}
    return {
        "title": "feed", "seeds": 1, "level": 0.95, "rows": 1000, "verdict": "seesaw",
        "targets": {"click": target(0.02, 1), "like": target(-0.03, -1)}, "scenes": {},
        "why": {
            "labels": pairs, "affinity": pairs, "experts": {}, "peaks": {},
            "gradients": {"tables": {"cosine": pairs, "error": pairs, "norm": {}}},
            "abundance": {"user": {"shared": 2.5}},
        },
        "advice": [{"target": "like", "because": "it is rare", "setting": "own_width = 8"}],
    } | changes  # fmt: skip


def test_what_the_page_says() -> None:
    page = render(found())
    assert "feed: seesaw" in page
    assert "Better: click. Worse: like." in page
    assert "\u22120.0300" in page
    assert "It is rare." in page
    assert "own_width = 8" in page
    assert "One training of each model" in page
    assert "&lt; .001" in page
    assert "By scene" not in page


def test_several_seeds_and_scenes() -> None:
    two = target(0.01, 1, seeds_differences=[0.0, 0.02], seeds_deviation=0.014)
    scene = {"rows": 10, "verdict": "gain", "targets": {"click": two}}
    page = render(found(seeds=2, targets={"click": two}, scenes={"cover": scene}, advice=[]))
    assert "One training" not in page
    assert "Means over 2 seeds" in page
    assert "cover: gain" in page
    assert "No target is worse for sharing" in page
    assert page.count('class="seed"') == 4


def test_rows_that_chose_nothing() -> None:
    assert "The same rows chose" in render(found())
    page = render(found(data="later.parquet"))
    assert "The same rows chose" not in page
    assert "rows of later.parquet" in page
    assert "--data later.parquet" in page


def test_experts_and_gates() -> None:
    gates = {
        "click": {"weights": {"a": 0.25, "b": 0.75}, "entropy": 0.8},
        "like": {"weights": {"b": 1.0}, "entropy": None},
    }
    experts = {"experts": {"experts": {"a": 0.0, "b": 0.9}}, "gates": {"gates": gates}}
    page = render(found(why=found()["why"] | {"experts": experts}))
    assert "mean weight of each expert" in page
    assert "0.75" in page


def test_nothing_is_fetched() -> None:
    page = render(found())
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert "default-src 'none'" in page


def test_names_are_escaped() -> None:
    name = "<b>&x"
    page = render(found(title=name, targets={name: target()}, why={}))
    assert "<b>" not in page.split("</style>")[1].replace('<b class="side">', "")
    assert "&lt;b&gt;&amp;x" in page


def test_undefined_numbers() -> None:
    blank = target(None, single=None, shared=None, p_holm=None, p=None)
    page = render(found(targets={"click": blank, "like": target()}, verdict="none"))
    assert "undefined on these rows" in page
    assert "None" not in page
    assert "nan" not in page.replace("dominant", "")


def test_all_is_undefined() -> None:
    blank = target(None, single=None, shared=None, p_holm=None, p=None)
    assert "undefined" in render(found(targets={"click": blank}, why={}))


def test_a_dot_lies_where_its_difference_is() -> None:
    chart = differences_chart({"a": target(0.02, 1), "b": target(-0.02, -1)}, "all rows")
    zero = float(re.findall(r'x1="([\d.]+)"[^>]*class="zero"', chart)[0])
    first, second = (float(x) for x in re.findall(r'<circle cx="([\d.]+)"', chart))
    assert second < zero < first
    assert first - zero == pytest.approx(zero - second, abs=0.2)
    assert chart.count('class="zero"') == 1


def test_the_page_is_written_at_once(tmp_path: Path) -> None:
    write(found(), tmp_path / "seesaw.html")
    assert [path.name for path in tmp_path.iterdir()] == ["seesaw.html"]
