"""Values of an id, and the table row of each, against a slow dictionary."""

from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.data.vocabulary import FIRST, MISSING, UNSEEN, Vocabulary, canonical
from trimtab.errors import DataError

INT64 = range(-(2**63), 2**63)


def plain(value: Any) -> int | str | None:
    """Return a value as a slow reader would take it: whole numbers as integers, else text."""
    if value is None or value != value:
        return None
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return str(value)


def slow_rows(train: list[Any], new: list[Any], least_rows: int) -> list[int]:
    """Return the table rows by a dictionary, one value at a time."""
    counts = Counter(value for value in map(plain, train) if value is not None)
    numbers = all(isinstance(value, int) and value in INT64 for value in counts)
    frequent = [
        (-count, value if numbers else str(value))
        for value, count in counts.items()
        if count >= least_rows
    ]
    rows = {str(value): FIRST + i for i, (_, value) in enumerate(sorted(frequent))}
    return [UNSEEN if plain(v) is None else rows.get(str(plain(v)), UNSEEN) for v in new]


small = st.integers(-3, 3)
kinds: Any = st.sampled_from(
    [
        (pl.Int64, small),
        (pl.Int64, small | st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, -(2**63)])),
        (pl.UInt64, st.integers(0, 3) | st.sampled_from([2**63, 2**64 - 1])),
        (pl.Int128, small | st.sampled_from([2**63, -(2**70), 2**120])),
        (pl.Float64, small.map(float) | st.sampled_from([2.0**53, -(2.0**60), float("nan")])),
        (pl.Float64, small.map(float) | st.sampled_from([0.5, -1.25, float("inf"), 0.1])),
        (pl.Boolean, st.booleans()),
        (pl.String, st.text("aäß字 1", max_size=2)),
        (pl.String, st.text(max_size=3)),
    ]
)


@st.composite
def two_columns(draw: st.DrawFn) -> tuple[pl.Series, pl.Series]:
    """Draw training values and new ones of the same type."""
    dtype, kind = draw(kinds)
    parts = (draw(st.lists(st.none() | kind, min_size=least, max_size=20)) for least in (0, 1))
    train, new = (pl.Series("v", part, dtype=dtype) for part in parts)
    return train, new


@settings(max_examples=150, deadline=None)
@given(two_columns(), st.integers(1, 3))
def test_encoding_equals_a_slow_dictionary(
    columns: tuple[pl.Series, pl.Series], least_rows: int
) -> None:
    train, new = columns
    vocabulary = Vocabulary.learn(train, least_rows)
    expected = slow_rows(train.to_list(), new.to_list(), least_rows)
    assert vocabulary.encode(new).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(two_columns())
def test_a_row_does_not_depend_on_the_rows_beside_it(columns: tuple[pl.Series, pl.Series]) -> None:
    train, new = columns
    vocabulary = Vocabulary.learn(train, 1)
    alone = [vocabulary.encode(new[i : i + 1]).item() for i in range(len(new))]
    assert vocabulary.encode(new).tolist() == alone


def test_frequent_values_come_first_and_ties_by_value() -> None:
    vocabulary = Vocabulary.learn(pl.Series([5, 9, 9, 7, 7, 9, 3]), 1)
    assert vocabulary.values.to_list() == [9, 7, 3, 5]
    assert vocabulary.rows == FIRST + 4
    assert vocabulary.encode(pl.Series([9, 7, 3, 5, 4])).tolist() == [2, 3, 4, 5, UNSEEN]
    assert vocabulary.encode(pl.Series([9])).dtype == np.int32


def test_the_rows_of_missing_unseen_and_first_are_their_own() -> None:
    assert len({MISSING, UNSEEN, FIRST}) == 3
    assert max(MISSING, UNSEEN) < FIRST


SEVEN = [
    pl.Series([7, None], dtype=pl.Int8),
    pl.Series([7, None], dtype=pl.Int32),
    pl.Series([7, None], dtype=pl.Int64),
    pl.Series([7, None], dtype=pl.UInt64),
    pl.Series([7, None], dtype=pl.Int128),
    pl.Series([7.0, None], dtype=pl.Float32),
    pl.Series([7.0, float("nan")]),
    pl.Series(["7", None]),
    pl.Series(["7", None], dtype=pl.Categorical),
    pl.Series([Decimal(7), None]),
    pl.Series([Decimal("7.00"), None]),
]


