"""A run's log from files to encoded rows, and new rows by what was learnt."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from trimtab.data.labels import LabelColumn
from trimtab.data.prepare import DataPlan, encode_rows, prepare, raw_rows
from trimtab.data.settings import DataSettings
from trimtab.data.vocabulary import UNSEEN
from trimtab.errors import DataError

Save = Callable[[str, Any], str]
MakePlan = Callable[..., DataPlan]

HOUR = 3600
START = 1_650_000_000
CLICK = LabelColumn(column="click", where="targets.click", rule="zero_one")


def log(rows: int = 20) -> pl.DataFrame:
    """Return a log an hour a row, by time."""
    return pl.DataFrame(
        {
            "user": [i % 4 for i in range(rows)],
            "age": [float(i) for i in range(rows)],
            "time": [START + i * HOUR for i in range(rows)],
            "click": [i % 2 for i in range(rows)],
        }
    )


@pytest.fixture
def plan(make_plan: MakePlan, save: Save) -> DataPlan:
    return make_plan(
        {"user": "id", "age": "number"},
        labels={"click": CLICK},
        log=save("log.parquet", log()),
        time="time",
        user="user",
        valid="4h",
    )


def test_rows_labels_and_users_by_part(plan: DataPlan) -> None:
    prepared = prepare(plan)
    assert (len(prepared.train), len(prepared.valid)) == (16, 4)
    assert prepared.valid.label("click").tolist() == [0, 1, 0, 1]
    assert prepared.train.names.ids == ("user",)
    assert prepared.train.names.labels == ("click",)
    assert prepared.summary["rows"] == {"train": 16, "valid": 4}


def test_statistics_use_training_rows_only(make_plan: MakePlan) -> None:
    """Valid rows have a user, a number, a gap, a tag and a scene that no training row has."""
    frame = log().with_columns(tab=pl.lit(1), tag=pl.Series([["a"]] * 20), score=pl.lit(1.0))
    planted = {
        "user": pl.lit(99, dtype=pl.Int64),
        "age": pl.lit(1e6),
        "tab": pl.lit(5),
        "tag": pl.lit(["b"]),
        "score": pl.lit(None, dtype=pl.Float64),
    }
    frame = frame.with_columns(
        pl.when(pl.int_range(pl.len()) < 16).then(pl.col(name)).otherwise(value).alias(name)
        for name, value in planted.items()
    )
    plan = make_plan(
        {
            "user": {"kind": "id", "least_rows": 1},
            "age": "number",
            "bucket": {"kind": "number", "column": "age", "scale": "quantile"},
            "tag": {"kind": "ids", "least_rows": 1},
            "score": "number",
        },
        scenes={"column": "tab", "feed": [1]},
        time="time",
        valid="4h",
    )
    prepared = prepare(plan, frame)
    later = frame[:4].with_columns(pl.col("time") + 20 * HOUR)
    alone = prepare(plan, pl.concat([frame[:16], later]))
    states = {name: one.state() for name, one in prepared.statistics.learnt.items()}
    assert states == {name: one.state() for name, one in alone.statistics.learnt.items()}
    assert states["age"]["center"] == pytest.approx(7.5)
    assert max(states["bucket"]["edges"]) <= 15
    assert not states["score"]["flagged"]
    assert prepared.statistics.tables == alone.statistics.tables
    assert prepared.valid.arrays["ids"][:, 0].tolist() == [UNSEEN] * 4
    assert prepared.valid.arrays["values.0"].tolist() == [UNSEEN] * 4
    assert prepared.statistics.scenes.names == ["feed"]


def test_values_that_only_a_valid_file_has_are_unseen(make_plan: MakePlan, save: Save) -> None:
    users = save("users.csv", {"user": [0, 1, 2, 3, 77], "home": list("xxyyz")})
    plan = make_plan(
        {"user": "id", "home": {"kind": "id", "least_rows": 1}},
        labels={"click": CLICK},
        log=save("log.csv", log()),
        join=[{"table": users, "on": "user"}],
        valid={"file": save("valid.csv", log(3).with_columns(user=pl.Series([0, 77, 78])))},
    )
    prepared = prepare(plan)
    assert len(prepared.train) == 20
    assert prepared.valid.arrays["ids"].tolist()[0] == [2, 2]
    assert prepared.valid.arrays["ids"].tolist()[1:] == [[UNSEEN, UNSEEN], [UNSEEN, 0]]


def test_a_valid_file_without_the_time_is_refused(make_plan: MakePlan, save: Save) -> None:
    plan = make_plan(
        {"user": "id"},
        log=save("log.csv", log()),
        time="time",
        valid={"file": save("valid.csv", log().drop("time"))},
    )
    with pytest.raises(DataError, match=r"data\.time: .*no column 'time'"):
        prepare(plan)


def test_frames_of_every_library_are_prepared_alike(plan: DataPlan) -> None:
    frame = log()
    expected = prepare(plan, frame)
    for other in (frame.lazy(), frame.to_arrow(), frame.to_pandas()):
        found = prepare(plan, other)
        for name, values in expected.train.arrays.items():
            np.testing.assert_array_equal(found.train.arrays[name], values)


# Duplicates


@pytest.mark.parametrize(("duplicates", "kept"), [("keep", 26), ("drop", 20)])
def test_duplicates_are_counted_and_dropped_only_where_asked(
    make_plan: MakePlan, duplicates: str, kept: int
) -> None:
    frame = pl.concat([log(), log()[:5], log()[:1]])
    plan = make_plan(
        {"user": "id"}, labels={"click": CLICK}, duplicates=duplicates, time="time", valid="4h"
    )
    prepared = prepare(plan, frame)
    assert len(prepared.train) + len(prepared.valid) == kept
    assert prepared.summary["duplicates"] == {"found": 6, "dropped": 26 - kept}


def test_the_first_of_each_copy_stays_in_its_place() -> None:
    frame = pl.DataFrame({"a": [2, 1, 2, 3, 1], "b": ["x", "y", "x", "x", "z"]})
    rows, counts = raw_rows(DataSettings(duplicates="drop"), frame)
    assert rows.rows() == [(2, "x"), (1, "y"), (3, "x"), (1, "z")]
    assert counts == {"found": 1, "dropped": 1}


def test_copies_with_lists_nulls_and_nan_are_copies() -> None:
    frame = pl.DataFrame({"a": [[1], [1], None, None], "b": [float("nan")] * 2 + [None] * 2})
    rows, counts = raw_rows(DataSettings(duplicates="drop"), frame)
    assert len(rows) == 2
    assert counts == {"found": 2, "dropped": 2}


def test_rows_that_differ_only_in_a_column_without_use_are_no_copies() -> None:
    frame = pl.DataFrame({"a": [1, 1], "unused": [1, 2]})
    assert raw_rows(DataSettings(duplicates="drop"), frame)[1]["found"] == 0


# New rows


def test_new_rows_need_no_labels_no_time_no_user_and_no_weights(make_plan: MakePlan) -> None:
    frame = log().with_columns(w=pl.lit(2.0))
    plan = make_plan(
        {"age": "number"},
        labels={"click": CLICK},
        weights={"": "w"},
        time="time",
        user="user",
        valid="4h",
        duplicates="drop",
    )
    prepared = prepare(plan, frame)
    new = pl.DataFrame({"age": [7.5, None, 7.5, 7.5]})
    columns = encode_rows(plan, prepared.statistics, new, labelled=False)
    assert len(columns) == 4, "new rows are never dropped"
    assert columns.names.labels == columns.names.weights == ()
    assert columns.arrays["numbers"].tolist() == [[0], [0], [0], [0]]
    assert columns.arrays["user"].tolist() == [0, 1, 2, 3]
    batch = columns.batch(np.arange(4))
    assert batch.labels == {}


def test_new_rows_are_joined_and_their_user_is_kept(make_plan: MakePlan, save: Save) -> None:
    users = save("users.csv", {"user": [0, 1, 2, 3], "home": list("xxyy")})
    plan = make_plan(
        {"home": {"kind": "id", "least_rows": 1}},
        user="user",
        join=[{"table": users, "on": "user"}],
    )
    statistics = prepare(plan, log()).statistics
    new = pd.DataFrame({"user": [3, 0, 3, 9]})
    columns = encode_rows(plan, statistics, new, labelled=False)
    found = columns.arrays["ids"][:, 0].tolist()
    assert found[0] == found[2] != found[1]
    assert found[3] == 0
    assert columns.arrays["user"][0] == columns.arrays["user"][2]


@pytest.mark.parametrize("as_path", [str, Path])
def test_rows_to_evaluate_may_come_from_a_file(
    plan: DataPlan, save: Save, as_path: Callable[[str], Any]
) -> None:
    statistics = prepare(plan).statistics
    path = as_path(save("later.csv", log(6)))
    columns = encode_rows(plan, statistics, path, labelled=True)
    assert columns.label("click").tolist() == [0, 1, 0, 1, 0, 1]
    expected = encode_rows(plan, statistics, log(6), labelled=True)
    np.testing.assert_array_equal(columns.arrays["numbers"], expected.arrays["numbers"])


def test_copies_among_rows_to_evaluate_are_dropped_where_asked(make_plan: MakePlan) -> None:
    plan = make_plan({"user": "id"}, labels={"click": CLICK}, duplicates="drop")
    statistics = prepare(plan, log()).statistics
    twice = pl.concat([log(5), log(5)])
    assert len(encode_rows(plan, statistics, twice, labelled=True)) == 5
    assert len(encode_rows(plan, statistics, twice, labelled=False)) == 10


def test_types_may_drift_between_training_and_new_rows(plan: DataPlan) -> None:
    statistics = prepare(plan).statistics
    expected = encode_rows(plan, statistics, log(), labelled=False).arrays["ids"]
    for dtype in (pl.Int8, pl.Float64, pl.String, pl.Categorical):
        frame = log().with_columns(pl.col("user").cast(pl.String).cast(dtype))
        found = encode_rows(plan, statistics, frame, labelled=False).arrays["ids"]
        assert found.tolist() == expected.tolist()


def test_a_column_that_is_missing_at_prediction_is_named_with_the_nearest(plan: DataPlan) -> None:
    statistics = prepare(plan).statistics
    new = log().rename({"age": "Age"})
    with pytest.raises(DataError, match=r"^features\.age: .*no column 'age'.*'Age'"):
        encode_rows(plan, statistics, new, labelled=False)
    with pytest.raises(DataError, match=r"^targets\.click\.column: .*'click'"):
        encode_rows(plan, statistics, log().drop("click"), labelled=True)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (None, "expected a Polars"),
        ([1, 2], "expected a Polars"),
        ("nowhere.csv", "nowhere.csv: no such file"),
        (pa.table({"user": [1]}), "no column 'age'"),
    ],
)
def test_new_rows_that_are_none_are_refused(plan: DataPlan, rows: Any, says: str) -> None:
    statistics = prepare(plan).statistics
    with pytest.raises(DataError, match=says):
        encode_rows(plan, statistics, rows, labelled=False)


# What is wrong, and where


def test_a_log_is_needed(make_plan: MakePlan) -> None:
    with pytest.raises(DataError, match=r"data\.log"):
        prepare(make_plan({"user": "id"}))
    with pytest.raises(DataError, match=r"data\.log"):
        raw_rows(DataSettings())


def test_the_row_of_a_wrong_label_is_its_row_in_the_log(make_plan: MakePlan) -> None:
    """Not its row among the training rows, where no one can look it up."""
    frame = log().with_columns(click=pl.when(pl.col("age") == 18).then(7).otherwise("click"))
    plan = make_plan({"user": "id"}, labels={"click": CLICK}, time="time", valid="4h")
    with pytest.raises(DataError, match="holds 7 in row 18 "):
        prepare(plan, frame)
    negative = log().with_columns(w=pl.when(pl.col("age") == 17).then(-1).otherwise(1))
    weighted = make_plan({"user": "id"}, weights={"": "w"}, time="time", valid="4h")
    with pytest.raises(DataError, match="holds -1 in row 17 "):
        prepare(weighted, negative)


def test_a_wrong_log_leaves_no_cache(plan: DataPlan, save: Save, tmp_path: Path) -> None:
    save("log.parquet", log().with_columns(click=pl.lit(5)))
    with pytest.raises(DataError, match="holds 5"):
        prepare(plan)
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").rglob("*.npy"))


# The summary


def test_the_summary_is_for_people(make_plan: MakePlan, save: Save) -> None:
    frame = log().with_columns(
        age=pl.when(pl.col("user") == 0).then(None).otherwise("age"),
        height=pl.when(pl.col("user") == 1).then(float("nan")).otherwise(1.0),
    )
    path = save("log.parquet", frame)
    plan = make_plan(
        {"user": "id", "age": "number", "height": "number"},
        scenes={"column": "click", "cover": [0]},
        log=path,
        time="time",
        time_zone="Asia/Shanghai",
        valid="4h",
    )
    summary = prepare(plan).summary
    assert summary["log"] == path
    assert summary["rows"] == {"train": 16, "valid": 4}
    assert summary["duplicates"] == {"found": 0, "dropped": 0}
    assert summary["time"] == {
        "train": ["2022-04-15 13:20", "2022-04-16 04:20"],
        "valid": ["2022-04-16 05:20", "2022-04-16 08:20"],
    }
    assert summary["scenes"] == [
        {"name": "cover", "train_rows": 8, "valid_rows": 2},
        {"name": "other", "train_rows": 8, "valid_rows": 2},
    ]
    features = {one["name"]: one for one in summary["features"]}
    assert [one["kind"] for one in summary["features"]] == ["id", "number", "number"]
    assert features["user"]["missing"] == 0
    assert features["age"]["missing"] == features["height"]["missing"] == 0.25


def test_every_stage_has_all_rows_and_no_time_is_none(make_plan: MakePlan) -> None:
    plan = make_plan({"user": "id"}, scenes={"stages": ["discover", "play"]})
    summary = prepare(plan, log()).summary
    assert summary["scenes"] == [
        {"name": "discover", "train_rows": 18, "valid_rows": 2},
        {"name": "play", "train_rows": 18, "valid_rows": 2},
    ]
    assert summary["time"] is None
    assert summary["log"] == "a frame"


# Labels that are known only some time after their row

LATE = LabelColumn(column="click", where="targets.late", rule="zero_one", window=6.0 * HOUR)


def test_a_window_counts_back_from_the_end_of_the_log(make_plan: MakePlan) -> None:
    """Of twenty rows an hour apart the last is of age 0, and the first six of the end unknown."""
    plan = make_plan(
        {"user": "id"}, labels={"click": CLICK, "late": LATE}, time="time", valid="4h", user="user"
    )
    prepared = prepare(plan, log().sample(fraction=1, shuffle=True, seed=0).sort("time"))
    for part, times in ((prepared.train, range(16)), (prepared.valid, range(16, 20))):
        wanted = [i % 2 if i <= 13 else np.nan for i in times]
        np.testing.assert_equal(part.label("late"), wanted)
        assert not np.isnan(part.label("click")).any()


def test_frames_and_valid_files_have_ends_of_their_own(make_plan: MakePlan, save: Save) -> None:
    more: dict[str, Any] = {"labels": {"late": LATE}, "time": "time", "user": "user"}
    plan = make_plan({"user": "id"}, valid={"file": save("valid.csv", log(10))}, **more)
    prepared = prepare(plan, log())
    assert np.isnan(prepared.train.label("late")).tolist() == [False] * 14 + [True] * 6
    wanted = [False] * 4 + [True] * 6
    assert np.isnan(prepared.valid.label("late")).tolist() == wanted
    columns = encode_rows(plan, prepared.statistics, log(10), labelled=True)
    assert np.isnan(columns.label("late")).tolist() == wanted


def test_a_window_longer_than_the_log_is_refused(make_plan: MakePlan) -> None:
    long = LabelColumn(column="click", where="targets.late", rule="zero_one", window=20.0 * HOUR)
    plan = make_plan({"user": "id"}, labels={"late": long}, time="time", valid="4h", user="user")
    with pytest.raises(DataError, match=r"targets\.late\.window: .*oldest is 0\.792 days older"):
        prepare(plan, log())
