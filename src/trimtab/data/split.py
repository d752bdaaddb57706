"""Which rows train and which are held out."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data import iso
from trimtab.data.csv import NONE, IdColumns
from trimtab.data.read import read, require
from trimtab.data.settings import ByColumn, DataSettings, Fraction, InFile, LastSpan, Since
from trimtab.data.spelling import spell, spelled
from trimtab.errors import DataError

_PER_SECOND = ((1e17, 10**9), (1e14, 10**6), (1e11, 10**3), (0.0, 1))
"""Counts since 1970 above the first number are in units of which the second make a second."""


def instants(
    column: pl.Series, where: str, time_zone: str = "UTC", *, largest: float | None = None
) -> pl.Series:
    """Return a time column as microseconds since 1970 (Int64).

    Integers count seconds, milliseconds, microseconds or nanoseconds, told by their size. Text is
    read as ISO 8601; times without a zone are in ``time_zone``.

    Parameters
    ----------
    largest
        The largest count of the whole log, where the column is a part of it.

    Raises
    ------
    DataError
        When a time is missing or does not exist, or the column is of no type that says a time.
    """
    _place(pl.Series([0]).cast(pl.Datetime("us")), where, time_zone)  # Is there such a zone?
    if column.dtype.is_float():
        column = column.fill_nan(None)
    if column.null_count():
        raise no_time(column.null_count(), column.name, where)
    if column.dtype == pl.String:
        column = _parse(column, where)
    if column.dtype.is_numeric():
        return _count(column, where, largest)
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if column.dtype != pl.Datetime:
        raise DataError(f"{where}: {column.name!r} is {column.dtype}; expected a time.")
    if getattr(column.dtype, "time_zone", None) is None:
        column = _place(column, where, time_zone)
    return column.dt.timestamp("us")


def no_time(rows: int, column: str, where: str) -> DataError:
    """Return the error of rows without a time."""
    return DataError(f"{where}: {rows:,} rows have no time in {column!r}.")


def largest_count(column: pl.Series) -> float:
    """Return the largest count, by which its unit is told."""
    return max(abs(float(column.max())), abs(float(column.min())))  # type: ignore[arg-type]


def _count(column: pl.Series, where: str, largest: float | None) -> pl.Series:
    """Turn counts since 1970 into microseconds, exactly where they are integers."""
    largest = largest_count(column) if largest is None else largest
    if not largest < 2**63:
        raise DataError(f"{where}: {column.name!r} holds {largest:g}; expected a time.")
    unit = next(unit for least, unit in _PER_SECOND if largest >= least)
    if not column.dtype.is_integer():
        return (column.cast(pl.Float64) * (10**6 / unit)).cast(pl.Int64)
    count = column.cast(pl.Int64)
    return count * (10**6 // unit) if unit <= 10**6 else count // (unit // 10**6)


def _place(column: pl.Series, where: str, time_zone: str) -> pl.Series:
    """Put times that name no zone in ``time_zone``; the first of two where a clock goes back."""
    try:
        placed = column.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    except pl.exceptions.PolarsError:
        raise DataError(
            f"data.time_zone: no zone {time_zone!r}; expected a name such as 'Asia/Shanghai'."
        ) from None
    skipped = column.filter(placed.is_null())
    if len(skipped):
        raise DataError(
            f"{where}: {len(skipped):,} times such as {skipped[0]} do not exist in {time_zone}, "
            "where a clock went forward. Is data.time_zone the zone in which they were written?"
        )
    return placed


def _parse(column: pl.Series, where: str) -> pl.Series:
    times = iso.times(column)
    wrong = column.filter(times.is_null())
    if len(wrong):
        raise DataError(
            f"{where}: {column.name!r} holds text such as {wrong[0]!r}; expected ISO 8601 times. "
            "Write them as 2026-05-04 or 2026-05-04T16:00:00, all with a zone (+08:00) or none."
        )
    return times


def split(
    frame: pl.DataFrame,
    settings: DataSettings,
    extend: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame,
    *,
    ids: IdColumns = NONE,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the training rows and the valid rows, each in the log's order.

    Parameters
    ----------
    extend
        What was done to the log before (joins), to be done to a valid file too.
    ids
        Columns of a valid file that keep their text.

    Raises
    ------
    DataError
        When either side would be empty, or the split needs a time that the run file does not name.
    """
    how: Any = settings.valid
    train, valid = _SPLITS[type(how)](frame, settings, how, lambda file: extend(read(file, ids)))
    require_rows(settings, len(train), len(valid), of=len(frame))
    return train, valid


