"""Pictures of calibration: one scale for both axes, bins before and after, intervals of rates."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from trimtab.evaluation import reliability
from trimtab.evaluation.reliability import Bin


def texts(chart: str) -> list[str]:
    return list(ET.fromstring(chart).itertext())


def shapes(chart: str, tag: str, style: str) -> list[dict[str, str]]:
    nodes = ET.fromstring(chart).iter(tag)
    return [node.attrib for node in nodes if node.get("class") == style]


def test_reliability_has_one_scale_for_both_axes() -> None:
    """A perfect bin lies on the diagonal."""
    chart = reliability.plot(
        [Bin(0.1, 0.1, 500, 0.08, 0.12), Bin(0.4, 0.3, 500, 0.2, 0.4), Bin(0.5, None)], title="c"
    )
    (diagonal,) = shapes(chart, "line", "ideal")
    start, end = float(diagonal["x1"]), float(diagonal["x2"])
    bottom, top = float(diagonal["y1"]), float(diagonal["y2"])
    first, second = shapes(chart, "circle", "dot")
    share = (float(first["cx"]) - start) / (end - start)
    assert share == pytest.approx((float(first["cy"]) - bottom) / (top - bottom), abs=0.005)
    assert float(second["cy"]) == pytest.approx(bottom + (top - bottom) * 0.75, abs=0.1)
    assert len(shapes(chart, "line", "whisker")) == 2
    assert "predicted 0.1, observed 0.1, 500 rows" in texts(chart)


def test_bins_before_are_a_thin_line_on_the_same_scale() -> None:
    bins, before = [Bin(0.1, 0.1, 500), Bin(0.4, 0.4, 500)], [Bin(0.2, 0.1), Bin(0.8, 0.4)]
    chart = reliability.plot(bins, before, title="c")
    (diagonal,) = shapes(chart, "line", "ideal")
    (line,) = shapes(chart, "path", "before")
    ends = [[float(number) for number in end.split()] for end in line["d"][1:].split("L")]
    start, end = float(diagonal["x1"]), float(diagonal["x2"])
    share = [(x - start) / (end - start) for x, _ in ends]
    assert share[1] == pytest.approx(4 * share[0], rel=0.01)
    assert ends[1][0] <= end, "the axes reach what was predicted before"
    assert ends[0][1] == pytest.approx(float(shapes(chart, "circle", "dot")[0]["cy"]), abs=0.1)
    assert shapes(reliability.plot(bins, title="c"), "path", "before") == []
    unknown = [Bin(None, 0.1), Bin(math.nan, 0.2)]
    assert shapes(reliability.plot(bins, unknown, title="c"), "path", "before") == []


def curve(*predicted: float, **more: Any) -> dict[str, Any]:
    return {"predicted": [*predicted], "observed": [0.1, 0.3], "rows": [100.0, 100.0], **more}


def test_a_curve_that_did_not_change_is_drawn_once() -> None:
    curves = {
        "same": curve(0.1, 0.3, before=curve(0.1, 0.3)),
        "other": curve(0.1, 0.3, before=curve(0.2, 0.5)),
        "alone": curve(0.1, 0.3),
    }
    drawn = {plot["name"]: plot for plot in reliability.plots(curves, {}, {})}
    assert {name: plot["changed"] for name, plot in drawn.items()} == {
        "same": False,
        "other": True,
        "alone": False,
    }
    lines = {name: len(shapes(plot["chart"], "path", "before")) for name, plot in drawn.items()}
    assert lines == {"same": 0, "other": 1, "alone": 0}


def test_rates_have_wilson_intervals_and_quantities_none() -> None:
    curves = {"click": curve(0.1, 0.3), "play": curve(0.1, 0.3)}
    targets = {"click": {"logloss": 0.4}, "play": {"mae": 1.0}}
    click, play = (plot["chart"] for plot in reliability.plots(curves, targets, {"click": 0}))
    assert (len(shapes(click, "line", "whisker")), shapes(play, "line", "whisker")) == (2, [])
