"""What every kind of feature is: settings that learn from training rows, then encode any rows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.vocabulary import IdRows
from trimtab.registry import Registry
from trimtab.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One feature's columns, by name: single ids, numbers, and lists (values, lengths)."""

    ids: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    numbers: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    lists: Mapping[str, tuple[NDArray[np.int32], NDArray[np.int32]]] = field(default_factory=dict)


class Learnt(ABC):
    """What a feature learnt from training rows; turns a raw column into encoded ones."""

    @abstractmethod
    def encode(self, column: pl.Series) -> Encoded:
        """Encode raw values; raise ``DataError`` for values that the kind cannot hold."""

    @abstractmethod
    def describe(self) -> str:
        """Say in a few words what was learnt, for people."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return the small learnt numbers, as JSON."""

    def known(self) -> pl.Series | None:
        """Return the ids that training knew; None where new ones are nothing strange."""
        return None

    @property
    def rows(self) -> int:
        """Rows of the embedding table that the ids point into; 0 where there is none."""
        return 0

    @property
    def pieces(self) -> int:
        """Linear pieces that the network reads the feature's number in; 0: as it is."""
        return 0


class FeatureSettings(Settings, ABC):
    """The settings of one feature, as written under ``[features]``."""

    kind: str
    column: str | None = None
    """Column of the data; the feature's own name when left out."""
    shares: str | None = None
    """Feature whose vocabulary and embedding table this one uses too."""

    def named(self) -> bool:
        """Say whether the values are names, which text tells apart, rather than quantities."""
        return False

    def check(self, column: pl.Series) -> None:
        """Raise ``DataError`` for a value that the kind cannot hold, told by its row."""
        return

    def counted(self, column: pl.Series) -> pl.Series | None:
        """Return the values that the feature's own vocabulary counts.

        None where it has no vocabulary, or another feature's. Of a log that is read in chunks the
        vocabulary is made of their counts by ``settled``, and ``learn`` gets it as ``shared``.
        """
        return None

    def settled(self, counts: pl.DataFrame) -> IdRows:
        """Return the vocabulary, given each ``value`` that was counted and its ``rows``."""
        raise NotImplementedError

    @abstractmethod
    def learn(self, column: pl.Series, shared: IdRows | None) -> Learnt:
        """Learn from the raw training values; ``shared`` is the vocabulary of ``shares``."""

    @abstractmethod
    def restore(self, state: dict[str, Any], vocabulary: IdRows | None) -> Learnt:
        """Rebuild what ``learn`` returned from its state and its vocabulary."""

    def grow(self, learnt: Any, new: Any, shared: IdRows | None) -> Learnt:
        """Return what was learnt, with what new rows add to it; nothing learnt is changed.

        Parameters
        ----------
        new
            What ``learn`` returned for the new rows.
        shared
            The grown vocabulary of ``shares``.
        """
        return learnt  # type: ignore[no-any-return]

    def vocabulary(self, learnt: Any) -> IdRows | None:
        """Return the vocabulary that this feature owns, or None."""
        return None

    def table(self, name: str) -> str | None:
        """Return the name of the embedding table that the feature reads, or None."""
        return None

    def pooling(self) -> str | None:
        """Return how the embeddings of a row's list are pooled, or None for a single value."""
        return None

    def longest(self) -> int:
        """Return the most values that a row's list keeps; 0 where a row has a single value."""
        return 0

    def asks(self) -> str | None:
        """Return the single id feature that the row's list is weighed by, or None."""
        return None


features: Registry[FeatureSettings] = Registry("features")