def require_rows(settings: DataSettings, train: int, valid: int, *, of: int) -> None:
    """Raise ``DataError`` where either side is empty."""
    how = settings.valid
    for name, rows in (("training", train), ("valid", valid)):
        if rows == 0:
            given = {key: getattr(how, key) for key in how.model_fields_set}
            said = ", ".join(f"{key} = {_in_words(value)}" for key, value in given.items())
            raise DataError(
                f"data.valid: {said} leaves no {name} rows of {of:,}; "
                f"hold out {'less' if name == 'training' else 'more'}."
            )


def _in_words(value: Any) -> str:
    """Spell a setting of the split, as its type asks."""
    return _SPELLED.get(type(value), str)(value)


def _stretch(span: timedelta) -> str:
    """Spell a stretch of time in the largest unit that it is a multiple of: ``60 days``."""
    seconds = span.total_seconds()
    unit, length = next(one for one in _UNITS.items() if seconds % one[1] == 0 or one[1] == 1)
    return f"{seconds / length:,.12g} {unit}" + ("" if seconds == length else "s")


_UNITS = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}
_SPELLED: dict[type, Callable[[Any], str]] = {timedelta: _stretch}


def _times(frame: pl.DataFrame, settings: DataSettings) -> pl.Series:
    column = require(frame, split_time(settings), "data.time")
    return instants(column, "data.time", settings.time_zone)


def split_time(settings: DataSettings) -> str:
    """Return the column with the time; ``DataError`` where the run file names none."""
    if settings.time is None:
        raise DataError("data.valid: a split by time needs data.time, the column with the time.")
    return settings.time


def _by_mask(frame: pl.DataFrame, held_out: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    return frame.filter(~held_out), frame.filter(held_out)


def _last_span(frame: pl.DataFrame, settings: DataSettings, how: LastSpan, _: Any) -> Any:
    times = _times(frame, settings)
    return _by_mask(frame, times > last_edge(how, int(times.max())))  # type: ignore[arg-type]


def last_edge(how: LastSpan, last: int) -> int:
    """Return the instant after which rows are held out, where the log's last one is ``last``."""
    return last - int(how.last.total_seconds() * 1e6)


def _since(frame: pl.DataFrame, settings: DataSettings, how: Since, _: Any) -> Any:
    return _by_mask(frame, _times(frame, settings) >= since_edge(settings, how))


def since_edge(settings: DataSettings, how: Since) -> int:
    """Return the instant from which on rows are held out."""
    since = pl.Series("since", [how.since])
    return int(instants(since, "data.valid", settings.time_zone)[0])


def _fraction(frame: pl.DataFrame, settings: DataSettings, how: Fraction, _: Any) -> Any:
    by_time = settings.time is not None and not how.random
    times = _times(frame, settings).to_numpy() if by_time else None
    return _by_mask(frame, pl.Series(fraction_mask(how, len(frame), times)))


def fraction_mask(how: Fraction, rows: int, times: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """Return which rows are held out: the last ones by time, drawn by the seed without times."""
    if times is None:
        order = np.random.default_rng(how.seed).permutation(rows)
    else:
        order = np.argsort(times, kind="stable")
    mask = np.zeros(rows, dtype=bool)
    mask[order[rows - round(rows * how.fraction) :]] = True
    return mask


def _in_file(frame: pl.DataFrame, _: DataSettings, how: InFile, opened: Any) -> Any:
    return frame, opened(how.file)


def _by_column(frame: pl.DataFrame, _: DataSettings, how: ByColumn, __: Any) -> Any:
    return _by_mask(frame, column_mask(frame, how))


def column_mask(frame: pl.DataFrame, how: ByColumn) -> pl.Series:
    """Return which rows have one of the values that are held out."""
    column = spelled(require(frame, how.column, "data.valid.column"), "data.valid.column")
    return column.is_in([spell(value) for value in how.values]).fill_null(False)


_SPLITS: dict[type, Callable[..., tuple[pl.DataFrame, pl.DataFrame]]] = {
    LastSpan: _last_span,
    Since: _since,
    Fraction: _fraction,
    InFile: _in_file,
    ByColumn: _by_column,
}
