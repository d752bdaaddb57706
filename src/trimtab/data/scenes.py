"""Which scene a row happened in, as an index."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.read import require
from trimtab.data.settings import ScenesSettings
from trimtab.data.spelling import spell, spelled

OTHER, ALL = "other", "all"
"""The scene of values that are not named, and the one scene of a run without scenes."""


class Scenes:
    """The scenes of a run.

    Attributes
    ----------
    names
        One a tower, in the order of the run file; ``other`` comes last, and only where training
        rows are in it, unless the run file names it.
    staged
        Whether each row passes through every scene.
    fallback
        Scene of values that training did not see: ``other``, else the one with most rows.
    """

    def __init__(
        self,
        names: list[str],
        column: str | None,
        values: dict[str, str],
        fallback: str,
        staged: bool,
    ) -> None:
        self.names = names
        self.column = column
        self.values = values
        self.fallback = fallback
        self.staged = staged

    @classmethod
    def learn(cls, settings: ScenesSettings | None, frame: pl.DataFrame) -> "Scenes":
        """Find out from training rows whether there is an ``other`` scene."""
        return cls.settled(settings, cls.named(settings).rows(frame))

    @classmethod
    def named(cls, settings: ScenesSettings | None) -> "Scenes":
        """Return every scene that a row may be in."""
        if settings is None:
            return cls([ALL], None, {}, ALL, staged=False)
        if settings.column is None:
            stages = list(settings.stages or ())
            return cls(stages, None, {}, stages[0], staged=True)
        values = {spell(v): name for name, vs in settings.values.items() for v in vs}
        names = list(dict.fromkeys([*settings.values, OTHER]))
        return cls(names, settings.column, values, OTHER, staged=False)

    @classmethod
    def settled(cls, settings: ScenesSettings | None, rows: NDArray[np.int64]) -> "Scenes":
        """Return the scenes, without an ``other`` that nobody named and no training row is in.

        Parameters
        ----------
        rows
            The training rows of each scene.
        """
        scenes = cls.named(settings)
        column = settings is not None and settings.column is not None
        if column and OTHER not in settings.values and rows[-1] == 0:  # type: ignore[union-attr]
            scenes.names = scenes.names[:-1]
            scenes.fallback = scenes.names[int(rows[:-1].argmax())]
        return scenes

    def rows(self, frame: pl.DataFrame) -> NDArray[np.int64]:
        """Count the rows of each scene."""
        return np.bincount(self.encode(frame), minlength=len(self.names))

    def encode(self, frame: pl.DataFrame) -> NDArray[np.int64]:
        """Return the index of every row's scene."""
        if self.column is None:
            return np.zeros(len(frame), dtype=np.int64)
        column = require(frame, self.column, "scenes.column")
        index = {value: self.names.index(name) for value, name in self.values.items()}
        fallback = self.names.index(self.fallback)
        values = spelled(column, "scenes.column")
        return values.replace_strict(index, default=fallback, return_dtype=pl.Int64).to_numpy()

    def state(self) -> dict[str, Any]:
        """Return everything, as JSON."""
        return dict(vars(self))
