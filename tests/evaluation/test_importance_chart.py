"""What the report shows of what carries each target."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from trimtab.evaluation import report
from trimtab.evaluation.importance_chart import SHOWN, Bar, bars, view

NASTY = '<b>&"x"'


def loss(fall: float | None, half: float = 0.01, scenes: bool = True) -> dict[str, Any]:
    known = fall is not None
    around = [fall - half, fall + half] if fall is not None else [None, None]
    return {
        "fall": fall,
        "interval": around,
        "spread": [fall, fall],
        "scenes": {"feed": fall, "shop": 0.0 if known else None} if scenes else {},
    }


def group(name: str, *features: str, nothing: bool = False, **targets: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "table" if features else "feature",
        "features": list(features or (name,)),
        "carries_nothing": nothing,
        "targets": targets,
    }


def found(*groups: dict[str, Any], scenes: bool = True) -> dict[str, Any]:
    inside = {"feed": 0.75, "shop": None} if scenes else {}
    target = {"metric": "auc", "value": 0.7654, "scenes": inside}
    return {
        "rows": 20_000,
        "repeats": 3,
        "alone": True,
        "targets": {"click": target},
        "groups": list(groups),
    }


def shapes(chart: str, tag: str, style: str) -> list[dict[str, str]]:
    return [node.attrib for node in ET.fromstring(chart).iter(tag) if node.get("class") == style]


def test_bars_begin_at_nothing_and_are_as_long_as_the_loss() -> None:
    rows = [Bar("a", 0.2, 0.1, 0.3), Bar("b", 0.1), Bar("all (3)", -0.1, several=True)]
    chart = bars(rows, title="Loss", x_label="AUC lost")
    one, other = shapes(chart, "rect", "bar")
    [pale] = shapes(chart, "rect", "bar several")
    [zero] = shapes(chart, "line", "axis")
    assert float(one["x"]) == float(other["x"]) == float(zero["x1"])
    assert float(one["width"]) == pytest.approx(2 * float(other["width"]), abs=0.2)
    assert float(pale["x"]) + float(pale["width"]) == pytest.approx(float(zero["x1"]), abs=0.2)
    [whisker] = shapes(chart, "line", "whisker")
    middle = (float(whisker["x1"]) + float(whisker["x2"])) / 2
    assert middle == pytest.approx(float(one["x"]) + float(one["width"]), abs=0.2)
    assert "a: 0.2 (0.1 to 0.3)" in list(ET.fromstring(chart).itertext())


@pytest.mark.parametrize("falls", [[0.0], [0.0, 0.0], [1e-9, 0.0], [-0.3, -0.1], [0.004, -0.002]])
def test_any_losses_have_a_scale(falls: list[float]) -> None:
    chart = bars([Bar(f"f{i}", fall) for i, fall in enumerate(falls)], title="", x_label="lost")
    boxes = shapes(chart, "rect", "bar")
    assert len(boxes) == len(falls)
    assert all(0 <= float(box["x"]) <= 420 and float(box["width"]) > 0 for box in boxes)
    ticks = [node.text for node in ET.fromstring(chart).iter("text") if node.get("class") == "tick"]
    assert 2 <= len(ticks) <= 6
    assert any(float(tick.replace("\u2212", "-")) == 0 for tick in ticks if tick)


def test_without_a_loss_the_picture_says_so() -> None:
    assert "Nothing was measured" in bars([], title="Loss", x_label="AUC lost")


def test_a_long_name_is_cut_and_whole_where_one_points() -> None:
    name = "a_feature_with_a_rather_long_name"
    texts = list(ET.fromstring(bars([Bar(name, 0.1)], title="", x_label="")).itertext())
    assert name in texts
    assert f"{name[:23]}\u2026" in texts


def test_the_groups_that_a_target_loses_most_by_come_first() -> None:
    groups = [group(f"f{i}", click=loss(0.01 * i)) for i in range(20)]
    shown = view(found(*groups, group("unknown", click=loss(None))), {"click": 0})
    [panel] = shown["panels"]
    assert [row["name"] for row in panel["rows"]] == [f"f{i}" for i in range(19, 19 - SHOWN, -1)]
    assert str(panel["chart"]).count("<rect") == SHOWN


def test_of_a_group_that_carries_nothing_only_the_group_is_named() -> None:
    groups = [
        group("a", nothing=True),
        group("b", nothing=True),
        group("c"),
        group("side.csv", "a", "c", nothing=True),
    ]
    assert view(found(*groups), {})["nothing"] == ["b", "side.csv (2)"]


def test_the_report_has_the_pictures_and_the_scenes() -> None:
    of = found(
        group("x", click=loss(0.1)),
        group(NASTY, click=loss(0.05), nothing=True),
        group("side.csv", "x", NASTY, click=loss(0.123456)),
    )
    text = report.render({"title": "demo", "importance": of})
    section = text[text.index('<section id="importance">') : text.index('<section id="findings">')]
    assert '<a href="#importance">' in text
    assert section.count("<svg") == 1
    assert section.count("<details>") == section.count("<table>") == 1
    words = " ".join(re.sub(r"<[^>]+>", " ", section).split())
    for said in (
        "20,000 held-out rows",
        "AUC 0.765 with nothing shuffled",
        "side.csv (2) 0.1235 0.1135 to 0.1335",
        "All rows feed shop",
    ):
        assert said in words
    assert "within each scene" not in words
    assert NASTY not in text
    assert "one of these is shuffled, over all rows or in a scene: &lt;b&gt;" in section


def test_a_report_with_undefined_numbers_is_a_page() -> None:
    of = found(group("x", click=loss(None)))
    of["targets"]["click"]["value"] = None
    text = report.render({"importance": of})
    section = text[text.index('<section id="importance">') : text.index('<section id="findings">')]
    assert "Nothing was measured" in section
    assert re.search(r"\b(nan|None|Undefined)\b", section) is None


@pytest.mark.parametrize("of", [{}, None])
def test_a_report_without_it_has_no_such_section(of: Any) -> None:
    text = report.render({"title": "demo", "importance": of})
    assert "#importance" not in text
    assert view({}, {}) == {}


def test_without_scenes_the_table_has_one_column() -> None:
    text = report.render(
        {"importance": found(group("x", click=loss(0.1, scenes=False)), scenes=False)}
    )
    section = text[text.index('<section id="importance">') : text.index('<section id="findings">')]
    assert section.count('scope="col"') == 2
    assert "by scene" not in section
