"""Labels and weights: 0, 1, amounts, and NaN for what is not known."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab.data.labels import LabelColumn, read_labels, read_weights
from trimtab.errors import DataError

NAN = float("nan")


def label(column: str = "y", rule: str = "zero_one", **more: Any) -> LabelColumn:
    return LabelColumn(column=column, where=f"targets.{column}", rule=rule, **more)


def read(values: Any, **more: Any) -> list[float | None]:
    """Return one label, None where it is missing."""
    found = read_labels(pl.DataFrame({"y": values}), {"y": label(**more)})["y"]
    assert found.dtype == np.float32
    return [None if np.isnan(value) else float(value) for value in found]


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, None],
        [0.0, 1.0, NAN],
        [False, True, None],
        [Decimal(0), Decimal(1), None],
        ["0", "1", None],
        ["false", "true", None],
        ["False ", " TRUE", None],
        ["no", "yes", None],
        ["N", "y", None],
        ["f", "T", None],
        pl.Series(["false", "true", None], dtype=pl.Categorical),
        pl.Series([0, 1, None], dtype=pl.UInt8),
    ],
)
def test_zero_one_and_missing_of_every_type(values: Any) -> None:
    assert read(values) == [0, 1, None]


@pytest.mark.parametrize("values", [[None, None], [NAN, NAN], pl.Series([None, None], dtype=str)])
def test_a_label_that_is_missing_everywhere(values: Any) -> None:
    assert read(values) == [None, None]
    assert read(values, positive="x") == [None, None]


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        (["no!", "yes!", None], "yes!"),
        (["no!", " yes!", None], "yes! "),
        (["", "ä", None], "ä"),
        ([3, 4, None], 4),
        ([3, 4, None], "4"),
        ([3.0, 4.0, NAN], 4),
        ([3.0, 4.5, None], 4.5),
        (["3", "4", None], 4),
        (["3", "4", None], 4.0),
        ([False, True, None], True),
        ([True, False, None], False),
        ([False, True, None], "true"),
        ([False, True, None], 1),
        (["False", "True", None], True),
        ([0, 1, None], True),
        ([1, 0, None], False),
        (pl.Series(["a", "b", None], dtype=pl.Categorical), "b"),
        ([date(2022, 5, 1), date(2022, 5, 2), None], "2022-05-02"),
    ],
)
def test_the_value_that_counts_may_be_named(values: Any, positive: Any) -> None:
    assert read(values, positive=positive) == [0, 1, None]


@pytest.mark.parametrize("positive", ["yes", "4x"])
def test_a_value_that_a_column_of_numbers_cannot_hold_is_refused(positive: str) -> None:
    for values in ([3, 4], [True, False]):
        with pytest.raises(DataError, match=rf"targets\.y\.positive: '{positive}' cannot"):
            read(values, positive=positive)


def test_lists_have_no_value_that_counts() -> None:
    with pytest.raises(DataError, match=r"targets\.y.*List"):
        read([[1]], positive=1)


@pytest.mark.parametrize(
    ("values", "found", "count"),
    [
        ([0, 1, 2, 0, 2], "2 in row 2", 2),
        ([0.0, 1.0, 0.5], "0.5 in row 2", 1),
        ([1, None, -1], "-1 in row 2", 1),
        ([0.0, NAN, float("inf")], "inf in row 2", 1),
    ],
)
def test_values_outside_0_and_1_are_refused(values: list[Any], found: str, count: int) -> None:
    with pytest.raises(DataError) as caught:
        read(values)
    message = str(caught.value)
    assert message.startswith("targets.y: column 'y' holds ")
    assert found in message
    assert f"{count} such rows" in message
    assert "expected 0 or 1" in message
    assert "positive" in message


def test_text_that_is_no_label_is_refused_with_its_common_values() -> None:
    with pytest.raises(DataError, match=r"targets\.y: .*\['b', 'a'.*positive = "):
        read(["a", "b", "b", None, "b", "a"])


def test_text_where_an_amount_is_expected_suggests_no_positive_value() -> None:
    with pytest.raises(DataError, match="expected numbers") as caught:
        read(["a", "b"], rule="not_negative")
    assert "positive" not in str(caught.value)


def test_text_that_is_a_number_is_that_number() -> None:
    assert read(["12.5", None, " 0 ", "1e2"], rule="not_negative") == [12.5, None, 0, 100]
    assert read(["1.0", "0.0", None]) == [1, 0, None]
    with pytest.raises(DataError, match=r"holds -1 in row 1 "):
        read(["2", "-1"], rule="not_negative")
    with pytest.raises(DataError, match=r"text such as \['12,5'\]; expected numbers\."):
        read(["1.5", "12,5", None, "2"], rule="not_negative")


def test_amounts_and_durations() -> None:
    assert read([0.0, 2.5, -3.0, None, NAN], rule="finite") == [0, 2.5, -3, None, None]
    assert read([0.0, 2.5, None, NAN], rule="not_negative") == [0, 2.5, None, None]
    seconds = [timedelta(seconds=1.5), None]
    assert read(seconds, rule="not_negative") == [1.5, None]


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ([1.0, -0.001], "not_negative"),
        ([1.0, float("inf")], "not_negative"),
        ([1.0, -float("inf")], "not_negative"),
        ([1.0, float("inf")], "finite"),
        ([1.0, -float("inf")], "finite"),
        ([1.0, 1e39], "finite"),
        ([1.0, 1e39], "not_negative"),
        ([timedelta(0), timedelta(-1)], "not_negative"),
    ],
)
def test_amounts_outside_their_rule_are_refused(values: list[Any], rule: str) -> None:
    with pytest.raises(DataError, match=r"targets\.y: .*in row 1 \(1 such rows\); expected finite"):
        read(values, rule=rule)


@pytest.mark.parametrize("values", [[date(2022, 5, 1)], [[1]], [b"1"], [{"a": 1}]])
def test_what_is_no_number_is_refused(values: list[Any]) -> None:
    with pytest.raises(DataError, match=r"targets\.y: column 'y' is "):
        read(values)


def test_a_missing_column_is_told_with_the_nearest() -> None:
    frame = pl.DataFrame({"is_click": [1]})
    with pytest.raises(DataError, match=r"targets\.is_clik\.column: .*Did you mean 'is_click'"):
        read_labels(frame, {"click": label("is_clik")})


CHAIN = {
    "click": label("click"),
    "buy": label("buy", given="click"),
    "spend": label("spend", rule="finite", given="buy"),
}
FUNNEL = pl.DataFrame(
    {
        "click": [0, 0, 1, 1, 1, None, None, 0],
        "buy": [None, 0, 0, 1, None, None, 0, 1],
        "spend": [None, None, None, 5.0, None, NAN, None, 7.0],
    }
)


@pytest.mark.parametrize("order", list(permutations(CHAIN)))
def test_steps_that_were_not_reached_are_zero_in_any_order_of_the_run_file(
    order: tuple[str, ...],
) -> None:
    found = read_labels(FUNNEL, {name: CHAIN[name] for name in order})
    assert list(found) == list(order)
    np.testing.assert_equal(found["click"], [0, 0, 1, 1, 1, NAN, NAN, 0])
    np.testing.assert_equal(found["buy"], [0, 0, 0, 1, NAN, NAN, 0, 1])
    np.testing.assert_equal(found["spend"], [0, 0, 0, 5, NAN, NAN, 0, 7])
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}


def test_two_steps_may_follow_the_same_one() -> None:
    labels = {
        "like": label("like", given="click"),
        "share": label("share", given="click"),
        "click": label("click"),
    }
    frame = pl.DataFrame({"click": [0, 1], "like": [None, None], "share": [None, 1]})
    found = read_labels(frame, labels)
    np.testing.assert_equal(found["like"], [0, NAN])
    np.testing.assert_equal(found["share"], [0, 1])


# Windows

DAY = 86_400.0
AGES = np.array([0, 1, 2, 3, 7, 8]) * DAY


def test_a_label_is_not_known_of_rows_younger_than_its_window() -> None:
    frame = pl.DataFrame({"click": [0, 1, 0, 1, 0, 1], "buy": [1, 0, 1, None, 0, 1]})
    labels = {"click": label("click"), "buy": label("buy", window=3 * DAY)}
    found = read_labels(frame, labels, AGES)
    np.testing.assert_equal(found["click"], [0, 1, 0, 1, 0, 1])
    np.testing.assert_equal(found["buy"], [NAN, NAN, NAN, NAN, 0, 1])
    without = read_labels(frame, labels)
    np.testing.assert_equal(without["buy"], [1, 0, 1, NAN, 0, 1])


@pytest.mark.parametrize("order", list(permutations(CHAIN)))
def test_later_steps_wait_for_the_windows_of_earlier_ones(order: tuple[str, ...]) -> None:
    """Not even the zeros of steps that were not reached count: they alone would remain."""
    chain = CHAIN | {"buy": label("buy", given="click", window=2 * DAY)}
    frame = FUNNEL.head(6)
    found = read_labels(frame, {name: chain[name] for name in order}, AGES)
    np.testing.assert_equal(found["click"], [0, 0, 1, 1, 1, NAN])
    np.testing.assert_equal(found["buy"], [NAN, NAN, 0, 1, NAN, NAN])
    np.testing.assert_equal(found["spend"], [NAN, NAN, 0, 5, NAN, NAN])
    longer = chain | {"click": label("click", window=3 * DAY)}
    found = read_labels(frame, {name: longer[name] for name in order}, AGES)
    np.testing.assert_equal(found["click"], [NAN, NAN, NAN, 1, 1, NAN])
    np.testing.assert_equal(found["spend"], [NAN, NAN, NAN, 5, NAN, NAN])


# Weights


def test_weights_of_rows_and_of_targets() -> None:
    frame = pl.DataFrame({"w": [1, 0, 3], "v": [0.5, 2.0, 0.0], "b": [True, False, True]})
    found = read_weights(frame, {"": "w", "click": "v", "like": "b"})
    assert {name: values.tolist() for name, values in found.items()} == {
        "": [1, 0, 3],
        "click": [0.5, 2, 0],
        "like": [1, 0, 1],
    }
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("bad", [None, NAN, -1.0, float("inf"), 1e39])
@pytest.mark.parametrize(
    ("name", "where"), [("", "data.row_weight"), ("like", "targets.like.row_weight")]
)
def test_weights_that_are_none_are_refused(bad: Any, name: str, where: str) -> None:
    frame = pl.DataFrame({"w": [1.0, bad]})
    with pytest.raises(DataError, match=r"'w' holds .* in row 1 .*expected finite weights") as e:
        read_weights(frame, {name: "w"})
    assert str(e.value).startswith(f"{where}: ")


def test_a_weight_that_is_text_or_missing_is_refused() -> None:
    frame = pl.DataFrame({"w": ["heavy"]})
    with pytest.raises(DataError, match=r"data\.row_weight: .*text such as \['heavy'\]") as caught:
        read_weights(frame, {"": "w"})
    assert "positive" not in str(caught.value)
    with pytest.raises(DataError, match=r"data\.row_weight: .*no column 'x'"):
        read_weights(frame, {"": "x"})
