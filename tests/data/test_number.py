"""Numbers: scaled or cut into buckets, what is missing flagged."""

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trimtab.data.number import NumberSettings, as_numbers
from trimtab.data.vocabulary import MISSING
from trimtab.errors import DataError

NAN = float("nan")
SCALES = ["standard", "log", "none", "quantile", "piecewise"]
TRAIN = [1.0, None, 4.0, NAN, -2.5, 100.0]


def numbers(train: Any, new: Any = None, **how: Any) -> dict[str, list[float]]:
    """Return the encoded numbers by name."""
    learnt = NumberSettings(**how).learn(pl.Series("x", train), None)
    encoded = learnt.encode(pl.Series("x", train if new is None else new)).numbers
    assert all(values.dtype == np.float32 for values in encoded.values())
    assert all(np.isfinite(values).all() for values in encoded.values())
    return {name: values.tolist() for name, values in encoded.items()}


def buckets(train: Any, new: Any = None, **how: Any) -> list[int]:
    """Return the buckets of quantiles."""
    learnt = NumberSettings(scale="quantile", **how).learn(pl.Series("x", train), None)
    column = learnt.encode(pl.Series("x", train if new is None else new)).ids["x"]
    assert column.dtype == np.int32
    assert 0 <= column.min() <= column.max() < learnt.rows
    listed: list[int] = column.tolist()
    return listed


def expected(train: list[float], new: list[float], transform: Any) -> NDArray[np.float64]:
    seen = np.array([transform(x) for x in train])
    return (np.array([transform(x) for x in new]) - seen.mean()) / seen.std()


def test_standard_has_mean_0_and_deviation_1() -> None:
    found = numbers([1, 2, 3, 6], [1, 2, 3, 6, -50])
    np.testing.assert_allclose(
        found["x"], expected([1, 2, 3, 6], [1, 2, 3, 6, -50], float), rtol=1e-6
    )
    assert list(found) == ["x"]


def test_log_is_signed() -> None:
    def log(x: float) -> float:
        return float(np.sign(x) * np.log1p(abs(x)))

    train = [0.0, -3.0, 10.0, 1e9]
    np.testing.assert_allclose(
        numbers(train, scale="log")["x"], expected(train, train, log), rtol=1e-5, atol=1e-6
    )


def test_none_leaves_values_as_they_are() -> None:
    assert numbers([2.5, -7.0, 0.0], scale="none") == {"x": [2.5, -7.0, 0.0]}


def test_null_and_nan_are_both_missing_and_flagged() -> None:
    present = [1.0, 4.0, -2.5, 100.0]
    for scale in ("standard", "log", "none"):
        found = numbers(TRAIN, scale=scale)
        assert found["x is missing"] == [0, 1, 0, 1, 0, 0]
        assert found["x"][1] == found["x"][3] == 0
        alone = numbers(present, scale=scale)["x"]
        assert [found["x"][i] for i in (0, 2, 4, 5)] == alone


def test_missing_at_prediction_only_is_the_mean_and_not_flagged() -> None:
    for scale in ("standard", "log"):
        assert numbers([1, 2, 3], [2, None], scale=scale) == {
            "x": [numbers([1, 2, 3], [2], scale=scale)["x"][0], 0]
        }
    assert buckets([1, 2, 3], [None, NAN]) == [MISSING, MISSING]


def test_the_names_of_the_columns_do_not_depend_on_the_new_rows() -> None:
    assert list(numbers(TRAIN, [1.0, 2.0])) == ["x", "x is missing"]
    assert list(numbers([1.0], [None])) == ["x"]


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, 1e6 / 3, 1e15 / 3, -1e30, 1e-20])
@pytest.mark.parametrize("scale", ["standard", "log"])
def test_a_constant_column_is_zero_and_other_values_do_not_explode(
    value: float, scale: str
) -> None:
    found = numbers([value] * 100_003, [value, value + 1.0], scale=scale)
    assert abs(found["x"][0]) < 1e-6 * max(1, abs(value))
    assert abs(found["x"][1]) < 2 + 1e-6 * abs(value)


def test_a_small_scale_is_a_scale_all_the_same() -> None:
    assert numbers([1e-15, 3e-15])["x"] == pytest.approx([-1, 1])


@pytest.mark.parametrize("scale", ["standard", "log", "none", "piecewise"])
@pytest.mark.parametrize("train", [[None, None], [NAN, NAN], pl.Series(["", ""]).replace("", None)])
def test_a_column_that_misses_everything(train: Any, scale: str) -> None:
    assert numbers(train, scale=scale) == {"x": [0, 0], "x is missing": [1, 1]}
    found = numbers(train, [3.0, None], scale=scale)
    assert found["x is missing"] == [0, 1]


