"""What someone who uses the steering page does with it, in a real browser."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas import Formula
from trimtab.steering.formulas.base import parse
from trimtab.steering.weights import parse_weights


def test_begins_with_the_weights_of_now(opened: Any) -> None:
    assert opened.page.input_value("#number1") == "5"
    assert opened.page.get_attribute("[data-profile='']", "aria-pressed") == "true"
    assert "Move a slider" in opened.summary()
    assert opened.page.get_attribute("#slide2", "aria-valuetext") == "0.5 points a minute"


def test_begins_with_the_weights_asked_for_beside_those_of_now(
    asked: Any, opened: Any, rich: Formula
) -> None:
    assert asked.formula() == rich
    assert asked.page.get_attribute("[data-profile='']", "aria-pressed") == "false"
    before, after = asked.table()["click"]["utility"]
    assert before == opened.table()["click"]["utility"][0] != after
    asked.click("[data-profile='']")
    assert asked.table()["click"]["utility"] == (before, before)


def test_a_slider_changes_the_order_and_the_numbers(opened: Any) -> None:
    orders, table, summary = opened.orders(), opened.table(), opened.summary()
    opened.press(1, "PageUp", 2)
    assert float(opened.page.input_value("#number1")) > 10
    assert opened.orders() != orders
    moved = opened.table()
    assert moved["like"]["ndcg"][1] > table["like"]["ndcg"][1]
    assert moved["click"]["ndcg"][1] < table["click"]["ndcg"][1]
    assert moved["click"]["ndcg"][0] == table["click"]["ndcg"][0]
    assert opened.summary() != summary
    assert "You give up click" in opened.summary()
    assert opened.page.query_selector(".moved.up") is not None
    opened.click("[data-profile='']")
    assert opened.orders() == orders
    assert opened.table() == table


def test_lists_name_what_is_in_them(opened: Any, given: dict[str, Any]) -> None:
    first = opened.orders()[0][0]
    names = {row: item for one in given["lists"] for row, item in one["rows"]}
    assert opened.page.inner_text("#lists .item >> nth=0").startswith("item <")
    assert names[first] in opened.page.inner_text("#lists .list >> nth=0")


def test_a_scene_goes_its_own_way_and_back(opened: Any) -> None:
    own = opened.page.get_attribute(".term:has([aria-label='like in cover'])", "data-term")
    assert opened.page.input_value(f"#number{own}") == ""
    opened.fill(f"#number{own}", "-20")
    assert opened.formula().model_dump()["scenes"]["cover"]["like"]["weight"] == -20
    assert opened.page.is_checked(f"#against{own}")
    opened.fill(f"#number{own}", "")
    assert opened.formula().model_dump()["scenes"] == {}


def test_exports_what_the_command_line_takes(opened: Any, sampled: Candidates) -> None:
    opened.press(2, "ArrowRight", 9)
    opened.page.check("#against0")
    opened.fill("#number1", "12.5")
    opened.fill("#name", "growth")
    command = opened.page.text_content("#command")
    found = re.fullmatch(r"trimtab steer runs/demo --weights (\S+) --save growth", command)
    assert found is not None
    read = parse_weights(found[1], sampled.units, sampled.scenes)
    assert read.weights["click"].weight == -1
    assert read.weights["like"].weight == 12.5
    np.testing.assert_array_equal(read.score(sampled), opened.formula().score(sampled))
    with opened.page.expect_download() as download:
        opened.page.click("#download")
    assert download.value.suggested_filename == "growth.json"
    content = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert parse(content, "file") == opened.formula()


def test_caps_go_by_file(opened: Any) -> None:
    opened.click("[data-profile=rich]")
    assert opened.page.get_attribute("[data-profile=rich]", "aria-pressed") == "true"
    command = opened.page.text_content("#command")
    assert command == "trimtab steer runs/demo --formula chosen.json --save chosen"
    assert opened.page.is_visible("#capped")


def test_axes_can_be_chosen(opened: Any) -> None:
    opened.page.select_option("#up", "0")
    opened.page.select_option("#across", "2")
    text = opened.page.text_content("#chart")
    assert "play, AUC" in text
    assert "click, AUC" in text


def test_no_weights_are_no_order(opened: Any) -> None:
    for slider in range(3):
        opened.press(slider, "Home")
    assert opened.page.is_visible("#problem")
    assert opened.page.is_disabled("#copy")
    assert opened.page.text_content("#command") == ""
    assert opened.page.get_attribute("#slide0", "aria-valuetext") == "off"
    opened.press(1, "End")
    assert not opened.page.is_visible("#problem")
    assert opened.page.input_value("#number1") == "500"


def test_a_number_that_is_none_is_put_back(opened: Any) -> None:
    opened.fill("#number0", "")
    opened.page.focus("#number1")
    assert opened.page.input_value("#number0") == "1"


def test_a_bad_name_is_not_exported(opened: Any) -> None:
    opened.fill("#name", "no good; rm")
    assert "--save" not in opened.page.text_content("#command")


@pytest.mark.parametrize("width", [400, 1400])
def test_fits_the_window(opening: Callable[[int], Any], width: int) -> None:
    opened = opening(width)
    opened.press(1, "End")
    assert opened.page.evaluate("document.scrollingElement.scrollWidth") == width
    assert opened.page.is_visible("#pocket") == (width == 400)
