"""Charts: ticks cover the data, points land on their scale, names cannot break out."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.evaluation import charts, reliability
from trimtab.evaluation.charts import Axis, Interval, Line
from trimtab.evaluation.reliability import Bin

NAN = float("nan")
NASTY = '<b>&"x"'


def texts(chart: str) -> list[str]:
    """Return every text of a chart; raises when it is not well-formed."""
    return list(ET.fromstring(chart).itertext())


def shapes(chart: str, tag: str, style: str) -> list[dict[str, str]]:
    """Return the attributes of the elements of one tag and class."""
    nodes = ET.fromstring(chart).iter(tag)
    return [node.attrib for node in nodes if node.get("class") == style]


def line_chart(*lines: Line, mark: float | None = None) -> str:
    """Draw series with fixed titles."""
    return charts.line_chart(lines, title="Loss", x_label="epoch", y_label="loss", mark=mark)


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12), st.integers(2, 8))
def test_ticks_cover_the_data_and_are_even(one: float, other: float, count: int) -> None:
    """No value lies outside the ticks, by more than rounding."""
    low, high = sorted((one, other))
    ticks = charts.nice_ticks(low, high, count)
    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-5 * step
    assert ticks[-1] >= high - 1e-5 * step
    assert 2 <= len(ticks) <= 2 * count + 2
    gaps = [after - before for before, after in zip(ticks, ticks[1:], strict=False)]
    assert gaps == pytest.approx([step] * len(gaps), rel=1e-3)


def test_ticks_are_round_numbers() -> None:
    """Steps are 1, 2 or 5 times a power of ten."""
    assert charts.nice_ticks(0.013, 0.094) == [0.0, 0.05, 0.1]
    assert charts.nice_ticks(0.671, 0.733) == [0.66, 0.68, 0.7, 0.72, 0.74]
    assert charts.nice_ticks(-3, 7) == [-5.0, 0.0, 5.0, 10.0]


@pytest.mark.parametrize("value", [0.0, 0.73, -4.0, 1e9, 1e-9])
def test_one_value_still_has_a_scale(value: float) -> None:
    """A constant does not divide by zero."""
    axis = Axis.over([value], start=0, end=100)
    assert axis.ticks[0] < value < axis.ticks[-1]
    assert 0 < axis(value) < 100


def test_an_axis_is_linear_and_stays_inside() -> None:
    """Ends land on the ends, and what is beyond stays on the frame."""
    axis = Axis((0.0, 0.5, 1.0), 40, 240)
    assert [axis(value) for value in (0, 0.25, 1, 2, -1)] == [40, 90, 240, 240, 40]


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ((0.0, 0.05, 0.1), ["0.00", "0.05", "0.10"]),
        ((-5.0, 0.0, 5.0), ["\u22125", "0", "5"]),
        ((0.0, 5000.0, 10000.0), ["0", "5,000", "10,000"]),
        ((0.0, 2e-9, 4e-9), ["0", "2e\u221209", "4e\u221209"]),
    ],
)
def test_ticks_are_written_with_the_decimals_they_need(
    ticks: tuple[float, ...], labels: list[str]
) -> None:
    """All labels of an axis have the same decimals, and a true minus."""
    assert Axis(ticks, 0, 1).labels() == labels


def test_a_line_chart_names_its_series_and_leaves_gaps_out() -> None:
    """Undefined numbers draw nothing, and every name is there in full."""
    chart = line_chart(
        Line("click", [1, 2, 3, 4], [0.7, None, NAN, 0.5]),
        Line("a_name_that_is_quite_long", [1, 2, 3, 4], [math.inf, 0.4, 0.3, 0.2], slot=9),
    )
    assert chart.count("<circle") == 5
    assert {"click", "a_name_that_is_quite_long", "a_name_that_is_\u2026"} <= set(texts(chart))
    assert "nan" not in chart
    assert "inf" not in chart
    assert 'class="s1 again"' in chart


def test_the_best_step_is_marked_on_every_series() -> None:
    """A rule with a word, and a ring a series."""
    chart = line_chart(Line("a", [1, 2], [3, 4]), Line("b", [1, 2], [5, 6], slot=1), mark=2)
    assert chart.count('class="best"') == 2
    assert "best" in texts(chart)


def test_many_points_are_a_line_without_dots() -> None:
    """Two hundred dots would hide the line; the best one stays."""
    xs = list(range(200))
    assert line_chart(Line("a", xs, [math.sin(x) for x in xs]), mark=50).count("<circle") == 1


def test_names_at_the_end_do_not_overlap() -> None:
    """Series that end at the same height get labels one below the other."""
    chart = line_chart(*(Line(f"t{i}", [0, 1], [0, 1 + i / 1000], slot=i) for i in range(12)))
    heights = sorted(float(node["y"]) for node in shapes(chart, "text", "name"))
    assert len(heights) == 12
    assert min(b - a for a, b in zip(heights, heights[1:], strict=False)) > 12.5


def test_nothing_measured_says_so() -> None:
    """Empty charts are a sentence, not an error."""
    empty = [
        line_chart(),
        line_chart(Line("a", [1, 2], [None, NAN])),
        reliability.plot([], title="Calibration"),
        reliability.plot([Bin(None, 0.2, 10)], title="Calibration"),
        charts.interval_plot([], title="AUC", x_label="AUC", domain=(0, 1)),
        charts.interval_plot([Interval("all", None)], title="AUC", x_label="AUC"),
    ]
    assert all("Nothing was measured" in texts(chart) for chart in empty)


def test_an_interval_beyond_the_frame_has_an_arrow() -> None:
    """What is cut is said to be cut."""
    rows = [Interval("all", 0.7, 0.69, 0.71), Interval("few", 0.72, 0.3, 0.99, faint=True)]
    chart = charts.interval_plot(rows, title="AUC", x_label="AUC", domain=(0.6, 0.8))
    assert chart.count('class="tip"') == 2
    assert chart.count('<g class="faint">') == 1
    assert "few: 0.72 (0.3 to 0.99)" in texts(chart)


def test_an_undefined_interval_is_a_word() -> None:
    """A row without a value keeps its place."""
    rows = [Interval("all", 0.7, 0.69, 0.71), Interval("none", None, faint=True)]
    assert "undefined" in texts(charts.interval_plot(rows, title="AUC", x_label="AUC"))


def test_every_chart_has_a_title_and_escapes_names() -> None:
    """Screen readers get a name, and a target's name cannot be markup."""
    drawn = [
        charts.line_chart(
            [Line(NASTY, [1, 2], [1, 2]), Line("b", [1, 2], [1, 2])],
            title=NASTY, x_label=NASTY, y_label=NASTY,
        ),
        reliability.plot([Bin(0.1, 0.1)], title=NASTY, unit=NASTY),
        charts.interval_plot([Interval(NASTY, 0.5)], title=NASTY, x_label=NASTY),
    ]  # fmt: skip
    for chart in drawn:
        assert "<b>" not in chart
        root = ET.fromstring(chart)
        assert root[0].tag == "title"
        assert root[0].text == NASTY
        assert root.get("role") == "img"


def test_attributes_and_children_are_escaped() -> None:
    """Plain strings are text; drawn elements stay elements."""
    inner = charts.element("title", "a < b")
    assert charts.element("g", inner, "<", data_name='"', x=1.0) == (
        '<g data-name="&#34;" x="1"><title>a &lt; b</title>&lt;</g>'
    )
