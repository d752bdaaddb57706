"""One column of a log: facts about its values, counted once and only when asked for."""

from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.config.guess.names import words
from trimtab.data.labels import WORDS

SAMPLE = 200_000
"""Rows that values are counted in; what a column can hold is read over all of them."""
_SEPARATORS = ("|", ";", ",", "^", "#", " ")
_DAYS = ("%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y")
_HOURS = ("%Y%m%d%H", "%y%m%d%H")


class Column:
    """A column and what it holds; NaN counts as missing."""

    def __init__(self, values: pl.Series, picks: NDArray[np.int64] | None = None) -> None:
        if isinstance(values.dtype, pl.Decimal):
            values = values.cast(pl.Float64)
        if values.dtype.is_float():
            values = values.fill_nan(None)
        self.name = values.name
        self.words = words(values.name)
        self.values = values
        self.picks = picks
        self.sample = self.pick(values)

    def pick(self, rows: pl.Series) -> pl.Series:
        """Return the sample's rows of something that every row has."""
        return rows if self.picks is None else rows.gather(self.picks)

    @cached_property
    def missing(self) -> float:
        """Share of rows without a value."""
        return self.values.null_count() / len(self.values)

    @cached_property
    def listed(self) -> bool:
        """Whether each row holds a list of plain values."""
        dtype: Any = self.values.dtype
        return isinstance(dtype, pl.List | pl.Array) and not (
            dtype.inner.is_nested() or dtype.inner in (pl.Object, pl.Binary, pl.Null)
        )

    @cached_property
    def opaque(self) -> bool:
        """Whether no kind of feature can hold the values."""
        dtype = self.values.dtype
        return dtype in (pl.Object, pl.Binary) or (dtype.is_nested() and not self.listed)

    @cached_property
    def text(self) -> bool:
        """Whether the values are text."""
        return self.values.dtype in (pl.String, pl.Categorical, pl.Enum)

    @cached_property
    def boolean(self) -> bool:
        """Whether the type is true or false."""
        return self.values.dtype == pl.Boolean

    @cached_property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.values.dtype.is_numeric()

    @cached_property
    def dated(self) -> bool:
        """Whether the type is a day or an instant."""
        return self.values.dtype in (pl.Date, pl.Datetime)

    @cached_property
    def finite(self) -> bool:
        """Whether no value is infinite."""
        return not (self.values.dtype.is_float() and bool(self.values.is_infinite().any()))

    @cached_property
    def whole(self) -> bool:
        """Whether the values are whole numbers, whatever their type."""
        if self.values.dtype.is_float() and self.finite:
            present = self.values.drop_nulls()
            return bool((present == present.round()).all()) and bool((present.abs() < 2**53).all())
        return self.values.dtype.is_integer()

    @cached_property
    def counts(self) -> list[tuple[Any, int]]:
        """Values of the sample and their rows, most frequent first."""
        present = self.sample.drop_nulls().alias("value")
        if self.text:
            present = present.cast(pl.String)
        counts = present.value_counts(name="rows").sort(["rows", "value"], descending=[True, False])
        return list(zip(counts["value"].to_list(), counts["rows"].to_list(), strict=True))

    @cached_property
    def distinct(self) -> int:
        """Distinct values of the sample."""
        return self.sample.drop_nulls().n_unique()

    @cached_property
    def constant(self) -> bool:
        """Whether no two rows differ."""
        if self.values.dtype == pl.Null or self.missing == 1:
            return True
        return self.sample.n_unique() == 1 and self.values.n_unique() == 1

    @cached_property
    def single(self) -> bool:
        """Whether all rows with a value have the same one."""
        return self.distinct <= 1 and self.values.drop_nulls().n_unique() <= 1

    @cached_property
    def unique(self) -> bool:
        """Whether nearly every row has a value of its own."""
        if self.distinct < 0.98 * max(len(self.sample) * (1 - self.missing), 20):
            return False
        present = self.values.drop_nulls()
        return len(self.sample) == len(self.values) or present.n_unique() >= 0.98 * len(present)

    @cached_property
    def zero_one(self) -> bool:
        """Whether the values say yes and no: 0 and 1, true and false, yes and no."""
        if self.boolean:
            return not self.single
        if self.numeric:
            two = bool(((self.values == 0) | (self.values == 1)).all())
            return two and self.ends == (0, 1)
        if self.values.dtype != pl.String or not 2 <= self.distinct <= 12:
            return False
        return {str(v).strip().lower() for v in self.values.unique().drop_nulls()} <= WORDS.keys()

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The values of the sample, without the missing ones; times as counts."""
        return self.sample.drop_nulls().to_physical().cast(pl.Float64).to_numpy()

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest number of all rows; a true is 1."""
        ends: Any = (self.values.min(), self.values.max())
        return float(ends[0]), float(ends[1])

    @cached_property
    def instants(self) -> pl.Series | None:
        """The sample as instants, where nearly all values are dates in some notation, or None."""
        if self.dated:
            return self.sample.cast(pl.Datetime("us"))
        if not (self.text or self.whole) or self.single:
            return None
        if self.numeric and not 1e7 <= self.ends[1] < 22e8:
            return None
        written = self.sample.cast(pl.Int64) if self.numeric else self.sample
        present = written.cast(pl.String).str.strip_chars()
        if not present.drop_nulls().head(100).str.contains(r"^\d{1,10}([-/.]\d+)*$").all():
            return None
        readings = (_read_dates(present, notation) for notation in (*_DAYS, *_HOURS))
        return next((found for found in readings if found is not None), None)

    @cached_property
    def separator(self) -> str | None:
        """What stands between the values of text that holds lists, or None."""
        if not self.text or self.instants is not None:
            return None
        present = self.sample.drop_nulls().cast(pl.String).head(20_000)
        distinct = present.unique()
        for separator in _SEPARATORS:
            several = mean(present.str.contains(separator, literal=True)) >= 0.05
            if several and _is_list(distinct, separator):
                return separator
        return None

    @cached_property
    def members(self) -> pl.Series:
        """The distinct values of the sample's lists, as text."""
        lists = self.sample.drop_nulls()
        if self.separator is not None:
            lists = lists.cast(pl.String).str.split(self.separator)
        found = lists.explode().cast(pl.String).str.strip_chars().unique().drop_nulls()
        return found.filter(found != "")

    def follows(self, owner: "Column") -> bool:
        """Say whether the values belong to an owner (a user, an item): its rows hardly differ."""
        if owner is self or self.listed or self.opaque:
            return False
        both = pl.DataFrame({"value": self.values, "owner": owner.values}).head(1_000_000)
        if self.text:
            both = both.with_columns(pl.col("value").cast(pl.String))
        ranked = both.drop_nulls().with_columns(pl.col("value").rank("dense").cast(pl.Float64))
        groups = ranked.with_columns(
            mean=pl.col("value").mean().over("owner"), rows=pl.len().over("owner")
        ).filter(pl.col("rows") > 1)
        if len(groups) < 50:
            return False
        total = float(((groups["value"] - mean(groups["value"])) ** 2).sum())
        within = float(((groups["value"] - groups["mean"]) ** 2).sum())
        return total > 0 and within / total < 0.15


