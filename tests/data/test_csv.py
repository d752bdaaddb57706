"""CSV files: what a value means in one file it means in every other, in memory and in chunks."""

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from trimtab.data.csv import NONE, IdColumns
from trimtab.data.labels import LabelColumn
from trimtab.data.new_rows import encode_new
from trimtab.data.plan import Base, DataPlan
from trimtab.data.prepare import Prepared, prepare
from trimtab.data.read import read
from trimtab.data.scan import Scan
from trimtab.errors import DataError

Save = Callable[[str, Any], str]
MakePlan = Callable[..., DataPlan]

CLICK = LabelColumn(column="click", where="targets.click", rule="zero_one")
ITEM = IdColumns(single=frozenset({"item"}))


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., pl.DataFrame]:
    """Return a function that reads files in memory and in chunks, which must agree."""

    def both(source: str | list[str], ids: IdColumns = NONE) -> pl.DataFrame:
        whole = read(source, ids)
        folder = tmp_path / f"scan-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        scan = Scan(source, folder, ids)
        empty = [name for name in whole.columns if whole[name].null_count() == len(whole)]
        scan.forget_type(empty)
        assert_frame_equal(pl.concat(scan.chunks(2)), whole)
        return whole

    return both


def lines(*values: str, column: str = "item") -> str:
    return "".join(f"{value}\n" for value in (column, *values))


def log(items: list[str], column: str = "item", separator: str = ",") -> str:
    """Return a log in which each item has a click rate of its own."""
    rows = [f"{item}{separator}{i % 2}" for item in items for i in range(8)]
    return lines(*rows, column=f"{column}{separator}click")


def rows_of(plan: DataPlan, run: Prepared, path: str, feature: str = "item") -> list[int]:
    """Return the table rows of the values of a file to predict, in memory and in chunks."""
    found = []
    for memory in (None, 10**6):
        one = DataPlan(**{**vars(plan), "data": plan.data.model_copy(update={"memory": memory})})
        (columns,) = encode_new(one, run.statistics, path)
        names = columns.names
        if feature in names.ids:
            array = columns.arrays["ids"][:, names.ids.index(feature)]
        else:
            array = columns.arrays[f"values.{names.lists.index(feature)}"]
        found.append(array.tolist())
    assert found[0] == found[1]
    return found[0]


# Ids


@pytest.mark.parametrize(
    "ids",
    [
        ["05080145", "0a1b2c3d", "1e100000", "00000012", "12345678"],
        ["guest", "0001", "0002", "1", "+1", "2"],
        ["1.10", "1.1", "2.3.1", "2"],
        ["true", "false", "unknown"],
        ["true", "false"],
        ["1.5", "1e-05", "inf"],
        ["2024-01-01", "01/02/2024", "late"],
        ["18446744073709551615", "-9223372036854775809", "5"],
    ],
)
@pytest.mark.parametrize("memory", [None, 10**6])
def test_an_id_alone_in_a_file_is_the_one_it_was_trained_as(
    make_plan: MakePlan, save: Save, ids: list[str], memory: int | None
) -> None:
    plan = make_plan(
        {"item": "id"}, {"click": CLICK}, log=save("log.csv", log(ids)), valid=0.05, memory=memory
    )
    run = prepare(plan)
    together = rows_of(plan, run, save("all.csv", lines(*ids)))
    assert sorted(together) == list(range(2, 2 + len(ids)))
    alone = [rows_of(plan, run, save(f"{i}.csv", lines(one)))[0] for i, one in enumerate(ids)]
    assert alone == together


@pytest.mark.parametrize("separator", [",", ";"])
def test_integers_and_whole_floats_of_a_csv_meet_integers_of_parquet(
    make_plan: MakePlan, save: Save, table: Callable[..., pl.DataFrame], separator: str
) -> None:
    frame = {"item": [1, 2, 30] * 4, "click": [0, 1] * 6}
    plan = make_plan(
        {"item": "id"}, {"click": CLICK}, log=save("log.parquet", frame), valid={"fraction": 0.1}
    )
    run = prepare(plan)
    known = rows_of(plan, run, save("ints.csv", lines("1", "2", "30")))
    assert sorted(known) == [2, 3, 4]
    for text in ("1.0,2.0,30.0", "1.0,2,30.00"):
        rows = [f"{value}{separator}x" for value in [*text.split(","), ""]]
        path = save("floats.csv", lines(*rows, column=f"item{separator}z"))
        assert rows_of(plan, run, path) == [*known, 0]
        assert table(path, ITEM).schema["item"] == pl.Int64
    path = save("text.csv", lines("1.0", "2", "30.0", "guest"))
    assert rows_of(plan, run, path) == [*known, 1], "a text beside them changes nothing"


