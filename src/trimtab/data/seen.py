"""Which rows were trained on: a small sample of them, by which a later log's rows are known again.

What is measured on rows that a model was trained on looks better than it is. A row is told by a
hash of its features as they are encoded, not of its labels, which may be known later. Kept are the
lowest hashes of the training rows: the rows of any other log whose hash is as low are a sample of
that log, whatever its order, and those of them whose hash is kept were trained on (a bottom-k
sketch: Cohen & Kaplan, "Summarizing data using bottom-k sketches", PODC 2007). Different rows may
have the same features; how many do is counted in the valid rows, which nobody trained on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.data.columns import Columns

Hashes = NDArray[np.uint64]

ROWS = 4096
"""Hashes that are kept of a training's rows."""
SURE = 5
"""Known rows, beyond chance, below which nothing is said."""
LEAST = 0.05
"""Share of rows, beyond chance, from which on they are said to have been trained on."""
_CHUNK = 1 << 16
_ODD, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A sample of the rows that a run was trained on.

    Attributes
    ----------
    hashes
        The lowest ones, in order, each once.
    chance
        Share of the rows that nobody trained on whose hash is known all the same.
    """

    hashes: Hashes
    chance: float

    @classmethod
    def of(cls, train: Columns, valid: Columns, earlier: "Seen | None" = None) -> "Seen":
        """Draw the sample of the training rows, and count how many valid rows are alike.

        Parameters
        ----------
        earlier
            The sample of the run that training went on from: its rows are of this one too.
        """
        kept = earlier.hashes if earlier else np.empty(0, dtype=np.uint64)
        for hashes in _hashes(train):
            low = hashes if len(kept) < ROWS else hashes[hashes < kept[-1]]
            kept = np.unique(np.concatenate([kept, low]))[:ROWS]
        known, rows = cls(hashes=kept, chance=0.0)._known(valid)
        return cls(hashes=kept, chance=(known + 1) / (rows + 2))

    @classmethod
    def restore(cls, state: Mapping[str, Any] | None) -> "Seen | None":
        """Rebuild from what ``state`` returned; None of a run of before, which kept no sample."""
        if state is None:
            return None
        hashes = np.frombuffer(bytes.fromhex(state["hashes"]), dtype="<u8")
        return cls(hashes=hashes, chance=float(state["chance"]))

    def state(self) -> dict[str, Any]:
        """Return the sample as JSON."""
        return {"hashes": self.hashes.astype("<u8").tobytes().hex(), "chance": self.chance}

    def share(self, columns: Columns) -> float:
        """Estimate the least share of rows that were trained on; 0 where it may be chance.

        Of a log with under ``SURE / ROWS`` of the training rows nothing can be said: too few of its
        hashes are as low as those that are kept. A row whose ids were too rare for a table row of
        their own, and have one since (``train --from``), is not known again.
        """
        known, rows = self._known(columns)
        found, chance = known / max(rows, 1), self.chance
        noise = 3 * np.sqrt(chance * (1 - chance) * rows)
        told = known > rows * (chance + LEAST) + noise and known >= SURE + rows * chance
        return float((found - chance) / (1 - chance)) if told else 0.0

    def _known(self, columns: Columns) -> tuple[int, int]:
        """Count the rows whose hash is known, and those whose hash is low enough to be."""
        whole = len(self.hashes) < ROWS
        known = rows = 0
        for hashes in _hashes(columns):
            low = hashes if whole else hashes[hashes <= self.hashes[-1]]
            known, rows = known + int(np.isin(low, self.hashes).sum()), rows + len(low)
        return known, rows


def _hashes(columns: Columns) -> Iterator[Hashes]:
    """Yield the hash of every row, a part of the rows at a time."""
    for start in range(0, len(columns), _CHUNK):
        arrays = columns.held([(start, min(start + _CHUNK, len(columns)))]).arrays
        hashes = arrays["scene"].astype(np.uint64)
        for matrix in (arrays["ids"], np.ascontiguousarray(arrays["numbers"]).view(np.uint32)):
            for column in matrix.T:
                hashes = _mixed(hashes, column)
        for i in range(len(columns.names.lists)):
            values, offsets = arrays[f"values.{i}"], arrays[f"offsets.{i}"]
            added = np.cumsum(_mixed(np.zeros(len(values), dtype=np.uint64), values))
            added = np.concatenate([np.zeros(1, dtype=np.uint64), added])
            hashes = _mixed(hashes, added[offsets[1:]] - added[offsets[:-1]])
        yield hashes


def _mixed(hashes: Hashes, values: NDArray[Any]) -> Hashes:
    """Return hashes that depend on the values too, in all of their bits."""
    hashes = (hashes ^ values.astype(np.uint64)) * _ODD
    return np.asarray(hashes ^ (hashes >> _HALF))
