"""The times of a log that comes in chunks, and which of its rows they hold out."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.read import require
from trimtab.data.settings import ByColumn, DataSettings, Fraction, InFile, LastSpan, Since
from trimtab.data.split import (
    column_mask,
    fraction_mask,
    instants,
    largest_count,
    last_edge,
    no_time,
    since_edge,
    split_time,
)

Times = NDArray[np.int64]
Mask = NDArray[np.bool_]
Chunks = Callable[[], Iterable[pl.DataFrame]]
"""Goes over a log from its start."""
HeldOut = Callable[[int, pl.DataFrame], Mask]
"""The number of a chunk's first row, and the chunk, to which of its rows are held out."""

WHERE = "data.time"


class Clock:
    """Microseconds since 1970 of each row; what a count counts is told by the largest of the log.

    Attributes
    ----------
    last
        The last time of the log.
    """

    def __init__(self, settings: DataSettings, chunks: Iterable[pl.DataFrame]) -> None:
        self.settings = settings
        self.largest: float | None = None
        self._first: pl.Series | None = None
        missing, ends = 0, []
        for frame in chunks:
            column = self._column(frame)
            column = column.fill_nan(None) if column.dtype.is_float() else column
            missing += column.null_count()
            if not missing and column.dtype.is_numeric():
                self.largest = max(self.largest or 0.0, largest_count(column))
                ends.append(column.max())
            elif not missing:
                ends.append(self.of(frame).max())
        if missing:
            raise no_time(missing, settings.time or "", WHERE)
        last = pl.Series(settings.time, ends)
        self.last = int((last if self.largest is None else self._instants(last)).max())  # type: ignore[arg-type]

    def of(self, frame: pl.DataFrame) -> Times:
        """Return the time of each row of a chunk."""
        return self._instants(self._column(frame)).to_numpy()

    def _column(self, frame: pl.DataFrame) -> pl.Series:
        return require(frame, self.settings.time or "", WHERE)

    def _instants(self, column: pl.Series) -> pl.Series:
        """Read times; of text the log's first one says whether all name a zone."""
        zone, text = self.settings.time_zone, column.dtype == pl.String
        if text:
            self._first = column.head(1) if self._first is None else self._first
            column = pl.concat([self._first, column])
        found = instants(column, WHERE, zone, largest=self.largest)
        return found[1:] if text else found


def held_out(settings: DataSettings, log: Chunks, rows: int, clock: Clock | None) -> HeldOut:
    """Return what says which rows of each chunk of a log are held out."""
    how: Any = settings.valid
    return _SPLITS[type(how)](settings, how, (log, rows), clock)


def _last_span(settings: DataSettings, how: LastSpan, _: Any, clock: Any) -> HeldOut:
    split_time(settings)
    edge = last_edge(how, clock.last)
    return lambda first, frame: clock.of(frame) > edge


def _since(settings: DataSettings, how: Since, _: Any, clock: Any) -> HeldOut:
    split_time(settings)
    edge = since_edge(settings, how)
    return lambda first, frame: clock.of(frame) >= edge


def _fraction(settings: DataSettings, how: Fraction, log: Any, clock: Any) -> HeldOut:
    """Hold all times in memory, and their order, where the share is of the last rows."""
    chunks, rows = log
    by_time = settings.time is not None and not how.random
    times = np.concatenate([clock.of(frame) for frame in chunks()]) if by_time else None
    mask = fraction_mask(how, rows, times)
    return lambda first, frame: mask[first : first + len(frame)]


def _in_file(settings: DataSettings, how: InFile, _: Any, clock: Any) -> HeldOut:
    return lambda first, frame: np.zeros(len(frame), dtype=bool)


def _by_column(settings: DataSettings, how: ByColumn, _: Any, clock: Any) -> HeldOut:
    return lambda first, frame: column_mask(frame, how).to_numpy()


_SPLITS: dict[type, Callable[..., HeldOut]] = {
    LastSpan: _last_span,
    Since: _since,
    Fraction: _fraction,
    InFile: _in_file,
    ByColumn: _by_column,
}