def test_a_decimal_comma_of_a_whole_id(table: Callable[..., pl.DataFrame], save: Save) -> None:
    path = save("t.csv", "item;price\n5,0;1,5\n7,0;2,5\n")
    assert table(path, ITEM).rows() == [(5, 1.5), (7, 2.5)]


def test_zero_padded_ids_of_a_later_day_are_known(make_plan: MakePlan, save: Save) -> None:
    digits = [f"{i:04d}" for i in range(20)]
    first = make_plan(
        {"item": "id"}, {"click": CLICK}, log=save("1.csv", log(["guest", *digits])), valid=0.05
    )
    known = prepare(first).statistics
    plan = make_plan({"item": "id"}, {"click": CLICK}, log=save("2.csv", log(digits)), valid=0.05)
    later = prepare(DataPlan(**{**vars(plan), "base": Base(key="1", statistics=known)}))
    assert later.statistics.tables == known.tables


@pytest.mark.parametrize("separator", [",", "."])
def test_a_list_alone_in_a_file_is_no_decimal(
    make_plan: MakePlan, save: Save, separator: str
) -> None:
    kind = {"item": {"kind": "ids", "separator": separator}}
    cells = [separator.join(values) for values in (["5", "6"], ["5"], ["6", "0"], ["05", "6", "5"])]
    path = save("log.csv", log(cells, separator=";"))
    plan = make_plan(kind, {"click": CLICK}, log=path, valid=0.05)
    run = prepare(plan)
    header = "item;z"
    together = rows_of(plan, run, save("a.csv", lines(*(f"{c};1" for c in cells), column=header)))
    alone = [
        value
        for i, cell in enumerate(cells)
        for value in rows_of(plan, run, save(f"{i}.csv", lines(f"{cell};1", column=header)))
    ]
    assert alone == together
    assert len(set(together)) == 4, "5, 6, 0 and 05"


def test_which_columns_keep_their_text(make_plan: MakePlan) -> None:
    plan = make_plan(
        {
            "item": "id",
            "home": {"kind": "id", "column": "u_home"},
            "tags": {"kind": "ids", "separator": ","},
            "hour": "id",
            "hours": {"kind": "number", "column": "hour"},
            "rated": {"kind": "id", "column": "click"},
            "day": {"kind": "id", "column": "when"},
        },
        {"click": CLICK},
        scenes={"column": "tab", "feed": [1]},
        join=[{"table": "users.csv", "on": "user", "prefix": "u_"}],
        time="when",
        user="person",
    )
    assert plan.ids == IdColumns(
        single=frozenset({"item", "u_home", "tab", "user", "person"}), lists=frozenset({"tags"})
    )
    assert plan.ids.of_table("user", "u_") == IdColumns(single=frozenset({"home", "user"}))


@pytest.mark.parametrize("memory", [None, 10**6])
def test_keys_of_a_side_table_are_text_too(
    make_plan: MakePlan, save: Save, memory: int | None
) -> None:
    users = [f"{i:03d}" for i in range(10)] + ["x"]
    rows = [f"{user},{code}" for user, code in zip(users, [*"0123456789", "10"], strict=True)]
    side = save("users.csv", lines(*rows, column="user,code"))
    plan = make_plan(
        {"c": {"kind": "id", "column": "code"}},
        {"click": CLICK},
        log=save("log.csv", log(users, column="user")),
        join=[{"table": side, "on": "user"}],
        valid=0.05,
        memory=memory,
    )
    run = prepare(plan)
    assert run.statistics.tables == {"c": 2 + 11}
    (row,) = rows_of(plan, run, save("one.csv", lines("007", column="user")), "c")
    together = rows_of(plan, run, save("all.csv", lines(*users, column="user")), "c")
    assert row == together[7]


def test_numbers_beside_ids_are_guessed_as_ever(
    table: Callable[..., pl.DataFrame], save: Save
) -> None:
    path = save("t.csv", "item,price,n\n007,1e-05,3\n12,2.50,4\n")
    assert table(path, ITEM).rows() == [("007", 1e-05, 3), ("12", 2.5, 4)]
    assert table(path).rows() == [(7, 1e-05, 3), (12, 2.5, 4)]


# Times


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("2024-01-12", date(2024, 1, 12)),
        ("2024-01-12T10:00", datetime(2024, 1, 12, 10)),
        ("2024-01-12 10:00:00.25", datetime(2024, 1, 12, 10, 0, 0, 250000)),
        ("2024-01-12T10:00:00Z", datetime(2024, 1, 12, 10, tzinfo=UTC)),
        ("2024-01-12 10:00:00.5+08:00", datetime(2024, 1, 12, 2, 0, 0, 500000, tzinfo=UTC)),
        ("2024-01-12T10:00:00-0330", datetime(2024, 1, 12, 13, 30, tzinfo=UTC)),
        ("10:00:00", time(10)),
        ("01/02/2024", "01/02/2024"),
        ("01-02-2024", "01-02-2024"),
        ("01.02.2024", "01.02.2024"),
        ("2024/01/12", "2024/01/12"),
        ("2024-02-31", "2024-02-31"),
        ("01/02/2024 10:00:00", "01/02/2024 10:00:00"),
    ],
)
def test_only_iso_8601_is_read_as_time(
    table: Callable[..., pl.DataFrame], save: Save, written: str, read_as: Any
) -> None:
    path = save("t.csv", f"t,x\n{written},1\n,2\n")
    assert table(path)["t"].to_list() == [read_as, None]


