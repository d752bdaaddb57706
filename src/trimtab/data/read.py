"""Logs and side tables, as files or frames, to one Polars frame."""

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from trimtab.data.csv import NONE, IdColumns, read_csv
from trimtab.errors import DataError, nearest

Table = TypeVar("Table")


def scan_parquet(*paths: Path) -> pl.LazyFrame:
    """Return the rows of Parquet files of one schema, not read yet."""
    return pl.scan_parquet(list(paths), hive_partitioning=False, glob=False)


def _parquet(path: Path) -> pl.DataFrame:
    return scan_parquet(path).collect()


def _arrow(path: Path) -> pl.DataFrame:
    with path.open("rb") as file:
        stream = file.read(6) != b"ARROW1"
    with path.open("rb") as file:
        return pl.read_ipc_stream(file) if stream else pl.read_ipc(file)


_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": _parquet,
    ".pq": _parquet,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".csv.gz": read_csv,
    ".tsv.gz": read_csv,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".ipc": _arrow,
}


def files(source: str | Sequence[str]) -> list[Path]:
    """Return the files that ``source`` stands for, each once, sorted within each pattern.

    Raises
    ------
    DataError
        When a path, pattern or folder holds no file that can be read.
    """
    sources = [source] if isinstance(source, str) else list(source)
    found: dict[str, Path] = {}
    for path in (path for one in sources for path in _expand(one)):
        found.setdefault(os.path.realpath(path), path)
    if not found:
        raise DataError("data.log: no files are named; expected a file, folder or pattern.")
    return list(found.values())


def _expand(source: str) -> list[Path]:
    if not source:
        raise DataError("an empty path is named; expected a file, folder or pattern.")
    path = Path(source)
    if os.path.exists(path):  # Where a name is too long, Path.exists raises.
        return _inside(path) if path.is_dir() else [path]
    matches = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
    if not matches:
        raise DataError(f"{source}: no such file, folder or pattern with matches.")
    folders = [match for match in matches if match.is_dir()]
    return sorted({*matches} - {*folders} | {file for one in folders for file in _inside(one)})


def _inside(folder: Path) -> list[Path]:
    """Return the files in a folder and below it; names starting with ``.`` or ``_`` are no data."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and suffix(path) in _READERS
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise DataError(f"{folder}: the folder holds no file ending in {', '.join(_READERS)}.")
    return found


def suffix(path: Path) -> str:
    """Return how a file's name ends, both ends of ``.csv.gz``."""
    last = path.suffix.lower()
    return (Path(path.stem).suffix.lower() + last) if last == ".gz" else last


def read(source: str | Sequence[str], ids: IdColumns = NONE) -> pl.DataFrame:
    """Read one table from a file, a glob, a folder, or a list of them.

    Raises
    ------
    DataError
        When a file is missing, empty, cut short, of an unknown format, or when the files of one
        table do not have the same columns.
    """
    paths = files(source)
    together = _side_by_side(paths)
    if together is not None:
        return _untyped(together)
    readers = dict(_READERS)
    readers |= {end: partial(read_csv, ids=ids) for end in readers if readers[end] is read_csv}
    frames = {path: read_one(path, readers) for path in paths}
    filled = with_rows(
        {path: frame.columns for path, frame in frames.items()},
        {path: len(frame) for path, frame in frames.items()},
    )
    return concatenate({path: _untyped(frames[path]) for path in filled})


def _side_by_side(paths: Sequence[Path]) -> pl.DataFrame | None:
    """Read Parquet files of one schema in one scan; None where they are not, or one is broken."""
    if len(paths) < 2 or any(_READERS.get(suffix(path)) is not _parquet for path in paths):
        return None
    with suppress(*_BROKEN):
        first, *others = (list(scan_parquet(path).collect_schema().items()) for path in paths)
        if all(other == first for other in others):
            frame = scan_parquet(*paths).collect()
            return None if frame.is_empty() else frame
    return None


def with_rows(columns: Mapping[Path, Sequence[str]], rows: Mapping[Path, int]) -> list[Path]:
    """Return the files with rows; raise ``DataError`` where columns differ or no file has any."""
    first, *others = columns
    for path in others:
        odd = set(columns[path]) ^ set(columns[first])
        if odd:
            raise DataError(
                f"{path}: columns differ from {first}: {', '.join(sorted(odd))} "
                "is in only one of them. Files of one table have the same columns."
            )
    filled = [path for path in columns if rows[path]]
    if not filled:
        raise DataError(f"{first}: the table has no rows.")
    return filled


def _untyped(frame: pl.DataFrame) -> pl.DataFrame:
    """Take the type from columns without a value, which is only a reader's guess."""
    missing = [name for name in frame.columns if frame[name].null_count() == len(frame)]
    return frame.with_columns(pl.col(missing).cast(pl.Null))


