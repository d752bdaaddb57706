"""Ids to predict for that training never saw: nearly always they are spelled another way."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.columns import Columns
from trimtab.data.statistics import Statistics, raw_column
from trimtab.data.vocabulary import MISSING, UNSEEN
from trimtab.errors import UnseenWarning

SHARE, ROWS, DISTINCT = 0.9, 20, 20
"""Share of a feature's values, of so many rows and more, that says something is wrong when training
saw none of them; and how many of them differ, less where training itself knew few."""


@dataclass
class Tally:
    """What was found of a feature: its values, those never seen, and a few of them."""

    rows: int = 0
    unseen: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, column: pl.Series, codes: NDArray[np.generic]) -> None:
        """Count the values of more rows."""
        strange = codes == UNSEEN
        self.rows += int((codes != MISSING).sum())
        self.unseen += int(strange.sum())
        if strange.any() and len(self.examples) < DISTINCT:
            found = column.filter(pl.Series(strange)).unique(maintain_order=True).head(DISTINCT)
            self.examples = list(dict.fromkeys([*self.examples, *map(repr, found)]))

    def strange(self, known: int) -> bool:
        """Say whether so many cannot be new; one new user's candidates all have the same new id."""
        differing = min(DISTINCT, known // 10 + 1)
        return (
            self.rows >= ROWS
            and self.unseen > SHARE * self.rows
            and len(self.examples) >= differing
        )


class Strangers:
    """Counts the ids that training never saw, in rows that come in one part or in several."""

    def __init__(self, statistics: Statistics) -> None:
        self.statistics = statistics
        known = {name: learnt.known() for name, learnt in statistics.learnt.items()}
        self.known = {name: values for name, values in known.items() if values is not None}
        self.tallies = {name: Tally() for name in self.known}

    def add(self, frame: pl.DataFrame, columns: Columns) -> None:
        """Count those of raw rows that were encoded."""
        for i, name in enumerate(columns.names.ids):
            if name in self.tallies:
                column = raw_column(frame, name, self.statistics.settings[name])
                self.tallies[name].add(column, columns.arrays["ids"][:, i])

    def warn(self) -> None:
        """Warn of each feature whose values are nearly all strange, with an example of both."""
        for name, tally in self.tallies.items():
            known = self.known[name]
            if tally.strange(len(known)):
                warnings.warn(
                    f"features.{name}: {tally.unseen:,} of {tally.rows:,} values were never seen "
                    f"in training, such as {tally.examples[0]}; training saw such as "
                    f"{known[0]!r}. Are they written alike?",
                    UnseenWarning,
                    stacklevel=3,
                )
