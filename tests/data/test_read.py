"""Tables in files of several formats, and frames of several libraries, as one Polars frame."""

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from trimtab.data.read import as_frame, files, read, require
from trimtab.errors import DataError

Save = Callable[[str, Any], str]

TABLE = pl.DataFrame(
    {
        "id": [3, 1, None],
        "name": ["ä", None, "z, z"],
        "amount": [0.5, None, -2.0],
        "seen": [True, False, None],
    }
)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.arrow"])
def test_formats_hold_the_same_table(save: Save, name: str) -> None:
    assert_frame_equal(read(save(name, TABLE)), TABLE)


@pytest.mark.parametrize("suffix", [".pq", ".PARQUET"])
def test_parquet_under_other_names(tmp_path: Path, suffix: str) -> None:
    TABLE.write_parquet(tmp_path / f"t{suffix}")
    assert_frame_equal(read(str(tmp_path / f"t{suffix}")), TABLE)


@pytest.mark.parametrize("suffix", [".arrow", ".feather", ".ipc"])
@pytest.mark.parametrize("stream", [False, True])
def test_arrow_files_and_streams(tmp_path: Path, suffix: str, stream: bool) -> None:
    path = tmp_path / f"t{suffix}"
    (TABLE.write_ipc_stream if stream else TABLE.write_ipc)(path)
    assert_frame_equal(read(str(path)), TABLE)


def test_an_arrow_file_of_pyarrow_and_compressed(tmp_path: Path) -> None:
    path = tmp_path / "t.feather"
    TABLE.write_ipc(path, compression="zstd")
    assert_frame_equal(read(str(path)), TABLE)
    table = pa.table({"a": [1, 2], "l": [[1], []]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert read(str(path)).to_dict(as_series=False) == {"a": [1, 2], "l": [[1], []]}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_separator_of_a_csv_is_found(save: Save, separator: str, packed: bool) -> None:
    text = f"a{separator}b{separator}c\n1{separator}x{separator}2.5\n".encode()
    name, content = ("t.csv.gz", gzip.compress(text)) if packed else ("t.csv", text)
    assert read(save(name, content)).to_dicts() == [{"a": 1, "b": "x", "c": 2.5}]


def test_tsv_plain_and_packed(save: Save) -> None:
    assert read(save("t.tsv", "a\tb\n1\tx\n")).rows() == [(1, "x")]
    assert read(save("t.tsv.gz", gzip.compress(b"a\tb\n1\tx\n"))).rows() == [(1, "x")]


def test_separators_inside_quotes_do_not_count(save: Save) -> None:
    table = read(save("t.csv", '"a, b, c";"d"\n"1, 2";"x;y"\n'))
    assert table.to_dicts() == [{"a, b, c": "1, 2", "d": "x;y"}]


def test_a_csv_of_one_column(save: Save) -> None:
    assert read(save("t.csv", "a\n1\n2\n"))["a"].to_list() == [1, 2]


def test_csv_with_byte_order_mark_and_line_ends_of_windows(save: Save) -> None:
    table = read(save("t.csv", '\ufeffid,text\r\n1,one\r\n2,"a\nb"\r\n'))
    assert table.to_dicts() == [{"id": 1, "text": "one"}, {"id": 2, "text": "a\nb"}]


def test_values_that_are_missing_in_the_wild(save: Save) -> None:
    wild = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "\\N"]
    rows = [f"1,{value},{value}" for value in wild]
    table = read(save("t.csv", "\n".join(["k,number,text", "1,2.5,x", *rows]) + "\n"))
    assert table.schema == {"k": pl.Int64, "number": pl.Float64, "text": pl.String}
    assert table["number"].null_count() == table["text"].null_count() == len(wild)


def test_empty_lines_of_a_csv_are_no_rows(save: Save) -> None:
    assert read(save("t.csv", "a,b\n1,2\n\n3,\n\n\n")).rows() == [(1, 2), (3, None)]


def test_a_type_that_changes_late_in_a_csv(save: Save) -> None:
    lines = ["7,1,2022-01-01"] * 5000 + ["x,1.5,late"]
    table = read(save("t.csv", "\n".join(["a,b,c", *lines]) + "\n"))
    assert table.schema == {"a": pl.String, "b": pl.Float64, "c": pl.String}
    assert table.rows()[0] == ("7", 1.0, "2022-01-01")


def test_big_integers_of_a_csv_keep_every_digit(save: Save) -> None:
    big = [18446744073709551615, -9223372036854775809, 5]
    table = read(save("t.csv", "id,b\n" + "".join(f"{i},1\n" for i in big)))
    assert table["id"].to_list() == big


def test_times_of_a_csv_are_times(save: Save) -> None:
    table = read(save("t.csv", "d,t\n2022-05-04,2022-05-04T10:00:00\n,\n1999-01-01,\n"))
    assert table.schema == {"d": pl.Date, "t": pl.Datetime("us")}


def test_text_that_is_not_utf_8_is_read_all_the_same(save: Save) -> None:
    assert read(save("t.csv", "a,b\n1,caf\xe9\n".encode("latin-1")))["a"].to_list() == [1]


def test_a_glob_a_folder_and_a_list_of_files(save: Save, tmp_path: Path) -> None:
    for day in (2, 1, 3):
        save(f"log/day={day}/part.parquet", {"day": [day]})
    save("log/day=1/_SUCCESS", "")
    save("log/day=1/.part.parquet.crc", b"x")
    save("log/_temporary/part.parquet", b"half")
    save("log/.part.parquet", b"half")
    assert read(f"{tmp_path}/log/day=*/part.parquet")["day"].to_list() == [1, 2, 3]
    assert read(f"{tmp_path}/**/day=*/*.parquet")["day"].to_list() == [1, 2, 3]
    assert read(f"{tmp_path}/log")["day"].to_list() == [1, 2, 3]
    third, first = (f"{tmp_path}/log/day={day}/part.parquet" for day in (3, 1))
    assert read([third, first])["day"].to_list() == [3, 1]


def test_a_glob_may_match_folders(save: Save, tmp_path: Path) -> None:
    """As Spark writes them: a folder a table, with the ending of a file."""
    save("day1.parquet/part-0.parquet", {"a": [1]})
    save("day2.parquet/part-0.parquet", {"a": [2]})
    assert read(f"{tmp_path}/*.parquet")["a"].to_list() == [1, 2]
    assert read(str(tmp_path))["a"].to_list() == [1, 2]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".arrow"])
