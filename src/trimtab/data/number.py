"""The feature kind ``number``: a quantity, scaled, or cut into buckets."""

from abc import abstractmethod
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trimtab.data.feature import Encoded, FeatureSettings, Learnt, features
from trimtab.data.spelling import TEXT, stated, written_numbers
from trimtab.data.vocabulary import MISSING, IdRows
from trimtab.errors import DataError, RowError

Values = NDArray[np.float64]

LARGEST = float(np.finfo(np.float32).max)
"""Numbers are encoded in 32 bits; larger ones would become infinite."""


@features.register("number")
class NumberSettings(FeatureSettings):
    """A quantity, also one that is written as text, such as ``"12.5"``.

    A value that is missing is flagged where training rows miss it too.
    """

    kind: Literal["number"] = "number"
    scale: Literal["standard", "log", "quantile", "piecewise", "none"] = "standard"
    """``standard``: mean 0, deviation 1; ``log``: the same of sign(x) log(1 + |x|); ``quantile``:
    a row of an embedding table for each bucket of quantiles; ``piecewise``: for each such bucket a
    number that grows from 0 to 1 across it; ``none``: as it is."""
    buckets: int = Field(default=32, ge=2)
    """Buckets of ``quantile`` and ``piecewise``."""

    def check(self, column: pl.Series) -> None:
        """Raise ``DataError`` where the column is not numeric or holds an infinity."""
        as_numbers(column)

    def learn(self, column: pl.Series, shared: IdRows | None) -> Learnt:
        """Learn the scale, or the edges of the buckets."""
        values, present = as_numbers(column)
        scale = _SCALES[self.scale]
        return scale.learn(column.name, values[present], present, self.buckets)

    def restore(self, state: dict[str, Any], vocabulary: IdRows | None) -> Learnt:
        """Rebuild from the learnt numbers."""
        scale = _SCALES[self.scale]
        return scale(**state)

    def table(self, name: str) -> str | None:
        """Return the table of the buckets, if the scale has them."""
        return name if self.scale == "quantile" else None


def as_numbers(column: pl.Series) -> tuple[Values, NDArray[np.bool_]]:
    """Return values as float64 (0 where missing) and which are present.

    A date or a time counts microseconds since 1970, a duration microseconds; text that is a
    number counts as that number.

    Raises
    ------
    DataError
        When the column is not numeric or holds an infinity.
    """
    if column.null_count() == len(column):
        column = column.cast(pl.Float64)
    if column.dtype.is_temporal():
        column = _in_microseconds(column).to_physical()
    if column.dtype in TEXT:
        written = written_numbers(column)
        column = written if written.null_count() == stated(column).null_count() else column
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise DataError(
            f"features.{column.name}: kind 'number' expects numbers, found {column.dtype} "
            f"{_what_is_no_number(column)}"
        )
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    present = ~np.isnan(values)
    infinite = np.abs(values) > LARGEST
    if infinite.any():
        row = int(infinite.argmax())
        raise RowError(
            f"features.{column.name}: row {{row}} is {values[row]:g}; expected finite numbers.", row
        )
    return np.where(present, values, 0.0), present


def _what_is_no_number(column: pl.Series) -> str:
    """Name a value that is not one, and what to do."""
    wrong = values = column.drop_nulls()
    kind = "ids" if isinstance(column.dtype, pl.List | pl.Array) else "id"
    if column.dtype in TEXT:
        wrong = values.filter(written_numbers(values).is_null() & stated(values).is_not_null())
    named = wrong.head(1).to_list()[0]
    if len(wrong) < len(values) / 2:
        return (
            f"where {len(wrong):,} of {len(values):,} values are no numbers, such as {named!r}. "
            "Leave them empty."
        )
    return f"such as {named!r}. Should it be kind {kind!r}?"


def _in_microseconds(column: pl.Series) -> pl.Series:
    """Return times in one unit: a file, a CSV and pandas keep the same ones in different units."""
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us"))
    if column.dtype == pl.Time:
        return column
    return column.dt.cast_time_unit("us")


class Scaled(Learnt):
    """``(f(x) - center) / deviation``, with 0 for a missing value, and a flag that says so."""

    def __init__(self, name: str, center: float, deviation: float, flagged: bool) -> None:
        self.name = name
        self.center = center
        self.deviation = deviation
        self.flagged = flagged

    @classmethod
    def learn(cls, name: str, values: Values, present: NDArray[np.bool_], buckets: int) -> "Scaled":
        """Learn mean and deviation of ``f(x)``; a constant keeps deviation 1."""
        values = cls.transform(values)
        center = float(values.mean()) if len(values) else 0.0
        deviation = float(values.std()) if len(values) else 0.0
        varies = deviation > 1e-12 * float(np.abs(values).max(initial=0.0))  # more than rounding
        return cls(name, center, deviation if varies else 1.0, not bool(present.all()))

    @staticmethod
    @abstractmethod
    def transform(values: Values) -> Values:
        """Return ``f(x)``."""

    def encode(self, column: pl.Series) -> Encoded:
        """Return the scaled number, and its flag where training rows missed some."""
        values, present = as_numbers(column)
        scaled = (self.transform(values) - self.center) / self.deviation
        return _numbers(self.name, np.where(present, scaled, 0.0), present, self.flagged)

    def describe(self) -> str:
        """Say mean and deviation."""
        return f"mean {self.center:.4g}, deviation {self.deviation:.4g}"

    def state(self) -> dict[str, Any]:
        """Return the learnt numbers."""
        return dict(vars(self))