@pytest.mark.parametrize("train", SEVEN, ids=lambda s: str(s.dtype))
@pytest.mark.parametrize("new", SEVEN, ids=lambda s: str(s.dtype))
def test_a_type_may_drift_between_training_and_prediction(train: pl.Series, new: pl.Series) -> None:
    vocabulary = Vocabulary.learn(train, 1)
    assert vocabulary.encode(new).tolist() == [FIRST, UNSEEN]


@pytest.mark.parametrize("big", [2**63, 2**64 - 1, 2**100, -(2**63) - 1])
def test_integers_of_any_size_keep_every_digit(big: int) -> None:
    vocabulary = Vocabulary.learn(pl.Series([big, big, big, big + 1, big + 1, 4]), 1)
    assert vocabulary.encode(pl.Series([big, big + 1, big - 1, 4])).tolist() == [2, 3, 1, 4]
    assert vocabulary.encode(pl.Series([str(big), "4"])).tolist() == [2, 4]
    assert vocabulary.encode(pl.Series([4])).tolist() == [4]


def test_a_big_integer_among_new_rows_is_only_unseen() -> None:
    vocabulary = Vocabulary.learn(pl.Series([1, 2]), 1)
    assert vocabulary.encode(pl.Series([2**64, 1, 2])).tolist() == [UNSEEN, 2, 3]


def test_a_half_among_whole_floats_changes_no_other_value() -> None:
    vocabulary = Vocabulary.learn(pl.Series([1.0, 1.0, 2.5]), 1)
    assert vocabulary.encode(pl.Series([1.0])).tolist() == [2]
    assert vocabulary.encode(pl.Series([1])).tolist() == [2]
    assert vocabulary.encode(pl.Series(["2.5"])).tolist() == [3]
    whole = Vocabulary.learn(pl.Series([1, 2]), 1)
    assert whole.encode(pl.Series([1.0, 2.5])).tolist() == [2, UNSEEN]


def test_text_is_compared_to_the_letter() -> None:
    values = ["a", "A", "a ", "", "é", "e\u0301", "字", "007"]
    vocabulary = Vocabulary.learn(pl.Series(values), 1)
    assert sorted(vocabulary.encode(pl.Series(values)).tolist()) == list(range(2, 10))


def test_text_that_is_no_number_is_unseen_to_integers() -> None:
    vocabulary = Vocabulary.learn(pl.Series([1, 2]), 1)
    assert vocabulary.encode(pl.Series(["1", "one", "2"])).tolist() == [2, UNSEEN, 3]


@pytest.mark.parametrize("column", [pl.Series([None, None]), pl.Series([], dtype=pl.Int64)])
def test_nothing_to_learn_is_a_vocabulary_all_the_same(column: pl.Series) -> None:
    vocabulary = Vocabulary.learn(column, 1)
    assert vocabulary.rows == FIRST
    for new in (pl.Series([1, None]), pl.Series(["a", None]), pl.Series([0.5, None])):
        assert vocabulary.encode(new).tolist() == [UNSEEN, UNSEEN]


def test_dates_are_values_like_others() -> None:
    column = pl.Series([date(2022, 5, 1), date(2022, 5, 2)])
    assert Vocabulary.learn(column, 1).encode(column).tolist() == [2, 3]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_are_found_in_any_unit(unit: Any) -> None:
    column = pl.Series([datetime(2022, 5, 1, 10), datetime(2022, 5, 2)])
    assert Vocabulary.learn(column, 1).encode(column.dt.cast_time_unit(unit)).tolist() == [2, 3]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pl.Series("a", [[1]]), "Lists are kind 'ids'"),
        (pl.Series("a", [[1, 2]], dtype=pl.Array(pl.Int64, 2)), "Lists are kind 'ids'"),
        (pl.Series("a", [object()], dtype=pl.Object), "found Object"),
        (pl.Series("a", [b"\xff\xfe"]), "found Binary"),
        (pl.Series("a", [timedelta(1)]), "found Duration"),
    ],
)
def test_what_is_no_id_is_refused(column: pl.Series, says: str) -> None:
    with pytest.raises(DataError, match=rf"^features\.a: .*{says}"):
        canonical(column)