def concatenate(frames: dict[Path, pl.DataFrame]) -> pl.DataFrame:
    """Put files of the same columns under one another; numbers widen, and text wins over all."""
    columns = next(iter(frames.values())).columns
    for column in columns:
        seen: dict[pl.DataType, Path] = {}
        for path, frame in frames.items():
            dtype = frame.schema[column]
            for other, place in seen.items():
                if not _go_together(dtype, other):
                    raise DataError(
                        f"{path}: column {column!r} is {dtype} here and {other} in {place}. "
                        "Files of one table have the same columns, of the same types."
                    )
            seen.setdefault(dtype, path)
    return pl.concat([f.select(columns) for f in frames.values()], how="vertical_relaxed")


def _go_together(one: pl.DataType, other: pl.DataType) -> bool:
    """Say whether one type holds both: not the counts behind times, nor lists among text."""
    if one == other or pl.Null in (one, other):
        return True
    mixed_times = one.is_temporal() != other.is_temporal() and pl.String not in (one, other)
    if mixed_times or one.is_nested() != other.is_nested():
        return False
    parts = [pl.DataFrame(schema={"": dtype}) for dtype in (one, other)]
    try:
        pl.concat(parts, how="vertical_relaxed")
    except pl.exceptions.PolarsError:
        return False
    return True


_BROKEN = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    OSError,
    EOFError,
    ValueError,
)
"""What Polars raises for a broken file."""


def read_one(path: Path, readers: Mapping[str, Callable[[Path], Table]]) -> Table:
    """Read a file by the reader of its name's end; raise ``DataError`` where it cannot be read."""
    reader = readers.get(suffix(path))
    if reader is None:
        raise DataError(f"{path}: expected a file ending in {', '.join(readers)}.")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty.")
    with readable(path):
        return reader(path)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what Polars raises for a broken file into a ``DataError`` that names it."""
    try:
        yield
    except _BROKEN as error:
        raise DataError(
            f"{path}: cannot be read as {suffix(path)[1:]}: {_first_line(error)}. "
            "Is the file cut short, or of another format than its name says?"
        ) from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(". ")


_PROTOCOLS = ("__arrow_c_stream__", "__arrow_c_array__", "__dataframe__")
"""What tables of other libraries have, one or another."""

_UNREADABLE = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    ImportError,
    NotImplementedError,
    OSError,
    OverflowError,
    TypeError,
    ValueError,
)


def as_frame(data: Any, *, empty: bool = False) -> pl.DataFrame:
    """Turn a Polars, pandas or Arrow table into a Polars frame, without copying where possible.

    Parameters
    ----------
    empty
        Whether it may have no rows.

    Raises
    ------
    DataError
        When ``data`` is none of these, nor a dictionary of columns, or has no rows.
    """
    if not (isinstance(data, pl.LazyFrame | Mapping) or any(hasattr(data, p) for p in _PROTOCOLS)):
        raise DataError(
            f"expected a Polars, pandas or Arrow table, found {type(data).__name__}: {data!r:.60}"
        )
    try:
        frame = data.collect() if isinstance(data, pl.LazyFrame) else pl.DataFrame(data)
    except _UNREADABLE as error:
        raise DataError(
            f"the {type(data).__name__} cannot be read as a table: {_first_line(error)}."
            + _blamed(data)
        ) from None
    if frame.is_empty() and not empty:
        raise DataError("the frame has no rows.")
    return frame


def _blamed(data: Any) -> str:
    """Name the columns that cannot be read, where others can."""
    wrong, names = [], _names(data)
    for name in names:
        try:
            pl.DataFrame({str(name): data[name]})
        except _UNREADABLE:
            wrong.append(repr(name))
    if not 0 < len(wrong) < len(names):
        return ""
    columns = "column " if len(wrong) == 1 else "columns "
    return (
        f" That is {columns}{', '.join(wrong)}; expected numbers, text, times or lists of them. "
        "Drop what nothing reads."
    )


def _names(data: Any) -> list[Any]:
    """Return the columns of a dictionary or a pandas or Arrow table, where no two are named alike.

    Of a query that failed, and of a class given by mistake, there are none.
    """
    if isinstance(data, pl.LazyFrame | type):
        return []
    if isinstance(data, Mapping):
        return list(data)
    names = getattr(getattr(data, "schema", None), "names", None)
    names = list(getattr(data, "columns", ()) if names is None else names)
    return names if len({*names}) == len(names) else []


def require(frame: pl.DataFrame, column: str, where: str) -> pl.Series:
    """Return a column, or raise ``DataError`` that says who asked and what is near.

    Parameters
    ----------
    where
        The key of the run file that names the column, such as ``targets.click.column``.
    """
    if column not in frame.columns:
        raise DataError(
            f"{where}: the data has no column {column!r}. {nearest(column, frame.columns)}"
        )
    return frame[column]
