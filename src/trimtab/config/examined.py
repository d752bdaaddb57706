"""The rows that the data doctor looks at."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.config.schema import RunSettings
from trimtab.data.labels import LabelColumn, read_labels
from trimtab.data.prepare import raw_rows
from trimtab.data.read import as_frame, read
from trimtab.data.scenes import Scenes
from trimtab.data.split import split

SAMPLE = 1_000_000
"""Most training rows, and most valid rows, that features are measured on."""

Codes = NDArray[np.int64]
Labels = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A run's rows, read, joined and split as for training.

    Attributes
    ----------
    log
        The log before joins and before duplicates are dropped.
    rows, train, valid
        The log with its side tables: whole, and its two parts.
    labels
        Where each label is read.
    """

    settings: RunSettings
    log: pl.DataFrame
    duplicates: int
    rows: pl.DataFrame
    train: pl.DataFrame
    valid: pl.DataFrame
    labels: dict[str, LabelColumn]

    @classmethod
    def read(cls, settings: RunSettings, frame: Any = None) -> "Examined":
        """Read the log, or take a frame; raise ``DataError`` as training would."""
        data = settings.data
        source = data.log if frame is None else None
        ids = settings.plan().ids
        log = read(source, ids) if source else as_frame(frame) if frame is not None else None
        rows, duplicates = raw_rows(data, log, ids)
        train, valid = split(rows, data, extend=lambda more: raw_rows(data, more, ids)[0], ids=ids)
        assert log is not None
        return cls(
            settings=settings,
            log=log,
            duplicates=duplicates["found"],
            rows=rows,
            train=train,
            valid=valid,
            labels={
                name: label
                for name, label in settings.labels().items()
                if not label.where.endswith(".censored_at")  # Known before the outcome.
            },
        )

    @cached_property
    def train_labels(self) -> Labels:
        """Every label of the training rows, NaN where it is not known."""
        return read_labels(self.train, self.labels)

    @cached_property
    def valid_labels(self) -> Labels:
        """Every label of the valid rows."""
        return read_labels(self.valid, self.labels)

    @cached_property
    def scenes(self) -> Scenes:
        """The scenes that training would have."""
        return Scenes.learn(self.settings.scenes, self.train)

    @cached_property
    def train_scenes(self) -> Codes:
        """Index of every training row's scene."""
        return self.scenes.encode(self.train)

    @cached_property
    def valid_scenes(self) -> Codes:
        """Index of every valid row's scene."""
        return self.scenes.encode(self.valid)

    @cached_property
    def sample(self) -> tuple[Codes, Codes]:
        """Indices of the training and of the valid rows that features are measured on."""
        return draw(len(self.train), SAMPLE), draw(len(self.valid), SAMPLE)

    @property
    def sampled_rows(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The training and the valid rows of the sample."""
        train, valid = (
            part if len(index) == len(part) else part[index]
            for part, index in zip((self.train, self.valid), self.sample, strict=True)
        )
        return train, valid

    @property
    def sampled(self) -> bool:
        """Whether features are measured on fewer rows than there are."""
        return max(len(self.train), len(self.valid)) > SAMPLE

    @property
    def binary(self) -> list[str]:
        """Labels that are 0 or 1."""
        return [name for name, label in self.labels.items() if label.rule == "zero_one"]

    def both(self, label: str) -> NDArray[np.float32]:
        """Return a label of all rows, training rows first."""
        return np.concatenate([self.train_labels[label], self.valid_labels[label]])


def draw(rows: int, most: int) -> Codes:
    """Return the indices of at most so many rows, drawn at random, in order."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