def _is_list(distinct: pl.Series, separator: str) -> bool:
    """Say whether parts come back in other values and are short, as those of lists do."""
    parts = distinct.str.split(separator).explode().str.strip_chars()
    parts = parts.filter(parts != "")
    if parts.n_unique() >= 0.7 * len(parts):
        return False
    if separator == " ":
        return mean(parts.str.contains(r"^\w*\d\w*$")) > 0.95
    varied = distinct.str.count_matches(separator, literal=True).n_unique() > 1
    return varied and mean(parts.str.count_matches(r"\s+")) < 2


def _read_dates(written: pl.Series, notation: str) -> pl.Series | None:
    """Read dates in one notation, or return None where it does not fit nearly all of them."""
    if notation.endswith("%H"):  # Polars reads no hours without minutes.
        written, notation = written + "00", notation + "%M"
    found = written.str.to_datetime(notation, strict=False, time_unit="us")
    fitting = int(found.dt.year().is_between(1900, 2200).fill_null(False).sum())
    return found if fitting >= 0.99 * (len(written) - written.null_count()) else None


def mean(values: pl.Series) -> float:
    """Return the mean of numbers, or the share of true values; 0 of none."""
    found: Any = values.mean()
    return float(found or 0.0)


def columns_of(frame: pl.DataFrame) -> dict[str, Column]:
    """Return the columns of a log, sampled at the same rows where it is long."""
    picks = None
    if len(frame) > SAMPLE:
        picks = np.sort(np.random.default_rng(0).permutation(len(frame))[:SAMPLE])
    return {name: Column(frame[name], picks) for name in frame.columns}
