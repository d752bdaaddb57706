"""One spelling for each value, so that what a run file names meets what a column holds."""

from typing import Any

import polars as pl

from trimtab.errors import DataError

TEXT = (pl.String, pl.Categorical, pl.Enum)


def stated(column: pl.Series) -> pl.Series:
    """Return text without the spaces around it; null where nothing is left."""
    return column.cast(pl.String).str.strip_chars().replace("", None)


def written_numbers(column: pl.Series) -> pl.Series:
    """Return text as the numbers that it is, as a CSV holds them; null where it is none."""
    return stated(column).cast(pl.Float64, strict=False)


def spell(value: Any) -> str:
    """Return how ``spelled`` writes one value of a run file: ``1`` for 1.0, ``true`` for True."""
    return str(spelled(pl.Series("value", [value]), "value")[0])


def spelled(column: pl.Series, where: str) -> pl.Series:
    """Return the values as text; whole floats are written as integers, and NaN is missing.

    Times are written to the microsecond, whatever unit they are kept in.

    Raises
    ------
    DataError
        When the column holds what has no spelling, such as lists; ``where`` says who asked.
    """
    if column.dtype.is_float():
        column = column.fill_nan(None)
        whole = column.cast(pl.Int64, strict=False)
        same = (whole.cast(column.dtype) == column).fill_null(False)
        return whole.cast(pl.String).zip_with(same, column.cast(pl.String))
    if column.dtype == pl.Datetime:
        column = column.dt.cast_time_unit("us")
    try:
        text = column.cast(pl.String)
    except pl.exceptions.PolarsError:
        raise DataError(
            f"{where}: expected text or numbers in {column.name!r}, found {column.dtype}."
        ) from None
    if column.dtype.is_decimal() and column.dtype.scale:  # type: ignore[attr-defined]
        return text.str.replace(r"\.?0+$", "")
    return text
