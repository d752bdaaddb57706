"""Which columns name the user, the item and the time of a row, and which rows to hold out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from trimtab.config.guess.column import Column, mean
from trimtab.config.guess.line import Line, share
from trimtab.config.guess.names import (
    ITEMS,
    OTHER_TIMES,
    SESSIONS,
    TIMES,
    USERS,
    is_behaviour,
    place,
)
from trimtab.data.split import instants
from trimtab.errors import DataError

_DAY = 86_400e6
_EPOCHS = ((3e8, 5e9), (3e11, 5e12), (3e14, 5e15), (3e17, 5e18))
"""Ranges of instants since 1970 (from 1979 to 2128) in s, ms, us and ns."""
_TIME_WORDS = {"time", "timestamp", "ts", "date", "datetime"}
_COUNTERS = ("timestamp", "ts", "eventtime", "timestep")
"""Names of columns whose whole numbers order the rows although they count from no known time."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The columns with a role, None where there is none.

    Attributes
    ----------
    when
        Instants of all rows, in microseconds, where there is a time column.
    day
        A column of days that no reader of times understands; only its last values can be held out.
    """

    user: str | None
    item: str | None
    time: str | None
    when: pl.Series | None
    day: str | None
    problem: str = ""


def find_keys(columns: Mapping[str, Column]) -> Keys:
    """Find the columns with a role among those that are no targets."""
    time, when, problem = _time(columns)
    user = _named(columns, USERS) or _grouping(columns)
    return Keys(
        user=user,
        item=_named({n: c for n, c in columns.items() if n != user}, ITEMS),
        time=time,
        when=when,
        day=None if time else _day(columns),
        problem=problem,
    )


def _named(columns: Mapping[str, Column], known: Sequence[str]) -> str | None:
    """Return the column whose name stands first in a list and whose values can be a key."""
    ranked = [
        (rank, name)
        for name, column in columns.items()
        if (rank := place(column.words, known)) is not None and _is_key(column)
    ]
    return min(ranked)[1] if ranked else None


def _is_key(column: Column) -> bool:
    plain = (column.text or column.whole) and not column.zero_one and not column.single
    return plain and not column.unique


def _grouping(columns: Mapping[str, Column]) -> str | None:
    """Return a session or request in place of a user, where it has several rows."""
    return _named(columns, SESSIONS)


def _time(columns: Mapping[str, Column]) -> tuple[str | None, pl.Series | None, str]:
    """Return the best time column with its instants, and why a better named one was refused."""
    problem = ""
    for _, name in sorted(_time_candidates(columns)):
        column = columns[name]
        if not _says_a_time(column):
            continue
        try:
            when = instants(column.values, "data.time")
        except (DataError, pl.exceptions.PolarsError):
            if column.missing:
                problem = f"{name!r} is missing in {share(column.missing)} of the rows"
            continue
        if not when.null_count():
            return name, when, ""
    return None, None, problem


def _time_candidates(columns: Mapping[str, Column]) -> list[tuple[int, str]]:
    found = []
    for name, column in columns.items():
        parts = set(column.words)
        if column.single or parts & OTHER_TIMES or is_behaviour(column.words):
            continue
        rank = place(column.words, TIMES)
        if rank is None and (column.dated or parts & _TIME_WORDS):
            rank = len(TIMES) + (not column.dated)
        if rank is not None:
            found.append((rank, name))
    return found


def _says_a_time(column: Column) -> bool:
    if column.dated:
        return True
    if column.numeric:
        low, high = column.ends
        if place(column.words, _COUNTERS) is not None and column.whole and column.distinct > 1000:
            return low >= 0
        return any(least <= low and high < most for least, most in _EPOCHS)
    return column.values.dtype == pl.String


def _day(columns: Mapping[str, Column]) -> str | None:
    """Return a column of days or hours written as numbers or text, such as 20240131."""
    ranked = [
        (rank, name)
        for name, column in columns.items()
        if (rank := place(column.words, TIMES)) is not None
        and (column.values.dtype.is_integer() or column.text)
        and not column.missing
        and 5 <= column.distinct <= 1000
        and column.instants is not None
    ]
    return min(ranked)[1] if ranked else None


def held_out(keys: Keys, columns: Mapping[str, Column]) -> Line:
    """Return the key ``valid``."""
    if keys.when is not None:
        return _last_rows(keys.when, columns[keys.time or ""])
    if keys.day is not None:
        return _last_days(columns[keys.day])
    return Line(
        name="valid",
        value=0.1,
        comment="a tenth of the rows, drawn at random: " + (keys.problem or "the log has no time"),
    )


def _last_rows(when: pl.Series, column: Column) -> Line:
    end = int(when.max())  # type: ignore[arg-type]
    span = (end - int(when.min())) / _DAY  # type: ignore[arg-type]
    choices = [1] if span < 10 else sorted({math.floor(span / 8), math.ceil(span / 8)})
    parts = {days: mean(when > end - days * _DAY) for days in choices}
    days, part = min(parts.items(), key=lambda choice: abs(choice[1] - 0.125))
    real = column.dated or column.text or int(when.min()) > 3e14  # type: ignore[arg-type]
    if real and span > 4 and 0.02 <= part <= 0.5:
        length = f"the last {days} days" if days > 1 else "the last day"
        comment = f"{length} of {span:.0f}: {share(part)} of the rows"
        return Line(name="valid", value=f"{days}d", comment=comment)
    about = f"a span of {span:.1f} days" if real else "it counts from no known day"
    return Line(name="valid", value=0.1, comment=f"the last tenth of the rows ({about})")


def _last_days(column: Column) -> Line:
    """Hold out the last values of a column of days, at least a tenth of the rows."""
    days = pl.DataFrame({"value": column.sample, "at": column.instants})
    days = days.drop_nulls().group_by("value").agg(pl.col("at").first(), rows=pl.len())
    days = days.sort("at", descending=True)
    reached = np.cumsum(days["rows"].to_numpy()) / len(column.sample)
    last: list[Any] = days["value"].head(int(np.searchsorted(reached, 0.1)) + 1).to_list()
    return Line(
        name="valid",
        value={"column": column.name, "values": last[::-1]},
        comment=f"the last of {len(days)}: {share(float(reached[len(last) - 1]))} of the rows",
    )
