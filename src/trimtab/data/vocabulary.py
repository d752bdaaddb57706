"""The values of an id feature, and the table row of each."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.spelling import spelled
from trimtab.errors import DataError

MISSING, UNSEEN, FIRST = 0, 1, 2
"""Table rows of a null, of a value not in the vocabulary, and of the most frequent value."""


class IdRows(ABC):
    """Which row of an embedding table an id has."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """Rows of the embedding table."""

    @abstractmethod
    def encode(self, column: pl.Series) -> NDArray[np.int32]:
        """Return the table row of every value."""

    @abstractmethod
    def grown(self, new: Any, least_rows: int) -> "IdRows":
        """Return the same rows, and more for what was learnt of new ones; none is moved.

        Parameters
        ----------
        least_rows
            Training rows, old and new, from which a value has a table row of its own.
        """

    def known(self) -> pl.Series | None:
        """Return the values that training knew; None where new ones are nothing strange."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """Say in a few words what was learnt, for people."""

    def state(self) -> dict[str, Any]:
        """Return the small learnt numbers, as JSON."""
        return {}

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return what is kept in files, by the end of their names."""
        return {}


class Vocabulary(IdRows):
    """Values in falling order of frequency: value ``i`` has table row ``FIRST + i``.

    Frequent values lie next to each other in the table, which caches like. Whole floats count as
    integers (a column of integers with nulls is often stored as floats); anything that is not an
    integer of 64 bits is compared as text.

    Attributes
    ----------
    values
        Distinct values, Int64 or String.
    rare
        Values that were too rare so far, as ``value``, and their ``rows``.
    """

    def __init__(self, values: pl.Series, rare: pl.DataFrame | None = None) -> None:
        self.values = values
        self.rare = pl.DataFrame({"value": values[:0], "rows": []}) if rare is None else rare
        self._rows = pl.DataFrame(
            {"value": values, "row": np.arange(FIRST, FIRST + len(values), dtype=np.int32)}
        )

    @classmethod
    def learn(cls, column: pl.Series, least_rows: int) -> "Vocabulary":
        """Return the values that stand in at least ``least_rows`` rows."""
        column = canonical(column).drop_nulls().alias("value")
        return cls.of(column.value_counts(name="rows"), least_rows)

    @classmethod
    def of(cls, counts: pl.DataFrame, least_rows: int) -> "Vocabulary":
        """Return the values that were counted, as ``value``, in at least so many ``rows``."""
        frequent = _by_rows(counts.filter(pl.col("rows") >= least_rows))
        return cls(frequent, counts.filter(pl.col("rows") < least_rows))

    @property
    def rows(self) -> int:
        """Rows of the embedding table, the missing and the unseen one included."""
        return FIRST + len(self.values)

    def encode(self, column: pl.Series) -> NDArray[np.int32]:
        """Return the table row of every value."""
        # A file of nothing but true and false is read as booleans, and as text beside others.
        texts = column.dtype == pl.Boolean and self.values.dtype == pl.String
        column = (spelled(column, "") if texts else canonical(column)).alias("value")
        if column.dtype != self.values.dtype:
            # Text that is no integer becomes null here, and stays known as present below.
            column = column.cast(self.values.dtype, strict=False)
        found = column.to_frame().join(self._rows, on="value", how="left", maintain_order="left")
        return found["row"].fill_null(UNSEEN).to_numpy().astype(np.int32, copy=True)

    def grown(self, new: "Vocabulary", least_rows: int) -> "Vocabulary":
        """Return this vocabulary with values of ``new`` after its own.

        Those come that are frequent in the new rows, or in old and new ones together. Where one
        vocabulary holds integers and the other text that is no integer, both become text.
        """
        dtype = self._common(new)
        more = new.values.cast(dtype).unique(maintain_order=True)
        known = pl.concat([self.values.cast(dtype), _without(more, self.values.cast(dtype))])
        counts = [part.with_columns(pl.col("value").cast(dtype)) for part in (self.rare, new.rare)]
        rare = pl.concat(counts, how="vertical_relaxed").group_by("value").agg(pl.sum("rows"))
        rare = rare.join(known.alias("value").to_frame(), on="value", how="anti")
        often = _by_rows(rare.filter(pl.col("rows") >= least_rows))
        values = pl.concat([known, often.alias(known.name)])
        return Vocabulary(values, rare.filter(pl.col("rows") < least_rows))

    def _common(self, new: "Vocabulary") -> pl.DataType:
        """Return the type of the values of both."""
        dtype = self.values.dtype
        values = [new.values, new.rare["value"]]
        fits = all(v.cast(dtype, strict=False).null_count() == v.null_count() for v in values)
        return dtype if fits else pl.String()

    def known(self) -> pl.Series | None:
        """Return the values, unless many training rows had a value too rare to be one of them."""
        rare = self.rare["rows"].sum() or 0
        return self.values if 0 < len(self.values) >= rare else None

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return the values, and those too rare so far."""
        return {"": self.values.alias("value").to_frame(), ".rare": self.rare}

    def describe(self) -> str:
        """Say how many values there are."""
        return f"{len(self.values):,} values"


def _by_rows(counts: pl.DataFrame) -> pl.Series:
    """Return counted values, the most frequent first."""
    return counts.sort(["rows", "value"], descending=[True, False])["value"]


def _without(values: pl.Series, known: pl.Series) -> pl.Series:
    return values.filter(~values.is_in(known.implode()))


def canonical(column: pl.Series) -> pl.Series:
    """Return the values as Int64 where they are whole numbers of 64 bits, else as text.

    Raises
    ------
    DataError
        When the column holds lists, or what cannot be written as text.
    """
    dtype, where = column.dtype, f"features.{column.name}"
    if dtype in (pl.String, pl.Int64):
        return column
    if isinstance(dtype, pl.List | pl.Array):
        raise DataError(f"{where}: expected single values, found {dtype}. Lists are kind 'ids'.")
    if dtype.is_numeric() or dtype == pl.Boolean:
        present = column.fill_nan(None) if dtype.is_float() else column
        whole = present.cast(pl.Int64, strict=False)
        if whole.cast(dtype).equals(present, null_equal=True):
            return whole
    return spelled(column, where)