def test_a_name_with_the_signs_of_a_glob_is_a_name(save: Save, suffix: str) -> None:
    assert read(save(f"log[1]{suffix}", {"a": [1]}))["a"].to_list() == [1]


def test_files_may_order_their_columns_each_in_its_way(save: Save) -> None:
    one, two = save("1.csv", "a,b\n1,x\n"), save("2.csv", "b,a\ny,2\n")
    assert read([one, two]).rows() == [(1, "x"), (2, "y")]


def test_files_with_other_columns_are_refused(save: Save) -> None:
    one, two = save("1.csv", "a,b\n1,2\n"), save("2.csv", "a,c\n1,2\n")
    with pytest.raises(DataError, match=r"2\.csv: columns differ from .*1\.csv: b, c"):
        read([one, two])


def test_types_of_several_files_widen(save: Save) -> None:
    small = save("1.parquet", {"n": pl.Series([1], dtype=pl.Int8), "t": ["x"], "z": [None]})
    wide = save("2.parquet", {"n": [2**40], "t": ["y"], "z": [1.5]})
    assert read([small, wide]).rows() == [(1, "x", None), (2**40, "y", 1.5)]
    number, text = save("3.csv", "a,b\n1,2\n"), save("4.csv", "a,b\nx,2\n")
    assert read([number, text])["a"].to_list() == ["1", "x"], "as when they were one file"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1], [date(2022, 1, 1)]),
        ([[1]], ["1,2"]),
        ([datetime(2022, 1, 1)], [1.0]),
        ([True], [datetime(2022, 1, 1)]),
        ([datetime(2022, 1, 1)], [datetime(2022, 1, 1, tzinfo=UTC)]),
    ],
)
def test_types_that_do_not_go_together_are_refused(
    save: Save, one: list[Any], other: list[Any]
) -> None:
    paths = [
        save("0.parquet", {"a": [None]}),
        save("1.parquet", {"a": one}),
        save("2.parquet", {"a": other}),
    ]
    with pytest.raises(DataError, match=r"2\.parquet: column 'a' is .* and .* in .*1\.parquet"):
        read(paths)