@pytest.mark.parametrize("memory", [None, 10**6])
@pytest.mark.parametrize("late", [False, True])
def test_days_that_may_be_months_are_refused(
    make_plan: MakePlan, save: Save, memory: int | None, late: bool
) -> None:
    days = [f"2024-01-{d:02d}" for d in range(1, 28)] * 50 * late
    days += [f"01/{d:02d}/2024" for d in range(1, 13)]
    path = save("us.csv", lines(*(f"a,{day},1" for day in days), column="item,time,click"))
    plan = make_plan(
        {"item": "id"}, {"click": CLICK}, log=path, time="time", valid="3d", memory=memory
    )
    with pytest.raises(DataError, match=r"data\.time: 'time' holds text such as '01/01/2024'"):
        prepare(plan)


@pytest.mark.parametrize("memory", [None, 10**6])
def test_all_times_of_a_log_name_a_zone_or_none_does(
    make_plan: MakePlan, save: Save, memory: int | None
) -> None:
    """In chunks too, each of which is alike in itself."""
    times = ["2024-01-01T10:00:00Z"] * 5000 + ["2024-01-02T10:00:00"] * 5000
    path = save("log.csv", lines(*(f"a,{time},1" for time in times), column="item,time,click"))
    plan = make_plan(
        {"item": "id"}, {"click": CLICK}, log=path, time="time", valid=0.1, memory=memory
    )
    with pytest.raises(DataError, match="such as '2024-01-02T10:00:00'"):
        prepare(plan)


# Lines


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_row_without_values_is_a_row_and_a_blank_line_is_none(
    table: Callable[..., pl.DataFrame], save: Save, end: str, packed: bool
) -> None:
    for rows, wanted in (
        (["item", "3", "NA", "", '""', "5", "", ""], [(3,), (None,), (None,), (5,)]),
        (
            ["", "a,b", "1,2", "", ",", "NA,", "", "3,"],
            [(1, 2), (None, None), (None, None), (3, None)],
        ),
        (["a,b", '1,"x', "", 'y"', ",", ""], [(1, f"x{end}{end}y"), (None, None)]),
        (["item", "3", "NA", "5"], [(3,), (None,), (5,)]),
    ):
        text = end.join(rows).encode()
        path = save("t.csv.gz", gzip.compress(text)) if packed else save("t.csv", text)
        assert table(path).rows() == wanted
        assert table(path, ITEM).rows() == wanted


def test_blank_lines_where_blocks_of_the_file_meet(
    table: Callable[..., pl.DataFrame], save: Save
) -> None:
    for end in ("\n", "\r\n"):
        for short in range(4):
            row = "x" * ((1 << 20) - len(f"a{end}") - len(end) - short)
            path = save("t.csv", f"a{end}{row}{end}{end}y{end}")
            assert table(path)["a"].to_list() == [row, "y"]


cells = st.sampled_from(["", "1", "007", "NA", '""', '"x\n\ny"', '"a""b"', '"q,r"', "2024-01-01"])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.none() | st.tuples(cells, cells), min_size=1, max_size=6),
    keeps=st.booleans(),
)
def test_every_line_but_blank_ones_is_a_row_in_memory_and_in_chunks(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str] | None], keeps: bool
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    text = "\n".join(["item,b", *("" if row is None else ",".join(row) for row in rows), "1,1"])
    (folder / "t.csv").write_text(text + "\n")
    ids = ITEM if keeps else NONE
    whole = read(str(folder / "t.csv"), ids)
    assert len(whole) == len([row for row in rows if row is not None]) + 1
    (folder / "work").mkdir()
    chunks = Scan(str(folder / "t.csv"), folder / "work", ids).chunks(2)
    assert_frame_equal(pl.concat(chunks), whole, check_dtypes=False)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_another_encoding_is_told(tmp_path: Path, encoding: str) -> None:
    place = tmp_path / "t.csv"
    place.write_bytes("stop,click\n1,0\n".encode(encoding))
    (tmp_path / "work").mkdir()
    says = "t.csv: expected text in UTF-8, found UTF-16; save it as UTF-8."
    with pytest.raises(DataError, match=says):
        read(str(place))
    with pytest.raises(DataError, match=says):
        Scan(str(place), tmp_path / "work")