class Standard(Scaled):
    """Mean 0, deviation 1."""

    @staticmethod
    def transform(values: Values) -> Values:
        """Return the values themselves."""
        return values


class Log(Scaled):
    """Mean 0, deviation 1 of ``sign(x) log(1 + |x|)``."""

    @staticmethod
    def transform(values: Values) -> Values:
        """Return the signed logarithm."""
        return np.sign(values) * np.log1p(np.abs(values))


class Unscaled(Standard):
    """The values as they are."""

    @classmethod
    def learn(
        cls, name: str, values: Values, present: NDArray[np.bool_], buckets: int
    ) -> "Unscaled":
        """Learn only whether some are missing."""
        return cls(name, 0.0, 1.0, not bool(present.all()))


class Quantiles(Learnt):
    """A bucket for each quantile range; row 0 of the table is for a missing value."""

    def __init__(self, name: str, edges: list[float]) -> None:
        self.name = name
        self.edges = edges

    @classmethod
    def learn(
        cls, name: str, values: Values, present: NDArray[np.bool_], buckets: int
    ) -> "Quantiles":
        """Learn the edges."""
        return cls(name, _cuts(values, buckets))

    @property
    def rows(self) -> int:
        """Rows of the embedding table."""
        return len(self.edges) + 2

    def encode(self, column: pl.Series) -> Encoded:
        """Return the bucket of every value: ``edges[i - 1] < x <= edges[i]`` is bucket i."""
        values, present = as_numbers(column)
        bucket = np.searchsorted(np.asarray(self.edges), values, side="left") + 1
        return Encoded(ids={self.name: np.where(present, bucket, MISSING).astype(np.int32)})

    def describe(self) -> str:
        """Say how many buckets there are."""
        return f"{len(self.edges) + 1} buckets"

    def state(self) -> dict[str, Any]:
        """Return the edges."""
        return {"name": self.name, "edges": self.edges}


class Piecewise(Learnt):
    """How many buckets lie below a value: 2.25 is a quarter of the way through the third.

    ``features/pieces.py`` makes of it the number a bucket that the network reads: the piecewise
    linear encoding of Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep
    Learning", NeurIPS 2022, 3.2. Theirs goes on beyond the first and the last edge; ours stops
    there, so that a value far from all trained ones is read as the furthest of them. A missing one
    gets the mean.
    """

    def __init__(self, name: str, edges: list[float], mean: float, flagged: bool) -> None:
        self.name = name
        self.edges = edges
        self.mean = mean
        self.flagged = flagged

    @classmethod
    def learn(
        cls, name: str, values: Values, present: NDArray[np.bool_], buckets: int
    ) -> "Piecewise":
        """Learn the edges: the least and the largest value, and those of the quantiles between."""
        ends = [float(values.min()), float(values.max())] if len(values) else [0.0]
        edges = sorted({*ends, *_cuts(values, buckets)})
        below = _below(values, edges)
        mean = float(below.mean()) if len(values) else 0.0
        return cls(name, edges, mean, not bool(present.all()))

    @property
    def pieces(self) -> int:
        """Buckets, each of which the network reads a number of."""
        return len(self.edges) - 1

    def encode(self, column: pl.Series) -> Encoded:
        """Return how many buckets lie below every value, and its flag."""
        values, present = as_numbers(column)
        below = np.where(present, _below(values, self.edges), self.mean)
        return _numbers(self.name, below, present, self.flagged)

    def describe(self) -> str:
        """Say how many pieces there are."""
        return f"{self.pieces} linear pieces from {self.edges[0]:.4g} to {self.edges[-1]:.4g}"

    def state(self) -> dict[str, Any]:
        """Return the edges, the mean and whether a missing value is flagged."""
        return dict(vars(self))


def _cuts(values: Values, buckets: int) -> list[float]:
    """Return the edges between buckets: half cut the rows equally, half the distinct values.

    Where most rows hold one value (capital gains of 0), equal shares of rows alone would put all
    the others into a bucket or two.
    """
    shares = np.linspace(0, 1, buckets + 1)[1:-1]
    halves = ((values, shares[::2]), (np.unique(values), shares[1::2]))
    edges = [np.quantile(some, at) for some, at in halves if len(some)]
    return [float(edge) for edge in np.unique(np.concatenate([values[:0], *edges]))]


def _below(values: Values, edges: list[float]) -> Values:
    """Return how many buckets lie below each value, with the share of the one it is in."""
    return np.interp(values, edges, np.arange(len(edges)))


def _numbers(name: str, values: Values, present: NDArray[np.bool_], flagged: bool) -> Encoded:
    """Return a column of numbers and, where training rows missed some, which are missing.

    What is too far away for float32 is the farthest that it holds.
    """
    most = np.finfo(np.float32).max
    numbers = {name: np.clip(values, -most, most).astype(np.float32)}
    if flagged:
        numbers[f"{name} is missing"] = (~present).astype(np.float32)
    return Encoded(numbers=numbers)


_SCALES: dict[
    str, type[Standard] | type[Log] | type[Unscaled] | type[Quantiles] | type[Piecewise]
] = {
    "standard": Standard,
    "log": Log,
    "quantile": Quantiles,
    "piecewise": Piecewise,
    "none": Unscaled,
}