def test_a_column_without_values_in_one_file_takes_the_type_of_the_others(save: Save) -> None:
    paths = [save("1.csv", "a,b\n1,\n2,NA\n"), save("2.csv", "a,b\n3,0.5\n")]
    assert read(paths)["b"].to_list() == [None, None, 0.5]
    assert read(paths[::-1])["b"].dtype == pl.Float64


def test_a_file_with_a_header_only_among_others_changes_nothing(save: Save) -> None:
    paths = [save("1.csv", "a,b\n"), save("2.csv", "a,b\n1,2.5\n")]
    assert read(paths).schema == {"a": pl.Int64, "b": pl.Float64}
    assert read(paths[::-1]).rows() == [(1, 2.5)]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", "", "empty"),
        ("t.parquet", "", "empty"),
        ("t.csv", "\n\n", "cannot be read"),
        ("t.csv", "a,b\n", "no rows"),
        ("t.csv", "a,b\n1,2\n1,2,3\n", "cannot be read"),
        ("t.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 999, mtime=0)[:-20], "cannot be read"),
        ("t.csv.gz", b"\x1f\x8b", "cannot be read"),
        ("t.parquet", b"PAR1 and no more", "cannot be read"),
        ("t.parquet", "a,b\n1,2\n", "cannot be read"),
        ("t.arrow", b"ARROW1 and no more", "cannot be read"),
        ("t.arrow", b"no stream either", "cannot be read"),
        ("t.json", "[]", "expected a file ending in"),
        ("t", "a,b\n1,2\n", "expected a file ending in"),
        ("t.txt.gz", "a,b\n1,2\n", "expected a file ending in"),
    ],
)
def test_what_cannot_be_read_is_named(
    save: Save, name: str, content: str | bytes, says: str
) -> None:
    path = save(name, content)
    with pytest.raises(DataError, match=says) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_table_without_rows_is_refused(save: Save) -> None:
    path = save("t.parquet", TABLE.clear())
    with pytest.raises(DataError, match="no rows"):
        read(path)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    table = pl.DataFrame({"a": range(2000), "b": [f"x{i % 7}" for i in range(2000)]})
    (table.write_parquet if suffix == ".parquet" else table.write_ipc)(path)
    whole = path.read_bytes()
    for end in np.random.default_rng(0).integers(1, len(whole), 20):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=f"t{suffix}: cannot be read"):
            read(str(path))


@pytest.mark.parametrize("source", ["nowhere.parquet", "nowhere/*.csv", "nowhere/"])
def test_a_path_that_is_not_there_is_named(tmp_path: Path, source: str) -> None:
    with pytest.raises(DataError, match="nowhere.*no such file"):
        files(f"{tmp_path}/{source}")


def test_one_missing_file_of_a_list_is_named(save: Save, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: no such file"):
        read([save("t.csv", "a\n1\n"), f"{tmp_path}/gone.csv"])


def test_a_folder_without_tables_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="holds no file ending in"):
        read(str(tmp_path))


@pytest.mark.parametrize("source", ["", [], [""]])
def test_an_empty_path_is_not_the_folder_here(
    monkeypatch: pytest.MonkeyPatch, save: Save, tmp_path: Path, source: Any
) -> None:
    save("t.csv", "a\n1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        files(source)


values = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
texts = st.one_of(st.none(), st.text("aä,;\"'\t x.", min_size=1).filter(lambda t: t.strip() == t))


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(), values, texts), min_size=1, max_size=8), cut=st.data()
)
def test_reading_in_parts_is_reading_whole(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, int | None, str | None]],
    cut: st.DataObject,
) -> None:
    schema = {"row": pl.Int64, "number": pl.Int64, "text": pl.String}
    table = pl.DataFrame(
        [(i, number, text) for i, (_, number, text) in enumerate(rows)], schema, orient="row"
    )
    place = cut.draw(st.integers(0, len(table)))
    folder = tmp_path_factory.mktemp("parts")
    table[:place].write_csv(folder / "1.csv")
    table[place:].write_parquet(folder / "2.parquet")
    assert read(str(folder)).rows() == table.rows()