def test_quantiles_of_a_column_that_misses_everything() -> None:
    assert buckets([None, None], [None, 3.0]) == [MISSING, 1]


def test_quantiles_are_equally_filled_and_keep_the_order() -> None:
    train = np.random.default_rng(0).permutation(1000).astype(float)
    found = np.array(buckets(train.tolist(), buckets=10))
    assert np.bincount(found).tolist() == [0, *[100] * 10]
    assert (np.diff(found[np.argsort(train)]) >= 0).all()
    assert buckets(train.tolist(), [-1e9, 1e9], buckets=10) == [1, 10]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 32])
def test_quantiles_of_distinct_values_are_as_many_as_asked(count: int) -> None:
    found = np.bincount(buckets(list(range(1, 32 * 30 + 1)), buckets=count))[1:]
    assert len(found) == count
    assert found.max() - found.min() <= 1


def test_quantiles_of_a_common_value_are_fewer_and_part_the_others() -> None:
    train = [0] * 90 + list(range(1, 11))
    learnt = NumberSettings(scale="quantile", buckets=4).learn(pl.Series("x", train), None)
    assert learnt.rows == 4
    assert learnt.describe() == "3 buckets"
    assert buckets(train, [-1, 0, 5, 6, 10, None], buckets=4) == [1, 1, 2, 3, 3, MISSING]


def test_quantiles_of_a_constant() -> None:
    assert buckets([7, 7, 7], [6, 7, 8, None]) == [1, 1, 2, MISSING]


def test_pieces_count_the_buckets_below_and_the_share_of_their_own() -> None:
    train = [0.0, 10.0, 20.0, 40.0, 80.0]
    learnt = NumberSettings(scale="piecewise", buckets=4).learn(pl.Series("x", train), None)
    assert learnt.state()["edges"] == [0.0, 10.0, 20.0, 40.0, 80.0]
    assert learnt.pieces == 4
    assert learnt.describe() == "4 linear pieces from 0 to 80"
    found = numbers(train, [0.0, 5.0, 10.0, 25.0, 80.0, 1e9, -1e9], scale="piecewise", buckets=4)
    assert found == {"x": [0, 0.5, 1, 2.25, 4, 4, 0]}


def test_pieces_of_a_common_value_part_the_others() -> None:
    train = [0] * 90 + list(range(1, 11))
    learnt = NumberSettings(scale="piecewise", buckets=8).learn(pl.Series("x", train), None)
    assert learnt.state()["edges"][:2] == [0, 2.5]
    assert learnt.pieces == 4


def test_a_missing_value_is_the_mean_of_the_pieces() -> None:
    train = [0.0, 10.0, 20.0, 40.0, 80.0]
    found = numbers([*train, None], [None, 0.0], scale="piecewise", buckets=4)
    assert found == {"x": [2, 0], "x is missing": [1, 0]}


def test_a_constant_is_not_cut() -> None:
    learnt = NumberSettings(scale="piecewise").learn(pl.Series("x", [7, 7]), None)
    assert learnt.pieces == 0
    assert numbers([7, 7], [6, 7, 8], scale="piecewise") == {"x": [0, 0, 0]}


def test_a_table_is_only_for_quantiles() -> None:
    assert NumberSettings(scale="quantile").table("x") == "x"
    assert NumberSettings().table("x") is None


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("x", [1, 2, None], dtype=pl.Int8),
        pl.Series("x", [1, 2, None], dtype=pl.UInt64),
        pl.Series("x", [1, 2, None], dtype=pl.Int128),
        pl.Series("x", [1, 2, None], dtype=pl.Float32),
        pl.Series("x", [Decimal("1.0"), Decimal("2.0"), None]),
    ],
)
def test_numbers_of_every_type(column: pl.Series) -> None:
    assert numbers(column, scale="none") == {"x": [1, 2, 0], "x is missing": [0, 0, 1]}


def test_booleans_dates_and_durations_are_numbers() -> None:
    assert numbers([True, False], scale="none") == {"x": [1, 0]}
    day = date(2022, 5, 1)
    first, second = numbers([day, day + timedelta(1)], scale="none")["x"]
    assert second - first == pytest.approx(86_400e6, rel=1e-2)
    assert numbers([timedelta(0), timedelta(1)])["x"] == pytest.approx([-1, 1])


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_are_the_same_numbers_in_every_unit_and_zone(unit: Any) -> None:
    days = pl.Series("x", [date(2022, 5, 1), date(1969, 12, 31), None])
    expected = [1_651_363_200e6, -86_400e6, 0]
    times = days.cast(pl.Datetime(unit))
    here = times.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Shanghai")
    for column in (days, times, here):
        assert as_numbers(column)[0].tolist() == expected
    waits = pl.Series("x", [timedelta(seconds=90), None], dtype=pl.Duration(unit))
    assert as_numbers(waits)[0].tolist() == [90e6, 0]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e39])
