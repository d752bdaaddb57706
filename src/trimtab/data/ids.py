"""The feature kind ``ids``: a list of values a row, their embeddings pooled."""

from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field, PositiveInt, model_validator

from trimtab.data.feature import Encoded, FeatureSettings, Learnt, features
from trimtab.data.hashed import LEAST_ROWS, MOST, check_hash, learn_rows, restore_rows, rows_of
from trimtab.data.spelling import spelled
from trimtab.data.vocabulary import IdRows
from trimtab.errors import DataError


@features.register("ids")
class IdsSettings(FeatureSettings):
    """A list column, or text with a separator."""

    kind: Literal["ids"] = "ids"
    separator: str | None = Field(default=None, min_length=1)
    """What stands between the values where the column is text."""
    least_rows: PositiveInt = LEAST_ROWS
    """Values that stand fewer times in the training rows share the row of values never seen."""
    hash_rows: int | None = Field(default=None, ge=1, le=MOST)
    """Keep no vocabulary: values are hashed to so many table rows. Some share a row; how many is
    told by ``trimtab check`` and in the report."""
    last: PositiveInt = 50
    """Keep at most this many values of a row, the last ones."""
    pool: Literal["mean", "sum", "attention"] = "mean"
    """How a row's embeddings become one; a row without values gets zeros. ``attention`` weighs
    the values by the row's own item: ``shares`` names its feature."""

    @model_validator(mode="after")
    def _hashes(self) -> "IdsSettings":
        check_hash(self.hash_rows, self.shares, self.least_rows)
        return self

    def named(self) -> bool:
        """Values are names."""
        return True

    def counted(self, column: pl.Series) -> pl.Series | None:
        """Return the values of all lists."""
        if self.shares is not None:
            return None
        return as_lists(column, self.separator, self.last).explode()

    def settled(self, counts: pl.DataFrame) -> IdRows:
        """Return the vocabulary, or the hashed rows."""
        return rows_of(counts, self.least_rows, self.hash_rows)

    def learn(self, column: pl.Series, shared: IdRows | None) -> "LearntIds":
        """Learn the vocabulary of the list's values, unless it is another feature's."""
        values = shared or learn_rows(
            as_lists(column, self.separator, self.last).explode(), self.least_rows, self.hash_rows
        )
        return LearntIds(column.name, values, self.separator, self.last)

    def restore(self, state: dict[str, Any], vocabulary: IdRows | None) -> "LearntIds":
        """Rebuild from the vocabulary."""
        rows = restore_rows(vocabulary, self.hash_rows, state)
        return LearntIds(state["name"], rows, self.separator, self.last)

    def grow(self, learnt: "LearntIds", new: "LearntIds", shared: IdRows | None) -> "LearntIds":
        """Put new values after those known, unless the vocabulary is another feature's."""
        rows = shared or learnt.vocabulary.grown(new.vocabulary, self.least_rows)
        return LearntIds(learnt.name, rows, self.separator, self.last)

    def vocabulary(self, learnt: "LearntIds") -> IdRows | None:
        """Return the vocabulary, when it is this feature's own."""
        return learnt.vocabulary if self.shares is None else None

    def table(self, name: str) -> str:
        """Return the feature's own table, or the one that it shares."""
        return self.shares or name

    def pooling(self) -> str:
        """Return how lists are pooled."""
        return self.pool

    def longest(self) -> int:
        """Return the most values that a row's list keeps."""
        return self.last

    def asks(self) -> str | None:
        """Return the feature whose table is shared, where the list is weighed by it."""
        return self.shares if self.pool == "attention" else None


class LearntIds(Learnt):
    """A vocabulary, and how a row's list is read."""

    def __init__(self, name: str, vocabulary: IdRows, separator: str | None, last: int) -> None:
        self.name = name
        self.vocabulary = vocabulary
        self.separator = separator
        self.last = last

    def encode(self, column: pl.Series) -> Encoded:
        """Return the ids of all rows end to end, and how many each row has."""
        lists = as_lists(column, self.separator, self.last)
        lengths = lists.list.len().to_numpy().astype(np.int32, copy=True)
        values = lists.filter(lists.list.len() > 0).explode()
        return Encoded(lists={self.name: (self.vocabulary.encode(values), lengths)})

    @property
    def rows(self) -> int:
        """Rows of the embedding table."""
        return self.vocabulary.rows

    def describe(self) -> str:
        """Say how many values there are."""
        return f"lists of {self.vocabulary.describe()}"

    def state(self) -> dict[str, Any]:
        """Return the feature's name, and what was counted of hashed ids."""
        return {"name": self.name, **self.vocabulary.state()}


def as_lists(column: pl.Series, separator: str | None, last: int) -> pl.Series:
    """Return a list column without nulls: of rows, or in them.

    Raises
    ------
    DataError
        When the column is neither a list nor text with a separator.
    """
    lists = _lists(column, separator)
    if lists.dtype.inner.is_float():  # type: ignore[attr-defined]
        lists = lists.list.eval(pl.element().fill_nan(None))
    lists = lists.list.drop_nulls().list.tail(last)
    if lists.null_count():
        empty = pl.lit([], lists.dtype)
        lists = lists.to_frame().select(pl.col(lists.name).fill_null(empty))[lists.name]
    return lists


def _lists(column: pl.Series, separator: str | None) -> pl.Series:
    """Return a column of lists as it is, and text split where a separator is named."""
    if isinstance(column.dtype, pl.Array):
        return column.arr.to_list()
    if isinstance(column.dtype, pl.List):
        return column
    if column.null_count() == len(column):
        return column.cast(pl.Null).cast(pl.List(pl.String))
    if separator is None:
        raise DataError(
            f"features.{column.name}: kind 'ids' expects a column of lists, or text with "
            f'separator = ","; found {column.dtype}.'
        )
    lists = spelled(column, f"features.{column.name}").str.split(separator)
    stripped = lists.list.eval(pl.element().str.strip_chars())
    return stripped.list.eval(pl.element().filter(pl.element() != ""))
