"""Which rows are held out, by each way to say it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trimtab.data.settings import DataSettings
from trimtab.data.split import instants, split
from trimtab.errors import DataError

Save = Callable[[str, Any], str]

START = datetime(2022, 5, 1, tzinfo=UTC)
SECOND = int(START.timestamp())


def halves(frame: pl.DataFrame, **data: Any) -> tuple[list[int], list[int]]:
    """Return the training rows and the valid rows, by their number."""
    numbered = frame.with_row_index("row")
    train, valid = split(numbered, DataSettings(**data))
    return train["row"].to_list(), valid["row"].to_list()


def hours(*after_start: float) -> pl.DataFrame:
    return pl.DataFrame({"time": [START + timedelta(hours=hour) for hour in after_start]})


# By time


def test_the_last_stretch_of_time_is_held_out_whatever_the_order_of_the_log() -> None:
    frame = hours(70, 0, 30, 72, 25, 24.5, 10)
    assert halves(frame, time="time", valid="2d") == ([1, 6], [0, 2, 3, 4, 5])


def test_the_edge_of_a_stretch_belongs_to_training() -> None:
    """The stretch is as long as it says: (latest - 2d, latest]."""
    frame = hours(0, 24, 24, 24.0001, 72)
    assert halves(frame, time="time", valid="2d") == ([0, 1, 2], [3, 4])


@pytest.mark.parametrize(("span", "seconds"), [("2d", 172800), ("1.5h", 5400), ("3 m", 180)])
def test_stretches_in_several_units(span: str, seconds: int) -> None:
    frame = pl.DataFrame({"time": [SECOND, SECOND + 1, SECOND + seconds]})
    assert halves(frame, time="time", valid=span) == ([0], [1, 2])


def test_an_instant_with_a_zone_and_the_rows_at_it() -> None:
    frame = hours(15, 16, 17)
    rows = ([0], [1, 2])
    assert halves(frame, time="time", valid="2022-05-02T00:00:00+08:00") == rows
    assert halves(frame, time="time", valid="2022-05-01T16:00:00Z") == rows


def test_an_instant_without_a_zone_is_in_the_zone_of_the_run_file() -> None:
    frame = hours(15, 16, 17)
    for instant in ("2022-05-02", date(2022, 5, 2), datetime(2022, 5, 2)):
        settings = {"time": "time", "valid": instant, "time_zone": "Asia/Shanghai"}
        assert halves(frame, **settings) == ([0], [1, 2])


def test_a_share_is_the_last_rows_by_time() -> None:
    frame = hours(*np.random.default_rng(0).permutation(20).tolist())
    train, valid = halves(frame, time="time", valid=0.25)
    assert len(valid) == 5
    assert frame[train]["time"].max() < frame[valid]["time"].min()  # type: ignore[operator]
    assert train == sorted(train)
    assert valid == sorted(valid)


def test_ties_at_the_edge_of_a_share_go_by_the_order_of_the_log() -> None:
    assert halves(hours(1, 1, 0, 1, 1), time="time", valid=0.4) == ([0, 1, 2], [3, 4])


@settings(max_examples=50, deadline=None)
@given(times=st.lists(st.integers(0, 20), min_size=4, max_size=30), share=st.floats(0.2, 0.8))
def test_no_training_row_is_later_than_a_valid_one(times: list[int], share: float) -> None:
    frame = pl.DataFrame({"time": times})
    train, valid = halves(frame, time="time", valid=share)
    assert sorted(train + valid) == list(range(len(times)))
    assert len(valid) == round(len(times) * share)
    assert max(times[row] for row in train) <= min(times[row] for row in valid)


# At random


def test_a_share_without_a_time_is_drawn_by_the_seed() -> None:
    frame = pl.DataFrame({"a": range(100)})
    one = halves(frame, valid={"fraction": 0.3, "seed": 1})
    assert one == halves(frame, valid={"fraction": 0.3, "seed": 1})
    assert one != halves(frame, valid={"fraction": 0.3, "seed": 2})
    assert len(one[1]) == 30
    assert one[1] != list(range(70, 100))
    assert sorted(one[0] + one[1]) == list(range(100))


def test_a_share_is_random_in_spite_of_a_time_only_when_asked() -> None:
    frame = hours(*range(50))
    assert halves(frame, time="time", valid=0.2)[1] == list(range(40, 50))
    drawn = halves(frame, time="time", valid={"fraction": 0.2, "random": True})[1]
    assert len(drawn) == 10
    assert drawn != list(range(40, 50))


# By file and by column


def test_another_file_is_held_out_and_changed_as_the_log_was(save: Save) -> None:
    path = save("valid.csv", {"a": [7, 8]})
    train, valid = split(
        pl.DataFrame({"a": [1, 2]}),
        DataSettings(valid={"file": path}),
        extend=lambda frame: frame.with_columns(b=pl.col("a") * 10),
    )
    assert train.to_dict(as_series=False) == {"a": [1, 2]}
    assert valid.to_dict(as_series=False) == {"a": [7, 8], "b": [70, 80]}


@pytest.mark.parametrize(
    ("column", "named", "held_out"),
    [
        (["a", "b", None, "ä"], ["b", "ä"], [1, 3]),
        ([1, 2, None, 2], [2], [1, 3]),
        ([1, 2, None, 2], [2.0], [1, 3]),
        ([1, 2, None, 2], ["2"], [1, 3]),
        ([1.0, 2.0, None, float("nan")], [1], [0]),
        ([0.5, 1.5, 0.0, 1.0], [0, 1.5], [1, 2]),
        ([True, False, None, True], [True], [0, 3]),
        (["true", "false", None, "true"], [True], [0, 3]),
        ([date(2022, 5, 1), date(2022, 5, 2), None, None], ["2022-05-02"], [1]),
    ],
)
def test_rows_with_values_of_a_column_are_held_out(
    column: list[Any], named: list[Any], held_out: list[int]
) -> None:
    frame = pl.DataFrame({"part": column})
    train, valid = halves(frame, valid={"column": "part", "values": named})
    assert valid == held_out
    assert sorted(train + valid) == [0, 1, 2, 3]


def test_a_column_that_is_missing_or_holds_lists_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.valid\.column: .*'prt'.*'part'"):
        halves(pl.DataFrame({"part": [1]}), valid={"column": "prt", "values": [1]})
    with pytest.raises(DataError, match=r"data\.valid\.column: .*List"):
        halves(pl.DataFrame({"part": [[1]]}), valid={"column": "part", "values": [1]})


# What a time may be


@pytest.mark.parametrize(
    "column",
    [
        [SECOND, SECOND + 3600],
        [SECOND * 10**3, (SECOND + 3600) * 10**3],
        [SECOND * 10**6, (SECOND + 3600) * 10**6],
        [SECOND * 10**9, (SECOND + 3600) * 10**9],
        [float(SECOND), float(SECOND + 3600)],
        [SECOND * 1e3, (SECOND + 3600) * 1e3],
        [START, START + timedelta(hours=1)],
        [START.astimezone(timezone(timedelta(hours=8))), START + timedelta(hours=1)],
        [START.replace(tzinfo=None), START.replace(tzinfo=None) + timedelta(hours=1)],
        ["2022-05-01T00:00:00Z", "2022-05-01T01:00:00Z"],
        ["2022-05-01T08:00:00+08:00", "2022-05-01T09:00:00+08:00"],
        ["2022-05-01 00:00:00", "2022-05-01 01:00:00.000"],
        ["2022-05-01T00:00", "2022-05-01T01:00"],
        ["2022-05-01", "2022-05-01T01:00:00"],
        ["2022-05-01 00:00Z", "2022-04-30T20:30:00.000-0430"],
        ["2022-05-01T02:00+02", "2022-05-01 01:00:00.000000000+00"],
    ],
)
def test_times_of_every_form_are_the_same_instants(column: list[Any]) -> None:
    found = instants(pl.Series("t", column), "data.time")
    assert found.to_list() == [SECOND * 10**6, (SECOND + 3600) * 10**6]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_of_every_resolution(unit: Any) -> None:
    column = pl.Series("t", [START.replace(tzinfo=None)], dtype=pl.Datetime(unit))
    assert instants(column, "data.time")[0] == SECOND * 10**6


def test_counts_keep_every_microsecond() -> None:
    micro = SECOND * 10**6 + 123_457
    column = pl.Series("t", [micro * 1000, micro * 1000 + 1000])
    assert instants(column, "data.time").to_list() == [micro, micro + 1]


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt8, pl.Int32, pl.UInt64, pl.Decimal(20, 2)])
def test_counts_of_every_type(dtype: Any) -> None:
    assert instants(pl.Series("t", [1, 100], dtype=dtype), "t").to_list() == [10**6, 10**8]


def test_the_smallest_count_of_a_type_is_a_time() -> None:
    assert instants(pl.Series("t", [-128, 5], dtype=pl.Int8), "t")[0] == -128 * 10**6


def test_dates_begin_at_midnight_of_the_zone() -> None:
    column = pl.Series("t", [date(2022, 5, 1)])
    assert instants(column, "t")[0] == SECOND * 10**6
    assert instants(column, "t", "Asia/Shanghai")[0] == (SECOND - 8 * 3600) * 10**6


def test_a_zone_that_is_named_wins_over_the_run_file() -> None:
    assert instants(pl.Series("t", [START]), "t", "Asia/Shanghai")[0] == SECOND * 10**6


def test_a_clock_that_goes_back_takes_the_first_of_two_times() -> None:
    found = instants(pl.Series("t", [datetime(2022, 11, 6, 1, 30)]), "t", "America/New_York")
    assert found[0] == int(datetime(2022, 11, 6, 5, 30, tzinfo=UTC).timestamp()) * 10**6


def test_a_time_that_a_clock_skipped_is_refused_and_not_lost() -> None:
    frame = pl.DataFrame({"time": [datetime(2022, 3, 13, hour, 30) for hour in (1, 2, 3, 4)]})
    with pytest.raises(DataError, match=r"2022-03-13 02:30:00 do not exist in America/New_York"):
        halves(frame, time="time", valid="1h", time_zone="America/New_York")


def test_a_zone_that_is_not_known_is_refused() -> None:
    frame = pl.DataFrame({"time": [datetime(2022, 5, 1)]})
    with pytest.raises(DataError, match=r"data\.time_zone: no zone 'Mars/Olympus'"):
        halves(frame, time="time", valid="1h", time_zone="Mars/Olympus")


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ([START, None, None], "2 rows have no time in 'time'"),
        ([1.0, float("nan")], "1 rows have no time in 'time'"),
        ([None, None], "2 rows have no time"),
        ([1.0, float("inf")], "holds inf"),
        ([True, False], "is Boolean; expected a time"),
        ([[1], [2]], "is List"),
        (["2022-05-01", "soon"], "text such as 'soon'"),
        (["yesterday", "soon"], "text such as 'yesterday'"),
        (["2022-05-01T00:00:00Z", "2022-05-01T00:00:00"], "text such as '2022-05-01T00:00:00'"),
        (["01/01/2024", "01/12/2024"], "text such as '01/01/2024'; expected ISO 8601"),
        (["2024-01-01", "01-02-2024"], "text such as '01-02-2024'; expected ISO 8601"),
        (["2024/01/01", "2024/01/02"], "text such as '2024/01/01'; expected ISO 8601"),
        (["2024-01-01", "2024-02-31"], "text such as '2024-02-31'; expected ISO 8601"),
    ],
)
def test_what_is_no_time_is_refused(column: list[Any], says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        halves(pl.DataFrame({"time": column}), time="time", valid="1h")
    assert str(caught.value).startswith("data.time: ")


# What cannot be split


def test_a_split_by_time_needs_a_time() -> None:
    for valid in ("2d", "2022-05-01"):
        with pytest.raises(DataError, match=r"needs data\.time"):
            halves(hours(1, 2), valid=valid)
    with pytest.raises(DataError, match=r"data\.time: .*'tme'.*'time'"):
        halves(hours(1, 2), time="tme", valid="2d")


@pytest.mark.parametrize(
    ("valid", "side"),
    [
        ("9d", "training"),
        ("2021-01-01", "training"),
        ("2023-01-01", "valid"),
        (0.001, "valid"),
        (0.999, "training"),
        ({"column": "time", "values": ["never"]}, "valid"),
    ],
)
def test_an_empty_side_is_refused(valid: Any, side: str) -> None:
    with pytest.raises(DataError, match=f"leaves no {side} rows of 4"):
        halves(hours(0, 1, 2, 3), time="time", valid=valid)


@pytest.mark.parametrize(
    ("valid", "words"),
    [("60d", "60 days"), ("1d", "1 day"), ("36h", "36 hours"), ("90m", "90 minutes")]
    + [("4.5s", "4.5 seconds"), ("999999d", "999,999 days")],
)
def test_a_stretch_that_is_too_long_is_told_in_words(valid: str, words: str) -> None:
    with pytest.raises(DataError, match=f"last = {words} leaves no"):
        halves(hours(0, 0, 0), time="time", valid=valid)


@pytest.mark.parametrize(
    ("valid", "says"),
    [
        (1, "fraction: expected a number below 1; found 1"),
        (0.0, "fraction: expected a number above 0"),
        ({"fraction": 2}, "fraction: expected a number below 1"),
        ({"column": "a"}, "values: missing"),
        ({"fraction": 0.1, "sed": 1}, "sed: unknown key"),
        ("soon", "expected a stretch of time"),
        (True, "expected a stretch of time"),
        ([0.1], "expected a stretch of time"),
        ({"colum": "a"}, "expected a stretch of time"),
    ],
)
def test_a_wrong_setting_is_one_problem(valid: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        DataSettings(valid=valid)
    assert caught.value.error_count() == 1


@pytest.mark.parametrize(
    "valid",
    [
        "2d",
        0.2,
        "2022-05-01T00:00:00+08:00",
        date(2022, 5, 1),
        {"file": "valid.csv"},
        {"column": "a", "values": [1, True, "x", 0.5]},
        {"fraction": 0.2, "seed": 3, "random": True},
    ],
)
def test_settings_come_back_from_json_as_they_were(valid: Any) -> None:
    data = DataSettings(valid=valid)
    assert DataSettings.model_validate_json(data.model_dump_json()) == data
    assert DataSettings(valid=data.valid) == data
