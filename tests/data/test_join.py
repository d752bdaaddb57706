"""Side tables onto the log: every row stays where it is and takes what its key has."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab.data.join import join, unmatched
from trimtab.data.settings import JoinSettings
from trimtab.errors import DataError

Save = Callable[[str, Any], str]

LOG = pl.DataFrame({"row": range(6), "user_id": [7, 3, 3, None, 9, 7]})
USERS = {"user_id": [3, 5, 7], "age": [30, 50, 70], "city": ["x", "y", None]}


def onto(log: pl.DataFrame, path: str, **settings: Any) -> pl.DataFrame:
    return join(log, [JoinSettings(table=path, on="user_id", **settings)])


def test_rows_and_their_order_stay_and_unmatched_keys_get_nulls(save: Save) -> None:
    joined = onto(LOG, save("users.parquet", USERS))
    assert joined.drop("age", "city").equals(LOG)
    assert joined["age"].to_list() == [70, 30, 30, None, None, 70]
    assert joined["city"].to_list() == [None, "x", "x", None, None, None]


def test_a_join_equals_a_slow_lookup(save: Save) -> None:
    generator = np.random.default_rng(0)
    keys = [None if key > 40 else int(key) for key in generator.integers(0, 60, 500)]
    table = {"user_id": generator.permutation(50)[:30].tolist(), "age": list(range(30))}
    log = pl.DataFrame({"user_id": keys})
    lookup = dict(zip(table["user_id"], table["age"], strict=True))
    joined = onto(log, save("users.csv", table))
    assert joined["age"].to_list() == [lookup.get(key) for key in keys]  # type: ignore[arg-type]


def test_several_tables_one_after_the_other(save: Save) -> None:
    users = save("users.parquet", {"user_id": [3, 7], "home": ["x", "y"]})
    homes = save("homes.csv", {"home": ["y", "x"], "rent": [2, 1]})
    joined = join(
        LOG, [JoinSettings(table=users, on="user_id"), JoinSettings(table=homes, on="home")]
    )
    assert joined["rent"].to_list() == [2, 1, 1, None, None, 2]


def test_columns_and_prefix(save: Save) -> None:
    path = save("users.parquet", {**USERS, "row": [0, 0, 0]})
    joined = onto(LOG, path, columns=["row", "user_id", "row"], prefix="user_")
    assert joined.columns == ["row", "user_id", "user_row"]


@pytest.mark.parametrize(
    ("log_type", "table_type"),
    [
        (pl.Int32, pl.Int64),
        (pl.Int64, pl.Int32),
        (pl.Int8, pl.UInt64),
        (pl.UInt32, pl.Int128),
        (pl.String, pl.Categorical),
        (pl.Categorical, pl.String),
    ],
)
def test_keys_of_kindred_types_meet(save: Save, log_type: Any, table_type: Any) -> None:
    log = LOG.with_columns(pl.col("user_id").cast(pl.String).cast(log_type))
    users = pl.DataFrame(USERS).with_columns(pl.col("user_id").cast(pl.String).cast(table_type))
    joined = onto(log, save("users.parquet", users))
    assert joined["age"].to_list() == [70, 30, 30, None, None, 70]
    assert joined["user_id"].dtype == log["user_id"].dtype


def test_keys_too_large_for_the_log_are_nobody(save: Save) -> None:
    users = {"user_id": [3, 2**40, 2**40 + 1], "age": [1, 2, 3]}
    log = LOG.with_columns(pl.col("user_id").cast(pl.Int8))
    assert onto(log, save("u.parquet", users))["age"].to_list() == [None, 1, 1, None, None, None]


def test_null_keys_of_a_table_are_nobody(save: Save) -> None:
    users = {"user_id": [None, None, 3], "age": [1, 2, 3]}
    assert onto(LOG, save("u.parquet", users))["age"].to_list() == [None, 3, 3, None, None, None]


KEYS: list[pl.Series] = [
    pl.Series([1, None]),
    pl.Series([1.0, None]),
    pl.Series(["1", None]),
    pl.Series(["1", None], dtype=pl.Categorical),
    pl.Series(["1", None], dtype=pl.Enum(["1"])),
    pl.Series([date(2022, 5, 1), None]),
]


@pytest.mark.parametrize("keys", KEYS, ids=lambda keys: str(keys.dtype))
def test_keys_without_a_type_are_nobody(save: Save, keys: pl.Series) -> None:
    nobody = LOG.with_columns(user_id=pl.lit(None))
    users = pl.DataFrame({"user_id": keys, "age": [3, 5]})
    assert onto(nobody, save("u.parquet", users))["age"].to_list() == [None] * 6
    joined = onto(users.drop("age"), save("n.parquet", {"user_id": [None, None], "age": [3, 5]}))
    assert joined["age"].to_list() == [None] * 2


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_whole_floats_meet_integers(save: Save, missing: float | None) -> None:
    keys = [7.0, 3.0, 3.0, missing, 1e300, 7.0]
    floats, users = LOG.with_columns(user_id=pl.Series(keys)), pl.DataFrame(USERS)
    path = save("u.parquet", users.cast({"user_id": pl.Int8}))
    joined = onto(floats, path)
    assert joined["user_id"].equals(floats["user_id"])
    assert joined["age"].to_list() == [70, 30, 30, None, None, 70]
    settings = JoinSettings(table=path, on="user_id")
    assert unmatched(floats, settings) == pytest.approx(2 / 6)
    of_table = pl.DataFrame({"user_id": [3.0, missing, 7.0, missing], "age": [30, 0, 70, 0]})
    for log in (LOG, floats):
        joined = onto(log, save("f.parquet", of_table))
        assert joined["age"].to_list() == [70, 30, 30, None, None, 70]


def test_other_floats_and_integers_are_refused(save: Save) -> None:
    path, halves = save("users.parquet", USERS), LOG.with_columns(pl.col("user_id") / 2)
    message = refusal(halves, path)
    assert "'user_id' is Int64 here and Float64 in the log" in message
    with pytest.raises(DataError, match="Int64 here and Float64 in the log"):
        unmatched(halves, JoinSettings(table=path, on="user_id"))


@pytest.mark.parametrize("dtype", [pl.Enum(["3", "7", "9"]), pl.Categorical])
def test_texts_that_the_log_does_not_know_are_nobody(save: Save, dtype: Any) -> None:
    log = LOG.with_columns(pl.col("user_id").cast(pl.String).cast(dtype))
    for kind in (pl.String, pl.Categorical, pl.Enum(["3", "5", "7"])):
        users = pl.DataFrame(USERS).with_columns(pl.col("user_id").cast(pl.String).cast(kind))
        joined = onto(log, save("users.parquet", users))
        assert joined["age"].to_list() == [70, 30, 30, None, None, 70]
        assert joined["user_id"].equals(log["user_id"])


def refusal(log: pl.DataFrame, path: str, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        onto(log, path, **settings)
    message = str(caught.value)
    assert message.startswith("data.join[0]")
    assert path in message or "in the log" in message
    return message


def test_a_key_that_stands_twice_is_refused(save: Save) -> None:
    message = refusal(LOG, save("users.csv", {"user_id": [3, 7, 3, 3], "age": [1, 2, 3, 4]}))
    assert "1 keys more than once" in message
    assert "user_id = 3" in message
    assert "one row a key" in message


def test_a_key_that_is_missing_on_either_side_is_refused(save: Save) -> None:
    path = save("users.csv", {"userid": [3], "age": [1]})
    assert "no column 'user_id'. Did you mean 'userid'?" in refusal(LOG, path)
    path = save("users.csv", USERS)
    message = refusal(LOG.rename({"user_id": "uid"}), path)
    assert "in the log" in message
    assert "Did you mean 'uid'?" in message


def test_a_column_that_is_asked_for_and_missing_is_refused(save: Save) -> None:
    message = refusal(LOG, save("users.csv", USERS), columns=["agee"])
    assert "data.join[0].columns" in message
    assert "Did you mean 'age'?" in message


def test_columns_that_clash_are_refused(save: Save) -> None:
    path = save("users.csv", {**USERS, "row": [1, 2, 3]})
    message = refusal(LOG, path)
    assert "both have row" in message
    assert "columns = [...]" in message
    assert "prefix" in message
    assert refusal(LOG.rename({"row": "user_row"}), path, prefix="user_")


def test_a_prefix_may_not_make_the_key_again(save: Save) -> None:
    message = refusal(LOG, save("users.csv", {"user_id": [3], "id": [1]}), prefix="user_")
    assert "both have user_id" in message


def test_the_second_table_that_clashes_is_named(save: Save) -> None:
    one, two = save("1.csv", USERS), save("2.csv", USERS)
    with pytest.raises(DataError, match=r"data\.join\[1\]: .*2\.csv .* age, city"):
        join(LOG, [JoinSettings(table=path, on="user_id") for path in (one, two)])


@pytest.mark.parametrize("keys", [["a", "b"], [0.5, 1.0], [True, False]])
def test_keys_that_cannot_be_compared_are_refused(save: Save, keys: list[Any]) -> None:
    message = refusal(LOG, save("users.parquet", {"user_id": keys, "age": [1, 2]}))
    assert "'user_id'" in message
    assert "Int64 in the log" in message
    assert "one type in both" in message


def test_a_table_that_cannot_be_read_is_named(save: Save) -> None:
    with pytest.raises(DataError, match=r"users\.parquet: cannot be read"):
        onto(LOG, save("users.parquet", b"PAR1"))


def test_the_share_of_rows_that_a_table_does_not_have(save: Save) -> None:
    settings = JoinSettings(table=save("users.csv", USERS), on="user_id")
    assert unmatched(LOG, settings) == pytest.approx(2 / 6)
