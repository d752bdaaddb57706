"""The feature kind ``id``: one value a row, as a row of an embedding table."""

from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field, PositiveInt, model_validator

from trimtab.data.feature import Encoded, FeatureSettings, Learnt, features
from trimtab.data.hashed import LEAST_ROWS, MOST, check_hash, learn_rows, restore_rows, rows_of
from trimtab.data.vocabulary import MISSING, IdRows


@features.register("id")
class IdSettings(FeatureSettings):
    """Strings or integers of any size."""

    kind: Literal["id"] = "id"
    least_rows: PositiveInt = LEAST_ROWS
    """Values in fewer training rows share the table row of values never seen."""
    hash_rows: int | None = Field(default=None, ge=1, le=MOST)
    """Keep no vocabulary: values are hashed to so many table rows. Some share a row; how many is
    told by ``trimtab check`` and in the report."""

    @model_validator(mode="after")
    def _hashes(self) -> "IdSettings":
        check_hash(self.hash_rows, self.shares, self.least_rows)
        return self

    def named(self) -> bool:
        """Values are names."""
        return True

    def counted(self, column: pl.Series) -> pl.Series | None:
        """Return the values themselves."""
        return column if self.shares is None else None

    def settled(self, counts: pl.DataFrame) -> IdRows:
        """Return the vocabulary, or the hashed rows."""
        return rows_of(counts, self.least_rows, self.hash_rows)

    def learn(self, column: pl.Series, shared: IdRows | None) -> "LearntId":
        """Learn the vocabulary, unless it is another feature's."""
        rows = shared or learn_rows(column, self.least_rows, self.hash_rows)
        return LearntId(column.name, rows)

    def restore(self, state: dict[str, Any], vocabulary: IdRows | None) -> "LearntId":
        """Rebuild from the vocabulary."""
        return LearntId(state["name"], restore_rows(vocabulary, self.hash_rows, state))

    def grow(self, learnt: "LearntId", new: "LearntId", shared: IdRows | None) -> "LearntId":
        """Put new values after those known, unless the vocabulary is another feature's."""
        rows = shared or learnt.vocabulary.grown(new.vocabulary, self.least_rows)
        return LearntId(learnt.name, rows)

    def vocabulary(self, learnt: "LearntId") -> IdRows | None:
        """Return the vocabulary, when it is this feature's own."""
        return learnt.vocabulary if self.shares is None else None

    def table(self, name: str) -> str:
        """Return the feature's own table, or the one that it shares."""
        return self.shares or name


class LearntId(Learnt):
    """A vocabulary."""

    def __init__(self, name: str, vocabulary: IdRows) -> None:
        self.name = name
        self.vocabulary = vocabulary

    def encode(self, column: pl.Series) -> Encoded:
        """Return one id a row; nulls, NaN and values never seen have rows of their own."""
        rows = self.vocabulary.encode(column)
        missing = column.is_null() | (column.is_nan() if column.dtype.is_float() else False)
        return Encoded(ids={self.name: np.where(missing.to_numpy(), np.int32(MISSING), rows)})

    def known(self) -> pl.Series | None:
        """Return the values that training knew."""
        return self.vocabulary.known()

    @property
    def rows(self) -> int:
        """Rows of the embedding table."""
        return self.vocabulary.rows

    def describe(self) -> str:
        """Say how many values there are."""
        return self.vocabulary.describe()

    def state(self) -> dict[str, Any]:
        """Return the feature's name, and what was counted of hashed ids."""
        return {"name": self.name, **self.vocabulary.state()}
