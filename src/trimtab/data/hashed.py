"""Ids hashed to a fixed number of table rows: no vocabulary is kept, and nothing grows."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.vocabulary import FIRST, MISSING, IdRows, Vocabulary, canonical

OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
"""Where FNV-1a of 64 bits starts, and what it multiplies by."""

LEAST_ROWS = 2
"""Rows from which a value is in a vocabulary, where the run file does not say."""

MOST = 2**31 - 3
"""Most rows of a hashed table: places in it are of 32 bits."""

BLOCK, BLOCK_BYTES = 1 << 15, 1 << 27
"""Values hashed at a time, and the bytes of them; one value may be longer."""

HIGH, WANTED = 0.25, 0.1
"""Share of the ids that share a row from which advice is given, and the one that it aims at."""


class Hashed(IdRows):
    """A value has table row ``FIRST + hash64(its text) % size``.

    Ids that collide share an embedding. With ``ids`` distinct ones in ``size`` rows, a share of
    ``1 - (1 - 1 / size) ** (ids - 1)`` of them is expected to collide with another.

    Attributes
    ----------
    size
        Table rows that values are hashed to.
    ids, sharing
        Distinct training values, and how many of them share a row with another.
    """

    def __init__(self, size: int, ids: int, sharing: int) -> None:
        self.size = size
        self.ids = ids
        self.sharing = sharing

    @classmethod
    def learn(cls, column: pl.Series, size: int) -> "Hashed":
        """Count the distinct values, and those that share a row."""
        return cls.of(canonical(column).drop_nulls().unique(), size)

    @classmethod
    def of(cls, distinct: pl.Series, size: int) -> "Hashed":
        """Count the distinct values, and those that share a row."""
        counts = np.unique(cls(size, 0, 0).encode(distinct), return_counts=True)[1]
        return cls(size, int(counts.sum()), int(counts[counts > 1].sum()))

    @property
    def rows(self) -> int:
        """Rows of the embedding table, the missing one included."""
        return FIRST + self.size

    @property
    def expected(self) -> float:
        """Share of the distinct values that is expected to share a row."""
        return 1.0 - (1.0 - 1.0 / self.size) ** max(self.ids - 1, 0)

    @property
    def measured(self) -> float:
        """Share of the distinct values that share a row."""
        return self.sharing / max(self.ids, 1)

    def encode(self, column: pl.Series) -> NDArray[np.int32]:
        """Return the table row of every value; of a null, that of a missing one."""
        text = canonical(column).cast(pl.String)
        rows = (hash64(text) % np.uint64(self.size)).astype(np.int32) + np.int32(FIRST)
        return np.where(text.is_null().to_numpy(), np.int32(MISSING), rows)

    def grown(self, new: Any, least_rows: int) -> "Hashed":
        """Return what new rows were counted; the rows of all values stay what they are."""
        return Hashed(self.size, new.ids, new.sharing)

    def describe(self) -> str:
        """Say how many values share a row, how many are expected to, and what would help."""
        return ". ".join(part for part in (self.told(), self.advice()) if part)

    def told(self) -> str:
        """Say how many values share a row, and how many are expected to."""
        return (
            f"{self.ids:,} values hashed to {self.size:,} rows; {100 * self.measured:.3g} % of "
            f"them share a row ({100 * self.expected:.3g} % expected)"
        )

    def advice(self) -> str:
        """Return how many rows would help where many values share one, else nothing."""
        if self.measured < HIGH or self.ids < 2:
            return ""
        wanted = (self.ids - 1) / -math.log1p(-WANTED)
        unit = 10 ** max(len(str(int(wanted))) - 2, 0)
        rows = math.ceil(wanted / unit) * unit
        return f"With hash_rows = {rows:_}, {100 * WANTED:.0f} % would."

    def state(self) -> dict[str, Any]:
        """Return the counts."""
        return {"ids": self.ids, "sharing": self.sharing}


def hash64(text: pl.Series) -> NDArray[np.uint64]:
    """Return 64 bits of every text; the same everywhere and for ever. A null hashes like "".

    FNV-1a of the UTF-8 bytes (Fowler, Noll, Vo), and then, as its low bits depend on few of a
    text's bits, the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    lengths = text.str.len_bytes().fill_null(0).to_numpy().astype(np.int64)
    out = np.empty(len(text), dtype=np.uint64)
    for block in _blocks(lengths):  # A block fits the processor's cache.
        joined = text[block].str.join("").item() or ""
        data = np.frombuffer(joined.encode(), dtype=np.uint8)
        out[block] = _mixed(_fnv1a(data, lengths[block]))
    return out


def _blocks(lengths: NDArray[np.int64]) -> Iterator[slice]:
    """Yield runs of texts; a text that is longer than ``BLOCK_BYTES`` stands alone."""
    ends, first = np.cumsum(lengths), 0
    while first < len(lengths):
        most = ends[first] - lengths[first] + BLOCK_BYTES
        fitting = int(np.searchsorted(ends, most, side="right"))
        stop = min(max(fitting, first + 1), first + BLOCK)
        yield slice(first, stop)
        first = stop


def _fnv1a(data: NDArray[np.uint8], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the FNV-1a of texts that lie end to end, byte by byte over all of them."""
    starts = np.cumsum(lengths) - lengths
    order = np.argsort(-lengths, kind="stable")
    starts, rising = starts[order], -lengths[order]
    value = np.full(len(starts), OFFSET)
    for place in range(int(lengths.max(initial=0))):
        longer = int(np.searchsorted(rising, -place))
        value[:longer] ^= data[starts[:longer] + place]
        value[:longer] *= PRIME
    out = np.empty_like(value)
    out[order] = value
    return out


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return SplitMix64's finaliser of every number."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    return value ^ (value >> np.uint64(31))


def learn_rows(column: pl.Series, least_rows: int, hash_rows: int | None) -> IdRows:
    """Learn the table rows of ids: a vocabulary, or counts where they are hashed."""
    if hash_rows is None:
        return Vocabulary.learn(column, least_rows)
    return Hashed.learn(column, hash_rows)


def rows_of(counts: pl.DataFrame, least_rows: int, hash_rows: int | None) -> IdRows:
    """Return what ``learn_rows`` does, of counted values: ``value`` and their ``rows``."""
    if hash_rows is None:
        return Vocabulary.of(counts, least_rows)
    return Hashed.of(counts["value"], hash_rows)


def restore_rows(kept: IdRows | None, hash_rows: int | None, state: Mapping[str, Any]) -> IdRows:
    """Return the vocabulary that was kept, or another feature's; else the hashed ids."""
    if kept is not None:
        return kept
    assert hash_rows is not None
    return Hashed(hash_rows, state["ids"], state["sharing"])


def check_hash(hash_rows: int | None, shares: str | None, least_rows: int) -> None:
    """Raise ``ValueError`` for settings that hashing does not go with."""
    if hash_rows is None:
        return
    if shares is not None:
        raise ValueError(
            f"'hash_rows' goes with the feature whose table is shared, {shares!r}; leave it out "
            "here"
        )
    if least_rows != LEAST_ROWS:
        raise ValueError(
            "'least_rows' is of a vocabulary, and hashing keeps none; leave out one of "
            "'least_rows' and 'hash_rows'"
        )
