"""Groups of features: what the names and the side tables of a run say goes together."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trimtab.config.load import parse
from trimtab.data.settings import JoinSettings
from trimtab.data.statistics import Statistics
from trimtab.evaluation.groups import Group, fewer, groups_of, taken

FRAME = pl.DataFrame(
    {
        "user": [1, 2, 3, 4],
        "age": [20.0, None, 40.0, 50.0],
        "clicks_7d": [1.0, 2.0, 3.0, 4.0],
        "clicks_30d": [2.0, 3.0, 4.0, 5.0],
        "tags": ["a,b", "", "c", None],
        "city": ["x", "y", "x", None],
        "click": [0, 1, 0, 1],
    }
)
FEATURES: dict[str, Any] = {
    "user": "id",
    "age": "number",
    "clicks_7d": {"kind": "number", "scale": "quantile"},
    "clicks_30d": "number",
    "tags": {"kind": "ids", "separator": ","},
    "home": {"kind": "id", "column": "city"},
}


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    settings = parse({"features": FEATURES, "targets": {"click": "binary"}})
    return Statistics.learn(settings.features, None, FRAME)


def several(groups: list[Group]) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {g.name: (g.kind, g.features) for g in groups if len(g.features) > 1}


def test_every_feature_is_a_group_with_all_its_columns(statistics: Statistics) -> None:
    groups = {group.name: group for group in groups_of(statistics)}
    assert list(groups) == [*FEATURES, "clicks_*d"]
    assert groups["age"].columns == {"age", "age is missing"}
    assert groups["clicks_7d"].columns == {"clicks_7d"}
    assert groups["tags"].columns == {"tags"}
    assert groups["home"].columns == {"home"}
    encoded = statistics.columns(FRAME, {}, {}, None).names
    every = {*encoded.ids, *encoded.numbers, *encoded.lists}
    assert set().union(*(group.columns for group in groups.values())) == every


def test_names_that_differ_by_a_number_go_together(statistics: Statistics) -> None:
    groups = groups_of(statistics)
    assert several(groups) == {"clicks_*d": ("numbered", ("clicks_7d", "clicks_30d"))}
    assert groups[-1].columns == {"clicks_7d", "clicks_30d"}


def test_features_that_read_one_column_go_together() -> None:
    features = {"age": "id", "years": {"kind": "number", "column": "age"}, "user": "id"}
    settings = parse({"features": features, "targets": {"click": "binary"}})
    groups = groups_of(Statistics.learn(settings.features, None, FRAME))
    assert several(groups) == {"age + years": ("column", ("age", "years"))}
    assert groups[-1].columns == {"age", "years", "years is missing"}
    assert [group.name for group in fewer(groups, 2)] == ["user", "age + years"]


@pytest.mark.parametrize("name", ["users.parquet", "users.csv"])
def test_features_of_a_side_table_go_together(
    statistics: Statistics, tmp_path: Path, name: str
) -> None:
    table = pl.DataFrame({"user": [1], "age": [2], "city": ["x"], "height": [3]})
    path = tmp_path / name
    table.write_parquet(path) if path.suffix == ".parquet" else table.write_csv(path)
    join = JoinSettings(table=str(path), on="user")
    assert several(groups_of(statistics, [join]))[name] == ("table", ("age", "home"))
    one = JoinSettings(table=str(path), on="user", columns=["age"])
    assert name not in several(groups_of(statistics, [one]))


def test_a_prefix_is_part_of_the_names() -> None:
    join = JoinSettings(table="gone.csv", on="user", columns=["age", "city"], prefix="user_")
    assert taken(join) == {"user_age", "user_city"}


def test_a_table_that_is_gone_or_broken_makes_no_group(
    statistics: Statistics, tmp_path: Path
) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    (tmp_path / "empty.csv").write_bytes(b"")
    joins = [
        JoinSettings(table=str(tmp_path / name), on="user")
        for name in ("gone.parquet", "broken.parquet", "empty.csv")
    ]
    assert groups_of(statistics, joins) == groups_of(statistics)


def test_a_group_of_the_same_features_comes_once(statistics: Statistics) -> None:
    join = JoinSettings(table="gone.csv", on="user", columns=["clicks_7d", "clicks_30d"])
    assert list(several(groups_of(statistics, [join]))) == ["clicks_*d"]


def test_features_that_groups_hold_are_left_out_where_there_are_many(
    statistics: Statistics,
) -> None:
    join = JoinSettings(table="side.csv", on="user", columns=["age", "city"])
    groups = groups_of(statistics, [join])
    names = [group.name for group in groups]
    assert names == [*FEATURES, "clicks_*d", "side.csv"]
    assert fewer(groups, 8) == groups
    assert [g.name for g in fewer(groups, 7)] == [n for n in names if n[-2:] not in ("7d", "0d")]
    assert [g.name for g in fewer(groups, 1)] == ["user", "tags", "clicks_*d", "side.csv"]
