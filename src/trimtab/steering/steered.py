"""A run whose candidates are put in order by a formula."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl

from trimtab.data.read import require
from trimtab.errors import DataError
from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.effect import effect
from trimtab.steering.formulas import Formula
from trimtab.steering.off_policy import OffPolicy, snips, softmax_within

_ADDED = ("score", "rank")


class Source(Protocol):
    """What gives candidates: a run."""

    def candidates(self, data: Any = None, *, labelled: bool = True) -> Candidates:
        """Return rows with their predictions; those held out when no data is given."""

    def table(self, data: Any) -> pl.DataFrame:
        """Return a frame, or the rows of a file, read as those that the run was trained on."""

    def profile(self, name: str | None = None, rows: Candidates | None = None) -> Formula:
        """Return a profile, the current one by default."""


@dataclass(frozen=True)
class Steered:
    """A run and a formula; made by ``Run.steer``."""

    run: Source
    formula: Formula

    def score(self, frame: Any) -> Floats:
        """Return the score of every row of a frame (Polars, pandas, Arrow) or file.

        Raises
        ------
        InputError
            When the formula has no finite score for a row, or a feature's column is missing.
        """
        return self.formula.score(self.run.candidates(frame, labelled=False))

    def rank(self, frame: Any) -> pl.DataFrame:
        """Return the rows with their ``score`` and their ``rank``, list by list, the best first.

        A list is the rows of one user, or those without one; all rows where the frame has no column
        with the user. Lists come in the order in which they first appear, and so do rows of equal
        score.
        """
        rows = self.run.table(frame)
        taken = [name for name in _ADDED if name in rows.columns]
        if taken:
            raise DataError(f"the rows have a column {taken[0]!r} already; rename or drop it.")
        candidates = self.run.candidates(rows, labelled=False)
        score = self.formula.score(candidates)
        _, first, codes = np.unique(candidates.group, return_index=True, return_inverse=True)
        appears = np.argsort(np.argsort(first))[codes]
        order = np.lexsort((-score, appears))
        sizes = np.bincount(appears)
        rank = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1
        ranked = rows[order]
        return ranked.with_columns(
            pl.Series("score", score[order]), pl.Series("rank", rank, dtype=pl.UInt32)
        )

    def effect(self, data: Any = None, *, k: int = 10, intervals: bool = True) -> dict[str, Any]:
        """Return what the order does to every target, against the current profile's.

        Parameters
        ----------
        data
            Labelled rows; those that the run held out when left out.
        """
        candidates = self.run.candidates(data)
        current = self.run.profile(rows=candidates)
        against = None if current == self.formula else current
        return effect(candidates, self.formula, against, k=k, intervals=intervals)

    def off_policy(
        self, data: Any = None, *, propensity: str | None = None, temperature: float = 0.0
    ) -> dict[str, OffPolicy]:
        """Return what choosing one row of every list by this formula earns of each target.

        Only for a log whose exposure was random, or has a column with its propensities: see
        ``snips`` for what is assumed.

        Parameters
        ----------
        propensity
            Column with the chance that the log had of showing the row; without it, all had the
            same.
        temperature
            Rows are chosen by ``softmax(score / temperature)``; at 0 the first of the order is.
        """
        rows = None if data is None else self.run.table(data)
        candidates = self.run.candidates(rows)
        chance = softmax_within(self.formula.score(candidates), candidates.group, temperature)
        shown = _propensities(rows, propensity, len(candidates)) if propensity else 1.0
        return {
            name: snips(label, chance, shown, candidates.group)
            for name, label in candidates.labels.items()
        }


def _propensities(rows: pl.DataFrame | None, column: str, count: int) -> Floats:
    if rows is None:
        raise DataError(f"propensity: give the rows that have the column {column!r} as data.")
    if len(rows) != count:  # A run that drops copies of rows has dropped them.
        rows = rows.unique(maintain_order=True)
    values = require(rows, column, "propensity")
    if not values.dtype.is_numeric():
        raise DataError(f"propensity: column {column!r} is {values.dtype}; expected numbers.")
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
