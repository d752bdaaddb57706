import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trimtab.data.new_rows import encode_new
from trimtab.data.prepare import DataPlan, prepare
from trimtab.data.vocabulary import Vocabulary
from trimtab.errors import UnseenWarning

MakePlan = Callable[..., DataPlan]
LOG = pl.DataFrame(
    {
        "user": [100_000 + i % 300 for i in range(1200)],
        "kind": ["ab"[i % 2] for i in range(1200)],
        "session": list(range(1200)),
        "age": [i % 50 for i in range(1200)],
    }
)
TEXT = pl.col("user").cast(pl.Float64).cast(pl.String)


@pytest.fixture
def plan(make_plan: MakePlan) -> DataPlan:
    return make_plan(
        {
            "user": "id",
            "again": {"kind": "id", "column": "user", "shares": "user"},
            "kind": "id",
            "session": "id",
            "age": {"kind": "number", "scale": "quantile"},
        }
    )


def said(plan: DataPlan, rows: Any) -> list[str]:
    statistics = prepare(plan, LOG).statistics
    with warnings.catch_warnings(record=True, category=UnseenWarning) as found:
        warnings.simplefilter("always")
        list(encode_new(plan, statistics, rows))
    return [str(one.message) for one in found]


def test_ids_that_are_written_another_way_are_told(plan: DataPlan) -> None:
    first, second = said(plan, LOG.with_columns(TEXT).head(40))
    assert first.startswith(
        "features.user: 40 of 40 values were never seen in training, such as '100000.0'; training "
        "saw such as 100"
    )
    assert second.startswith("features.again: 40 of 40 values")


def test_a_column_of_few_values_needs_few_strange_ones(plan: DataPlan) -> None:
    (line,) = said(plan, LOG.with_columns(pl.col("kind").str.to_uppercase()).head(20))
    assert "features.kind: 20 of 20 values" in line
    assert "'A'; training saw such as 'a'" in line


@pytest.mark.parametrize(
    "rows",
    [
        LOG,
        LOG.with_columns(user=7).head(50),
        LOG.with_columns(TEXT).head(19),
        LOG.with_columns(pl.col("user") + pl.when(pl.col("age") < 44).then(10**6).otherwise(0)),
        LOG.with_columns(user=pl.lit(None, dtype=pl.Int64)),
        LOG.head(0),
    ],
    ids=["known", "one new user", "few rows", "some new", "missing", "none"],
)
def test_what_is_new_for_a_reason_is_not(plan: DataPlan, rows: pl.DataFrame) -> None:
    assert said(plan, rows) == []


def test_a_vocabulary_that_was_kept_without_its_rare_values() -> None:
    values = pl.Series([1, 2])
    assert Vocabulary(values).known() is values
    assert Vocabulary(values, pl.DataFrame({"value": [3], "rows": [3]})).known() is None


def test_chunks_are_counted_together(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan({"user": "id"}, memory="1MB")
    path = tmp_path / "new.parquet"
    LOG.sample(200_000, with_replacement=True, seed=0).with_columns(TEXT).write_parquet(path)
    (line,) = said(plan, path)
    assert "200,000 of 200,000 values" in line
