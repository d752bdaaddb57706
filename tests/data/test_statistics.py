"""What is learnt of training rows, saved, and used to encode any rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab.data.columns import Columns
from trimtab.data.prepare import DataPlan
from trimtab.data.statistics import Statistics
from trimtab.errors import DataError

MakePlan = Callable[..., DataPlan]

FRAME = pl.DataFrame(
    {
        "user": ["u", "v", "u", None],
        "video": [8, 8, 5, 5],
        "seen": [[5, 8], [], None, [8]],
        "tags": ["a,b", "a", None, "b,c"],
        "age": [20.0, 30.0, None, 40.0],
        "price": [1, 2, 3, 4],
        "tab": [0, 1, 0, 2],
    }
)
FEATURES = {
    "last_seen": {"kind": "ids", "column": "seen", "shares": "video"},
    "user": "id",
    "video": {"kind": "id", "least_rows": 1},
    "tags": {"kind": "ids", "separator": ",", "least_rows": 1},
    "age": "number",
    "price": {"kind": "number", "scale": "quantile", "buckets": 2},
}
SCENES = {"column": "tab", "cover": [0], "stream": [1]}


@pytest.fixture
def statistics(make_plan: MakePlan) -> Statistics:
    plan = make_plan(FEATURES, scenes=SCENES)
    return Statistics.learn(plan.features, plan.scenes, FRAME)


def same(one: Columns, other: Columns) -> bool:
    """Say whether columns agree bit for bit."""
    return one.names == other.names and all(
        one.arrays[name].dtype == values.dtype and one.arrays[name].tobytes() == values.tobytes()
        for name, values in other.arrays.items()
    )


def test_columns_of_every_kind(statistics: Statistics) -> None:
    columns = statistics.columns(FRAME, {}, {}, "user")
    assert columns.names.ids == ("user", "video", "price")
    assert columns.names.numbers == ("age", "age is missing")
    assert columns.names.lists == ("last_seen", "tags")
    assert columns.arrays["ids"].tolist() == [[2, 3, 1], [1, 3, 1], [2, 2, 2], [0, 2, 2]]
    assert columns.arrays["ids"].dtype == np.int32
    assert columns.arrays["numbers"].dtype == np.float32
    assert columns.arrays["values.0"].tolist() == [2, 3, 3]
    assert columns.arrays["offsets.0"].tolist() == [0, 2, 2, 2, 3]
    assert columns.arrays["values.1"].tolist() == [2, 3, 2, 3, 4]
    assert columns.arrays["scene"].tolist() == [0, 1, 0, 2]
    assert columns.arrays["labels"].shape == columns.arrays["weights"].shape == (4, 0)


def test_a_feature_may_share_a_table_that_comes_later_in_the_run_file(
    statistics: Statistics,
) -> None:
    assert statistics.tables == {"user": 3, "video": 4, "tags": 5, "price": 3}


def test_what_was_saved_encodes_the_same(statistics: Statistics, tmp_path: Path) -> None:
    statistics.save(tmp_path)
    again = Statistics.load(tmp_path, statistics.settings)
    new = FRAME.with_columns(pl.col("user").fill_null("new"), pl.col("price") * 1.5)
    for frame in (FRAME, new, FRAME.reverse()):
        assert same(again.columns(frame, {}, {}, None), statistics.columns(frame, {}, {}, None))
    assert again.tables == statistics.tables
    assert again.scenes.state() == statistics.scenes.state()


def test_saving_on_a_full_disk_is_an_error_of_the_disk(
    statistics: Statistics, tmp_path: Path
) -> None:
    (tmp_path / "vocabularies").mkdir()
    (tmp_path / "vocabularies" / "1.parquet").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        statistics.save(tmp_path)


def test_a_run_with_numbers_only(make_plan: MakePlan) -> None:
    plan = make_plan({"age": "number"})
    columns = Statistics.learn(plan.features, None, FRAME).columns(FRAME, {}, {}, None)
    assert columns.arrays["ids"].shape == (4, 0)
    assert columns.names.lists == ()
    assert columns.batch(np.array([3, 0])).numbers.shape == (2, 2)


def test_a_missing_column_names_the_feature_and_the_nearest(make_plan: MakePlan) -> None:
    for features, where in (
        ({"agee": "number"}, r"features\.agee: "),
        ({"years": {"kind": "number", "column": "agee"}}, r"features\.years\.column: "),
    ):
        with pytest.raises(DataError, match=rf"^{where}.*'agee'.*Did you mean 'age'"):
            Statistics.learn(make_plan(features).features, None, FRAME)


@pytest.mark.parametrize(
    "users",
    [
        ["b", "a", "b", None],
        [7, -1, 7, None],
        [2**70, 3, 2**70, None],
        [1.0, 0.5, 1.0, float("nan")],
        [True, False, True, None],
        pl.Series(["b", "a", "b", None], dtype=pl.Categorical),
    ],
)
def test_users_of_every_type_are_numbered(make_plan: MakePlan, users: Any) -> None:
    plan = make_plan({"age": "number"})
    frame = FRAME.with_columns(user=pl.Series(users))
    columns = Statistics.learn(plan.features, None, frame).columns(frame, {}, {}, "user")
    found = columns.arrays["user"].tolist()
    assert found[0] == found[2]
    assert len(set(found)) == 3
    assert columns.arrays["user"].dtype == np.int64


def test_each_row_without_its_user_is_its_own(make_plan: MakePlan) -> None:
    plan = make_plan({"age": "number"})
    frame = FRAME.with_columns(user=pl.Series(["b", None, "b", None]))
    columns = Statistics.learn(plan.features, None, frame).columns(frame, {}, {}, "user")
    found = columns.arrays["user"].tolist()
    assert found[0] == found[2] > 0
    assert found[1] != found[3]
    assert max(found[1], found[3]) < 0


def test_without_a_user_every_row_is_its_own(statistics: Statistics) -> None:
    assert statistics.columns(FRAME, {}, {}, None).arrays["user"].tolist() == [0, 1, 2, 3]
    with pytest.raises(DataError, match=r"data\.user: .*'usr'.*'user'"):
        statistics.columns(FRAME, {}, {}, "usr")


@pytest.mark.parametrize("name", ["lr[0.1]", "a*", "a?", "[!x]"])
def test_a_folder_with_the_signs_of_a_glob_is_a_folder(
    make_plan: MakePlan, statistics: Statistics, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    statistics.save(folder)
    assert list(folder.glob("vocabularies/*.rare.parquet"))
    loaded = Statistics.load(folder, make_plan(FEATURES, scenes=SCENES).features)
    assert same(loaded.columns(FRAME, {}, {}, "user"), statistics.columns(FRAME, {}, {}, "user"))
