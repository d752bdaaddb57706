"""What is learnt of columns that come in chunks: how often values stand, and a sample of rows."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.vocabulary import canonical

SAMPLE = 1 << 18
"""Training rows that quantiles, means and deviations are learnt from, where there are more."""


class Counts:
    """In how many rows each value stands, exactly."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []

    def add(self, column: pl.Series) -> None:
        """Count the next values; a text among integers makes all of them text, as in one column."""
        values = canonical(column).drop_nulls().alias("value")
        self._parts.append(values.value_counts(name="rows"))
        merged, *others = self._parts
        if sum(map(len, others)) > len(merged):  # Each value is merged a few times, not once each.
            self._merge()

    def table(self) -> pl.DataFrame:
        """Return each ``value`` and its ``rows``."""
        return self._merge()

    def _merge(self) -> pl.DataFrame:
        if len({part.schema["value"] for part in self._parts}) > 1:
            self._parts = [part.cast({"value": pl.String}) for part in self._parts]
        together = pl.concat(self._parts)
        self._parts = [together.group_by("value").agg(pl.col("rows").sum())]
        return self._parts[0]


class Groups:
    """A number a distinct value, in their order; 0 for none."""

    def __init__(self) -> None:
        self._values: pl.Series | None = None

    def add(self, column: pl.Series) -> None:
        """Note the next values."""
        column = _present(column).alias("value").unique()
        together = column if self._values is None else pl.concat([self._values, column]).unique()
        self._values = together

    def encode(self, column: pl.Series) -> NDArray[np.int64]:
        """Return the number of every value, each of which was noted."""
        assert self._values is not None
        numbers = self._values.rank("dense").cast(pl.Int64).alias("number")
        table = pl.DataFrame([self._values, numbers])
        frame = _present(column).alias("value").to_frame()
        found = frame.join(table, on="value", how="left", maintain_order="left")["number"]
        return found.fill_null(0).to_numpy()


def alone(numbers: NDArray[np.int64], first: int = 0) -> NDArray[np.int64]:
    """Return the same with a number of its own, below 0, for each row that has 0.

    Parameters
    ----------
    first
        Place of the first row among all.
    """
    return np.where(numbers == 0, -1 - np.arange(first, first + len(numbers)), numbers)


def _present(column: pl.Series) -> pl.Series:
    return column.fill_nan(None) if column.dtype.is_float() else column


class Sample:
    """At most ``SAMPLE`` rows, drawn by their number in the log: the same however it is cut."""

    def __init__(self, most: int = SAMPLE) -> None:
        self.most = most
        self._below = np.uint64(2**64 - 1)
        self._frame: pl.DataFrame | None = None

    def add(self, frame: pl.DataFrame, rows: NDArray[np.int64]) -> None:
        """Draw from the next rows, whose numbers are ``rows``."""
        chance = _mixed(rows)
        drawn = frame.with_columns(pl.Series("", chance)).filter(chance <= self._below)
        self._frame = drawn if self._frame is None else pl.concat([self._frame, drawn])
        if len(self._frame) > 2 * self.most:
            self._cut()

    def rows(self) -> pl.DataFrame:
        """Return the rows drawn, in their order."""
        assert self._frame is not None
        self._cut()
        return self._frame.drop("")

    def _cut(self) -> None:
        assert self._frame is not None
        if len(self._frame) > self.most:
            chance = self._frame[""].to_numpy()
            self._below = np.partition(chance, self.most - 1)[self.most - 1]
            self._frame = self._frame.filter(chance <= self._below)


def _mixed(rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return 64 bits a row that look drawn at random (SplitMix64, Steele et al., 2014)."""
    x = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
