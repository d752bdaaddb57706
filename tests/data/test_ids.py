"""Lists of ids: read from lists or text, packed end to end."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trimtab.data.id import IdSettings
from trimtab.data.ids import IdsSettings
from trimtab.data.vocabulary import FIRST, UNSEEN
from trimtab.errors import DataError


def encode(train: pl.Series, new: pl.Series | None = None, **how: Any) -> list[list[int]]:
    """Return the table rows of every row's list."""
    learnt = IdsSettings(**{"least_rows": 1, **how}).learn(train.alias("tags"), None)
    values, lengths = learnt.encode((train if new is None else new).alias("tags")).lists["tags"]
    assert values.dtype == lengths.dtype == np.int32
    assert len(values) == lengths.sum()
    ends = np.cumsum(lengths)
    return [values[end - n : end].tolist() for end, n in zip(ends, lengths, strict=True)]


LISTS = [[4, 5], [], None, [5, None, 6, 5], [None]]
ROWS = [[3, 2], [], [], [2, 4, 2], []]


@pytest.mark.parametrize("inner", [pl.Int8, pl.Int64, pl.UInt64, pl.Float64, pl.String])
def test_lists_of_every_type_without_nulls_and_empties(inner: Any) -> None:
    column = pl.Series(LISTS, dtype=pl.List(pl.Int64)).cast(pl.List(inner))
    assert encode(column) == ROWS


def test_nan_in_a_list_is_missing_too() -> None:
    assert encode(pl.Series([[1.0, float("nan")], [float("nan")], [1.0]])) == [[2], [], [2]]


def test_fixed_size_arrays_of_arrow() -> None:
    column = pl.Series([[4, 5], None, [5, 6], [None, 5]], dtype=pl.Array(pl.Int32, 2))
    assert encode(column) == [[3, 2], [], [2, 4], [2]]


def test_text_with_separators_and_spaces() -> None:
    column = pl.Series(["4,5", "", None, " 5,, 6 ,5", " , ", ","])
    assert encode(column, separator=",") == [[3, 2], [], [], [2, 4, 2], [], []]


@pytest.mark.parametrize("separator", [",", "|", ";", " ", "::", "."])
def test_separators_are_taken_to_the_letter(separator: str) -> None:
    column = pl.Series([separator.join(["a", "b", "a"]), "b"])
    assert encode(column, separator=separator) == [[2, 3, 2], [3]]


def test_text_that_was_read_as_numbers() -> None:
    """A CSV whose every row has one tag, some rows none."""
    assert encode(pl.Series(["3,4"]), pl.Series([4, 3, 5]), separator=",") == [[3], [2], [1]]
    assert encode(pl.Series(["3,4"]), pl.Series([4.0, None]), separator=",") == [[3], []]
    assert encode(pl.Series(["a,b"], dtype=pl.Categorical), separator=",") == [[2, 3]]


def test_a_column_of_lists_needs_no_separator_and_ignores_one() -> None:
    assert encode(pl.Series(LISTS), separator=",") == ROWS


def test_lists_and_text_may_stand_for_each_other_between_training_and_prediction() -> None:
    lists, text = pl.Series([[4, 4], [5]]), pl.Series(["4,4", "5"])
    for train in (lists, text):
        for new in (lists, text):
            assert encode(train, new, separator=",") == [[2, 2], [3]]


@pytest.mark.parametrize("dtype", [pl.Null, pl.String, pl.List(pl.Int64), pl.List(pl.Null)])
@pytest.mark.parametrize("separator", [None, ","])
def test_a_column_that_misses_everything(dtype: Any, separator: str | None) -> None:
    nothing = pl.Series([None, None], dtype=dtype)
    assert encode(nothing, separator=separator) == [[], []]
    assert encode(pl.Series([["a"]]), nothing, separator=separator) == [[], []]


def test_only_empty_lists() -> None:
    assert encode(pl.Series([[], []], dtype=pl.List(pl.Int64))) == [[], []]


def test_the_last_values_are_kept_after_nulls_are_gone() -> None:
    column = pl.Series([[1, 2, 3, None], [3, None, None], [3], [1, 2]])
    assert encode(column, last=2) == [[3, 2], [2], [2], [4, 3]]


def test_values_beyond_the_last_are_not_learnt() -> None:
    learnt = IdsSettings(least_rows=1, last=1).learn(pl.Series("t", [[1, 2], [3, 2]]), None)
    assert learnt.vocabulary.values.to_list() == [2]


def test_rare_values_are_counted_over_all_lists() -> None:
    assert encode(pl.Series([[1, 1], [2]]), least_rows=2) == [[2, 2], [UNSEEN]]


def test_a_list_may_share_the_table_of_another_feature() -> None:
    videos = IdSettings(least_rows=1).learn(pl.Series("video_id", [8, 8, 5]), None)
    how = IdsSettings(shares="video_id", separator=",")
    learnt = how.learn(pl.Series("watched", ["5,8", "99"]), videos.vocabulary)
    values, _ = learnt.encode(pl.Series("watched", ["8,99", "5"])).lists["watched"]
    assert values.tolist() == [2, UNSEEN, 3]
    assert how.vocabulary(learnt) is None
    assert how.table("watched") == "video_id"
    assert learnt.rows == videos.rows


def test_what_was_learnt_comes_back_from_its_state() -> None:
    how = IdsSettings(separator=",", least_rows=1, last=2)
    learnt = how.learn(pl.Series("tags", ["a,b,c"]), None)
    again = how.restore(learnt.state(), learnt.vocabulary)
    new = pl.Series("tags", ["c,b,a", None])
    for one, other in zip(
        again.encode(new).lists["tags"], learnt.encode(new).lists["tags"], strict=True
    ):
        assert one.tolist() == other.tolist()
    assert learnt.describe() == "lists of 2 values"


@pytest.mark.parametrize(
    "column", [pl.Series(["a,b"]), pl.Series([1, 2]), pl.Series([True]), pl.Series([0.5])]
)
def test_single_values_without_a_separator_are_refused(column: pl.Series) -> None:
    with pytest.raises(DataError, match=r'features\.tags: .*lists.*separator = ","'):
        encode(column)


def test_lists_of_lists_are_refused() -> None:
    with pytest.raises(DataError, match=r"features\.tags: .*List"):
        encode(pl.Series([[[1]]]))


def test_an_empty_separator_is_refused() -> None:
    with pytest.raises(ValidationError, match="separator"):
        IdsSettings(separator="")


lists = st.lists(
    st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=6)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=50, deadline=None)
@given(lists, st.integers(1, 4), st.booleans())
def test_encoding_equals_a_slow_loop(
    rows: list[list[int | None] | None], last: int, text: bool
) -> None:
    kept = [[v for v in row or [] if v is not None][-last:] for row in rows]
    column = pl.Series("tags", rows, dtype=pl.List(pl.Int64))
    if text:
        joined = [None if row is None else ",".join(str(v or "") for v in row) for row in rows]
        kept = [[v for v in row or [] if v][-last:] for row in rows]
        column = pl.Series("tags", joined, dtype=pl.String)
    learnt = IdsSettings(least_rows=1, last=last, separator=",").learn(column, None)
    values, lengths = learnt.encode(column).lists["tags"]
    found = [int(learnt.vocabulary.values[int(row) - FIRST]) for row in values]
    assert found == [v for row in kept for v in row]
    assert lengths.tolist() == [len(row) for row in kept]
