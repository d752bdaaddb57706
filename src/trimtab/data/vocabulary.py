"""The values of an id feature, and the table row of each."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.spelling import spelled
from trimtab.errors import DataError

MISSING, UNSEEN, FIRST = 0, 1, 2
"""Table rows of a null, of a value not in the vocabulary, and of the most frequent value."""


class Vocabulary:
    """Values in falling order of frequency: value ``i`` has table row ``FIRST + i``.

    Frequent values lie next to each other in the table, which caches like. Whole floats count as
    integers (a column of integers with nulls is often stored as floats); anything that is not an
    integer of 64 bits is compared as text.

    Attributes
    ----------
    values
        Distinct values, Int64 or String.
    """

    def __init__(self, values: pl.Series) -> None:
        self.values = values
        self._rows = pl.DataFrame(
            {"value": values, "row": np.arange(FIRST, FIRST + len(values), dtype=np.int32)}
        )

    @classmethod
    def learn(cls, column: pl.Series, least_rows: int) -> "Vocabulary":
        """Return the values that stand in at least ``least_rows`` rows."""
        column = canonical(column).drop_nulls().alias("value")
        counts = column.value_counts(name="rows").filter(pl.col("rows") >= least_rows)
        return cls(counts.sort(["rows", "value"], descending=[True, False])["value"])

    @property
    def rows(self) -> int:
        """Rows of the embedding table, the missing and the unseen one included."""
        return FIRST + len(self.values)

    def encode(self, column: pl.Series) -> NDArray[np.int32]:
        """Return the table row of every value."""
        column = canonical(column).alias("value")
        if column.dtype != self.values.dtype:
            # Text that is no integer becomes null here, and stays known as present below.
            column = column.cast(self.values.dtype, strict=False)
        found = column.to_frame().join(self._rows, on="value", how="left", maintain_order="left")
        return found["row"].fill_null(UNSEEN).to_numpy().astype(np.int32, copy=True)


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
