"""A log in chunks, against the whole log in memory: every array and statistic, bit for bit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab.data import cache, counts
from trimtab.data.chunked import prepare_chunks
from trimtab.data.labels import LabelColumn
from trimtab.data.log import Log
from trimtab.data.prepare import DataPlan, Prepared, prepare
from trimtab.data.read import read
from trimtab.data.scan import Scan
from trimtab.data.settings import DataSettings
from trimtab.data.statistics import Statistics
from trimtab.errors import DataError, RunError

Save = Callable[[str, Any], str]
MakePlan = Callable[..., DataPlan]

ROWS, HOUR, START = 72, 3600, 1_650_000_000
CHUNKS = [1, 2, 7, 37, 71, 72, 1000]
LATE: Any = {"column": "buy", "where": "targets.buy", "rule": "zero_one", "given": "click"}
LABELS = {
    "click": LabelColumn(column="click", where="targets.click", rule="zero_one"),
    "buy": LabelColumn(**LATE, window=9.0 * HOUR),
    "play": LabelColumn(column="play", where="targets.play", rule="not_negative"),
}
FEATURES: dict[str, Any] = {
    "user": "id",
    "item": {"kind": "id", "least_rows": 1},
    "price": {"kind": "number", "scale": "log"},
    "size": "number",
    "bucket": {"kind": "number", "column": "price", "scale": "quantile", "buckets": 5},
    "tags": {"kind": "ids", "separator": ",", "least_rows": 1},
    "seen": {"kind": "ids", "shares": "item", "last": 3},
    "home": {"kind": "id", "least_rows": 1},
    "mixed": {"kind": "id", "least_rows": 1},
    "blank": "number",
}


def log(rows: int = ROWS) -> pl.DataFrame:
    """Return rows a user after another, an hour apart, with gaps of every kind and copies."""
    chance = np.random.default_rng(0)
    rows_, late = range(rows), np.arange(rows) > 0.8 * rows
    frame = pl.DataFrame(
        {
            "user": [None if i % 41 == 40 else f"u{i // 6}" for i in rows_],
            "item": np.where(late, 100, 0) + chance.integers(0, 9, rows),
            "price": [
                None if i % 11 == 3 else float(x) for i, x in enumerate(chance.normal(size=rows))
            ],
            "size": chance.integers(0, 1000, rows),
            "tags": [
                None if i % 13 == 5 else ",".join("abcde"[i % 3 : i % 6]) for i in range(rows)
            ],
            "seen": [None if i % 17 == 2 else list(range(i % 5)) for i in rows_],
            "mixed": [0.5 if i == rows - 1 else float(i % 4) for i in rows_],
            "blank": pl.Series([None] * rows, dtype=pl.String),
            "time": [START + (i % 45) * HOUR for i in rows_],
            "click": [None if i % 19 == 7 else i % 2 for i in rows_],
            "buy": [None if i % 3 else i % 2 for i in rows_],
            "play": chance.exponential(size=rows),
            "weight": chance.integers(1, 4, rows),
            "tab": [i % 4 for i in rows_],
            "unused": chance.integers(0, 2, rows),
        }
    )
    return pl.concat([frame, frame[3:9], frame[:1], frame[3:5]])


@pytest.fixture
def plan(make_plan: MakePlan, save: Save) -> Callable[..., DataPlan]:
    """Return a function that makes the plan of a log with everything in it."""
    homes = {"user": [f"u{i}" for i in range(15)], "home": [f"h{i % 4}" for i in range(15)]}
    table = save("users.parquet", homes)

    def make(log_: Any = None, **data: Any) -> DataPlan:
        given = {"time": "time", "user": "user", "valid": "13h", "duplicates": "drop"} | data
        return make_plan(
            FEATURES,
            labels=LABELS,
            weights={"": "weight"},
            scenes={"column": "tab", "cover": [0, 1], "stream": [2, 3]},
            log=log_ or save("log.parquet", log()),
            join=[{"table": table, "on": "user"}],
            **given,
        )

    return make


def in_chunks(plan: DataPlan, folder: Path, rows: int) -> Prepared:
    place = folder / f"chunks-{rows}"
    place.mkdir()
    large = plan.data.model_copy(update={"memory": 10**8})
    summary = prepare_chunks(replace(plan, data=large), place, chunk_rows=rows)
    assert not list(place.glob("work*"))
    return Prepared(
        train=cache.read(place / "train"),
        valid=cache.read(place / "valid"),
        statistics=Statistics.load(place, plan.features),
        summary=json.loads(json.dumps(summary)),
    )


def assert_same(found: Prepared, wanted: Prepared) -> None:
    for part in ("train", "valid"):
        ours, theirs = getattr(found, part), getattr(wanted, part)
        assert ours.names == theirs.names
        assert set(ours.arrays) == set(theirs.arrays)
        for name, values in theirs.arrays.items():
            assert ours.arrays[name].dtype == values.dtype, name
            np.testing.assert_array_equal(ours.arrays[name], values, err_msg=f"{part} {name}")
    assert found.statistics.scenes.state() == wanted.statistics.scenes.state()
    for name, learnt in wanted.statistics.learnt.items():
        assert found.statistics.learnt[name].state() == learnt.state(), name
        vocabulary = wanted.statistics.settings[name].vocabulary(learnt)
        if vocabulary is not None:
            ours = found.statistics.settings[name].vocabulary(found.statistics.learnt[name])
            assert ours is not None
            assert ours.values.dtype == vocabulary.values.dtype
            assert ours.values.to_list() == vocabulary.values.to_list()
    assert found.summary == json.loads(json.dumps(wanted.summary))


@pytest.mark.parametrize("rows", CHUNKS)
@pytest.mark.parametrize("duplicates", ["drop", "keep"])
def test_any_cut_is_the_whole(
    plan: Callable[..., DataPlan], tmp_path: Path, rows: int, duplicates: str
) -> None:
    given = plan(duplicates=duplicates)
    whole = prepare(given)
    assert whole.summary["duplicates"]["found"] == 9
    mixed: Any = whole.statistics.learnt["mixed"]
    assert mixed.vocabulary.values.dtype == pl.String, "one value of the last rows is no integer"
    assert_same(in_chunks(given, tmp_path, rows), whole)


@pytest.mark.parametrize(
    "valid",
    [
        0.2,
        {"fraction": 0.3, "random": True, "seed": 5},
        "2022-04-16T12:00:00",
        {"column": "tab", "values": [3]},
        {"column": "user", "values": ["u0", "u1"]},
    ],
)
def test_every_way_to_hold_out(plan: Callable[..., DataPlan], tmp_path: Path, valid: Any) -> None:
    given = plan(valid=valid)
    for rows in (5, 50):
        assert_same(in_chunks(given, tmp_path, rows), prepare(given))


def test_valid_rows_of_a_file(plan: Callable[..., DataPlan], save: Save, tmp_path: Path) -> None:
    later = log(40).with_columns(pl.col("time") + 500 * HOUR, user=pl.lit("u7"))
    given = plan(valid={"file": save("valid.parquet", later)})
    for rows in (4, 100):
        assert_same(in_chunks(given, tmp_path, rows), prepare(given))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_files_of_every_format(
    plan: Callable[..., DataPlan], save: Save, tmp_path: Path, suffix: str
) -> None:
    """Types that differ between files widen, and a column that one file lacks values of has one."""
    frame = log().drop("seen").with_columns(pl.lit(None).alias("seen"))
    frame = frame.with_columns(seen=pl.lit("1,2")) if suffix == "csv" else log()
    parts = [frame[:30], frame[30:31], frame[31:], frame[:0]]
    if suffix != "csv":
        parts[1] = parts[1].cast({"size": pl.Int16}).with_columns(price=pl.lit(None))
    for i, part in enumerate(parts):
        save(f"log/{i}.{suffix}", part)
    given = plan(str(tmp_path / "log"))
    features = dict(given.features)
    if suffix == "csv":
        del features["seen"]
    given = DataPlan(**{**vars(given), "features": features})
    for rows in (1, 13, 500):
        assert_same(in_chunks(given, tmp_path, rows), prepare(given))


def test_no_time_no_user_no_scene_and_stages(
    make_plan: MakePlan, save: Save, tmp_path: Path
) -> None:
    path = save("log.parquet", log())
    for scenes in (None, {"stages": ["one", "two"]}, {"column": "tab", "few": [1]}):
        given = make_plan({"size": "number"}, log=path, scenes=scenes)
        place = tmp_path / str(scenes)[:12]
        place.mkdir()
        for rows in (1, 50):
            assert_same(in_chunks(given, place, rows), prepare(given))


def test_text_times_and_small_counts(make_plan: MakePlan, save: Save, tmp_path: Path) -> None:
    """Whether a count is of seconds is told by the largest of the log, not of a chunk."""
    texts = [f"2026-05-{1 + i // 24:02}T{i % 24:02}:00:00" for i in range(90)]
    for i, times in enumerate(
        (texts, [10 ** (i % 11) for i in range(90)], [i * 2e9 for i in range(90)])
    ):
        frame = pl.DataFrame({"time": times, "size": range(90)})
        given = make_plan(
            {"size": "number"}, log=save(f"{i}.parquet", frame), time="time", valid=0.2
        )
        (tmp_path / str(i)).mkdir()
        for rows in (1, 8):
            assert_same(in_chunks(given, tmp_path / str(i), rows), prepare(given))


# Wrong rows


@pytest.mark.parametrize("rows", [1, 1000])
@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("click", 7, "holds 7 in row 61 "),
        ("weight", -1, "holds -1 in row 61 "),
        ("price", float("inf"), "row 61 is inf"),
    ],
)
def test_the_row_of_a_wrong_value_is_its_row_in_the_log(
    plan: Callable[..., DataPlan],
    save: Save,
    tmp_path: Path,
    rows: int,
    column: str,
    value: Any,
    says: str,
) -> None:
    wrong = pl.when(pl.int_range(pl.len()) == 61).then(value).otherwise(column).alias(column)
    given = plan(save("log.parquet", log().with_columns(wrong)))
    with pytest.raises(DataError, match=says):
        prepare(given)
    with pytest.raises(DataError, match=says):
        in_chunks(given, tmp_path, rows)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.drop("click"),
        lambda frame: frame.drop("time"),
        lambda frame: frame.drop("tab"),
        lambda frame: frame.drop("price"),
        lambda frame: frame.with_columns(home=pl.lit(1)),
        lambda frame: frame.with_columns(user=pl.lit(1)),
        lambda frame: frame.with_columns(price=pl.lit("x")),
        lambda frame: frame.with_columns(time=pl.lit(None, dtype=pl.Int64)),
        lambda frame: frame[:0],
    ],
)
def test_the_same_is_said_of_a_wrong_log(
    plan: Callable[..., DataPlan], save: Save, tmp_path: Path, change: Any
) -> None:
    given = plan(save("log.parquet", change(log())))
    with pytest.raises(DataError) as wanted:
        prepare(given)
    with pytest.raises(DataError) as found:
        in_chunks(given, tmp_path, 50)
    assert str(found.value) == str(wanted.value)


def test_a_broken_file_is_named(plan: Callable[..., DataPlan], save: Save, tmp_path: Path) -> None:
    whole = Path(save("log.parquet", log())).read_bytes()
    for content in (b"", b"nonsense", whole[: len(whole) // 2]):
        given = plan(save("broken/1.parquet", content))
        with pytest.raises(DataError) as wanted:
            prepare(given)
        place = tmp_path / str(len(content))
        place.mkdir()
        with pytest.raises(DataError) as found:
            in_chunks(given, place, 50)
        assert str(found.value) == str(wanted.value)


# What is not exact


def test_a_sample_does_not_depend_on_the_cut(
    plan: Callable[..., DataPlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = plan()
    monkeypatch.setattr(counts.Sample.__init__, "__defaults__", (20,))
    found = [in_chunks(given, tmp_path, rows) for rows in (7, 1000)]
    for other in found[1:]:
        assert_same(other, found[0])
    exact: Any = prepare(given).statistics.learnt
    learnt: Any = found[0].statistics.learnt
    assert learnt["size"].center != exact["size"].center
    assert abs(learnt["size"].center - exact["size"].center) < 3 * exact["size"].deviation / 20**0.5
    assert learnt["price"].flagged


def test_a_gap_that_no_drawn_row_has_is_flagged(
    make_plan: MakePlan, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = pl.DataFrame({"size": [None if i == 50 else i for i in range(100)]})
    given = make_plan({"size": "number"}, log=save("log.parquet", sizes), valid={"fraction": 0.1})
    monkeypatch.setattr(counts.Sample.__init__, "__defaults__", (5,))
    learnt: Any = in_chunks(given, tmp_path, 10).statistics.learnt["size"]
    assert learnt.flagged
    assert learnt.deviation > 1


# Where the setting is written


def test_the_setting_prepares_the_same(
    plan: Callable[..., DataPlan], save: Save, tmp_path: Path
) -> None:
    path = save("log.parquet", log())
    found = prepare(plan(path, memory="1MB"))
    assert_same(found, prepare(plan(path)))
    assert_same(prepare(plan(path, memory=2_000_000)), found)
    assert len(list((tmp_path / "cache" / "trimtab").iterdir())) == 2, "how much is no difference"


def test_a_full_disk_is_told(
    plan: Callable[..., DataPlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.Growing, "add", full)
    with pytest.raises(RunError, match=r"cannot be written: No space left.*TRIMTAB_CACHE"):
        prepare(plan(memory="1MB"))
    assert not list((tmp_path / "cache" / "trimtab").iterdir())


@pytest.mark.parametrize(("given", "wanted"), [("2GB", 2 * 10**9), ("1.5 MB", 1_500_000)])
def test_sizes(given: str, wanted: int) -> None:
    assert DataSettings.model_validate({"memory": given}).memory == wanted


@pytest.mark.parametrize("given", ["2G", "much", 10, "1KB", -1, True])
def test_what_is_no_size(given: Any) -> None:
    with pytest.raises(ValueError, match="memory"):
        DataSettings.model_validate({"memory": given})


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_names_with_the_signs_of_a_glob_are_names(save: Save, tmp_path: Path, suffix: str) -> None:
    log = save(f"log[1]/a*.{suffix}", {"a": [1, 2]})
    place = tmp_path / "cache[1]"
    place.mkdir()
    assert Scan(log, place).head(2)["a"].to_list() == [1, 2]


def test_overlapping_patterns_are_each_file_once(save: Save, tmp_path: Path) -> None:
    parts = [save(f"log/{name}.parquet", {"a": [row]}) for row, name in enumerate("xyz")]
    for source in ([parts[2], f"{tmp_path}/log/*.parquet"], [parts[2], f"{tmp_path}/./log"]):
        assert read(source)["a"].to_list() == [2, 0, 1]
        assert Scan(source, tmp_path).head(9)["a"].to_list() == [2, 0, 1]


def test_keys_are_whole_floats_in_every_chunk_or_refused(save: Save, tmp_path: Path) -> None:
    table = save("users.parquet", {"user": [1, 2], "age": [10, 20]})
    data = DataSettings(join=[{"table": table, "on": "user"}])

    def ages(users: list[float | None]) -> list[int | None]:
        place = tmp_path / str(users)
        log = Log(save("log.parquet", {"user": users}), data, place, 1)
        return [age for frame in log.chunks() for age in frame["age"]]

    assert ages([2.0, None, 1.0]) == [20, None, 10]
    with pytest.raises(DataError, match=r"'user' is Int64 here and Float64 in the log"):
        ages([2.0, None, 1.5])
    assert ages([None, None]) == [None, None]
