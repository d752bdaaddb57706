"""What a run file names and what a column holds, written alike."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.data.spelling import spell, spelled
from trimtab.errors import DataError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (Decimal("1.50"), "1.5"),
        (Decimal("100.00"), "100"),
        (Decimal(100), "100"),
        (True, "true"),
        ("True", "True"),
        ("1.0", "1.0"),
        (2**70, str(2**70)),
        (date(2022, 5, 1), "2022-05-01"),
    ],
)
def test_values_of_every_type(value: Any, text: str) -> None:
    assert spell(value) == text
    assert spelled(pl.Series([value, None]), "here").to_list() == [text, None]


def test_nan_and_nothing_are_missing() -> None:
    assert spelled(pl.Series([float("nan"), None, 1.0]), "here").to_list() == [None, None, "1"]
    assert spelled(pl.Series([None]), "here").to_list() == [None]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Asia/Shanghai"])
def test_times_are_written_alike_in_every_unit(unit: Any, zone: str | None) -> None:
    time = pl.Series("t", [datetime(2022, 5, 1, 10, 0, 0, 250_000), None])
    placed = time.dt.replace_time_zone(zone)
    found = spelled(placed.cast(pl.Datetime(unit, zone)), "here").to_list()
    assert found == ["2022-05-01 10:00:00.250000" + ("+08:00" if zone else ""), None]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False) | st.integers(-9, 9).map(float), min_size=1))
def test_a_value_is_spelled_alike_alone_and_among_others(values: list[float]) -> None:
    assert spelled(pl.Series(values), "here").to_list() == [spell(value) for value in values]


@settings(max_examples=50, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False))
def test_only_equal_numbers_are_spelled_alike(one: float, other: float) -> None:
    assert (spell(one) == spell(other)) == (one == other)
    assert float(spell(one)) == one


@pytest.mark.parametrize("value", [[1], b"\xff", timedelta(1)])
def test_what_has_no_spelling_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match="^here: expected text or numbers in 'x', found "):
        spelled(pl.Series("x", [value]), "here")