def test_infinite_values_are_refused_with_their_row(scale: str, value: float) -> None:
    for train, new in (([1.0, value], [1.0, 1.0]), ([1.0, 2.0], [1.0, value])):
        learn = NumberSettings(scale=scale)  # type: ignore[arg-type]
        with pytest.raises(DataError, match=r"features\.x: row 1 is .*; expected finite"):
            learn.learn(pl.Series("x", train), None).encode(pl.Series("x", new))


@pytest.mark.parametrize("scale", SCALES)
def test_text_is_refused_and_an_id_suggested(scale: str) -> None:
    how = NumberSettings(scale=scale)  # type: ignore[arg-type]
    with pytest.raises(
        DataError, match=r"features\.x: .*numbers, found String such as 'red'.*'id'"
    ):
        how.learn(pl.Series("x", [None, "red"]), None)
    learnt = how.learn(pl.Series("x", [1.0]), None)
    with pytest.raises(DataError, match="found String such as 'red'"):
        learnt.encode(pl.Series("x", ["red"]))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            ["1.5", "-", " 2", None, "3"],
            "where 1 of 4 values are no numbers, such as '-'. Leave them empty.",
        ),
        (["1,5", None], "such as '1,5'. Should it be kind 'id'?"),
    ],
)
def test_text_that_could_be_numbers_is_refused_with_what_is_wrong(
    values: list[Any], says: str
) -> None:
    with pytest.raises(DataError, match=re.escape(says)):
        NumberSettings().learn(pl.Series("x", values), None)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
@pytest.mark.parametrize("scale", SCALES)
def test_text_that_is_a_number_is_that_number(scale: Any, dtype: Any) -> None:
    how, values = NumberSettings(scale=scale, buckets=3), [12.5, None, -3.0, 1e5, 0.25]
    texts = pl.Series("x", ["12.5", " ", " -3 ", "1e5", ".25"]).cast(dtype)
    learnt = how.learn(texts, None)
    assert learnt.state() == how.learn(pl.Series("x", values), None).state()
    for kind in ("ids", "numbers"):
        one, other = (getattr(learnt.encode(c), kind) for c in (texts, pl.Series("x", values)))
        assert {n: v.tolist() for n, v in one.items()} == {n: v.tolist() for n, v in other.items()}
    with pytest.raises(DataError, match="row 1 is inf; expected finite"):
        how.check(pl.Series("x", ["1", "inf"]))


def test_lists_are_refused_and_ids_suggested() -> None:
    with pytest.raises(DataError, match=r"found List\(Int64\) such as \[1, 2\].*'ids'"):
        NumberSettings().learn(pl.Series("x", [[1, 2]]), None)


def test_a_number_too_far_away_for_float32_stays_finite() -> None:
    learnt = NumberSettings(scale="standard").learn(pl.Series("x", [0.0, 9e-52]), None)
    (far,) = learnt.encode(pl.Series("x", [-1.0])).numbers["x"]
    assert far == -np.finfo(np.float32).max


columns = st.lists(
    st.none() | st.just(NAN) | st.integers(-50, 50) | st.floats(-1e6, 1e6), min_size=1, max_size=20
)


@settings(max_examples=50, deadline=None)
@given(columns, columns, st.sampled_from(SCALES), st.integers(2, 6))
def test_what_was_learnt_comes_back_from_its_state(
    train: list[Any], new: list[Any], scale: Any, count: int
) -> None:
    how = NumberSettings(scale=scale, buckets=count)
    learnt = how.learn(pl.Series("x", train, dtype=pl.Float64), None)
    again = how.restore(learnt.state(), None)
    column = pl.Series("x", new, dtype=pl.Float64)
    one, other = learnt.encode(column), again.encode(column)
    for kind in ("ids", "numbers"):
        found, same = getattr(one, kind), getattr(other, kind)
        assert {name: values.tolist() for name, values in found.items()} == {
            name: values.tolist() for name, values in same.items()
        }
    assert all((values < learnt.rows).all() for values in one.ids.values())
    assert again.describe() == learnt.describe()
