"""The feature kind ``id``: one value a row, as a row of an embedding table."""

from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import PositiveInt

from trimtab.data.feature import Encoded, FeatureSettings, Learnt, features
from trimtab.data.vocabulary import MISSING, Vocabulary


@features.register("id")
class IdSettings(FeatureSettings):
    """Strings or integers of any size."""

    kind: Literal["id"] = "id"
    least_rows: PositiveInt = 2
    """Values in fewer training rows share the table row of values never seen."""

    def learn(self, column: pl.Series, shared: Vocabulary | None) -> "LearntId":
        """Learn the vocabulary, unless it is another feature's."""
        return LearntId(column.name, shared or Vocabulary.learn(column, self.least_rows))

    def restore(self, state: dict[str, Any], vocabulary: Vocabulary | None) -> "LearntId":
        """Rebuild from the vocabulary."""
        assert vocabulary is not None
        return LearntId(state["name"], vocabulary)

    def vocabulary(self, learnt: "LearntId") -> Vocabulary | None:
        """Return the vocabulary, when it is this feature's own."""
        return learnt.vocabulary if self.shares is None else None

    def table(self, name: str) -> str:
        """Return the feature's own table, or the one that it shares."""
        return self.shares or name


class LearntId(Learnt):
    """A vocabulary."""

    def __init__(self, name: str, vocabulary: Vocabulary) -> None:
        self.name = name
        self.vocabulary = vocabulary

    def encode(self, column: pl.Series) -> Encoded:
        """Return one id a row; nulls, NaN and values never seen have rows of their own."""
        rows = self.vocabulary.encode(column)
        missing = column.is_null() | (column.is_nan() if column.dtype.is_float() else False)
        return Encoded(ids={self.name: np.where(missing.to_numpy(), np.int32(MISSING), rows)})

    @property
    def rows(self) -> int:
        """Rows of the embedding table."""
        return self.vocabulary.rows

    def describe(self) -> str:
        """Say how many values there are."""
        return f"{len(self.vocabulary.values):,} values"

    def state(self) -> dict[str, Any]:
        """Return the feature's name."""
        return {"name": self.name}