# Frames


def test_frames_of_every_library() -> None:
    columns: dict[str, Any] = {"i": [1, 2], "s": ["a", None]}
    expected = pl.DataFrame(columns)
    for frame in (
        expected,
        expected.lazy(),
        pd.DataFrame(columns),
        pa.table(columns),
        pa.RecordBatch.from_pydict(columns),
        columns,
    ):
        assert_frame_equal(as_frame(frame), expected)


def test_pandas_with_nullable_string_and_category_types() -> None:
    frame = pd.DataFrame(
        {
            "i": pd.array([2**53 + 1, None], dtype="Int64"),
            "b": pd.array([True, None], dtype="boolean"),
            "f": pd.array([1.5, None], dtype="Float64"),
            "s": pd.array(["a", None], dtype="string"),
            "p": pd.array(["a", None], dtype="string[pyarrow]"),
            "o": np.array(["a", None], dtype=object),
            "c": pd.Categorical(["x", None]),
            "t": pd.to_datetime(["2022-01-01", None]),
        },
        index=[7, 3],
    )
    first, second = as_frame(frame).rows()
    assert first == (2**53 + 1, True, 1.5, "a", "a", "a", "x", datetime(2022, 1, 1))
    assert second == (None,) * 8


def test_pandas_columns_of_lists_and_of_numpy_arrays() -> None:
    frame = pd.DataFrame({"l": [[1, 2], None], "n": [np.array([3]), np.array([4, 5])]})
    assert as_frame(frame).rows() == [([1, 2], [3]), (None, [4, 5])]


@pytest.mark.parametrize(
    "thing",
    [
        None,
        5,
        "log.parquet",
        b"abc",
        Path("log.parquet"),
        [1, 2],
        [{"a": 1}],
        {1, 2},
        object(),
        np.zeros((2, 2)),
        pl.DataFrame,
        pa.chunked_array([[1]]),
        pd.Series([1]),
        {"a": [1], "b": [1, 2]},
        pd.DataFrame({"a": [1, "x"]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame({"a": [2**70]}),
        pl.LazyFrame({"a": [1]}).select("b"),
        pl.scan_csv("nowhere.csv"),
    ],
)
def test_what_is_no_table_is_refused(thing: Any) -> None:
    with pytest.raises(DataError) as caught:
        as_frame(thing)
    assert type(thing).__name__ in str(caught.value)


@pytest.mark.parametrize(
    "thing",
    [
        pd.DataFrame({"ok": [1, 2], "wave": [1j, 2j]}),
        pd.DataFrame({"ok": [1, 2], "wave": [{"a": 1}, [1]]}),
        pa.table({"ok": [1], "wave": pa.array([pa.MonthDayNano([1, 2, 3])])}),
        {"ok": [1, 2], "wave": [1, "x"]},
    ],
)
def test_a_column_that_cannot_be_read_is_named(thing: Any) -> None:
    with pytest.raises(DataError, match=r"That is column 'wave'; expected numbers, text, times"):
        as_frame(thing)


def test_pandas_without_pyarrow_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError("No module named 'pyarrow'")

    monkeypatch.setattr(pl, "DataFrame", refuse)
    with pytest.raises(DataError, match="pyarrow"):
        as_frame(pd.DataFrame({"a": [1]}))


@pytest.mark.parametrize("frame", [pl.DataFrame(), TABLE.clear(), pd.DataFrame({"a": []})])
def test_a_frame_without_rows_is_refused(frame: Any) -> None:
    with pytest.raises(DataError, match="no rows"):
        as_frame(frame)


def test_a_missing_column_is_told_with_who_asked_and_the_nearest() -> None:
    with pytest.raises(DataError, match=r"^features\.id: .*no column 'nme'.*'name'"):
        require(TABLE, "nme", "features.id")
    assert require(TABLE, "id", "features.id").to_list() == [3, 1, None]
