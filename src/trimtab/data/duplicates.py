"""Exact copies among rows that come in chunks, found by hashes that are kept on disk."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

SEEDS = (0, 1)
"""Of the two hashes of 64 bits that tell rows apart: of 10^10 rows two meet by chance 10^-18."""

_RECORD = np.dtype([("high", np.uint64), ("low", np.uint64), ("row", np.int64)])
_BYTES = 4 * _RECORD.itemsize
"""Memory that a row's record takes while its bucket is sorted."""


class Duplicates:
    """Rows that stand earlier too.

    Parameters
    ----------
    folder
        Where the hashes are kept: a file a bucket, each small enough to be sorted in ``memory``.
    rows
        How many rows will come.
    memory
        Bytes.
    """

    def __init__(self, folder: Path, rows: int, memory: int) -> None:
        self.folder = folder
        self.buckets = max(-(-rows * _BYTES // memory), 1)
        self.rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Hash the next rows, all columns of them."""
        named = frame.select(
            pl.col(pl.Categorical, pl.Enum).cast(pl.String), pl.exclude(pl.Categorical, pl.Enum)
        )
        records = np.empty(len(frame), _RECORD)
        for name, seed in zip(("high", "low"), SEEDS, strict=True):
            records[name] = named.hash_rows(seed=seed).to_numpy()
        records["row"] = np.arange(self.rows, self.rows + len(frame))
        self.rows += len(frame)
        bucket = records["high"] % np.uint64(self.buckets)
        for i in range(self.buckets):
            with self._place(i).open("ab") as file:
                records[bucket == i].tofile(file)

    def find(self) -> Iterator[NDArray[np.int64]]:
        """Yield the numbers of rows of which a copy stands earlier; forget the hashes."""
        for i in range(self.buckets):
            records = np.fromfile(self._place(i), _RECORD)
            records = records[np.lexsort((records["low"], records["high"]))]  # stable: by row too
            same = np.ones(max(len(records) - 1, 0), dtype=bool)
            for half in ("high", "low"):
                same &= records[half][1:] == records[half][:-1]
            yield records["row"][1:][same]
            self._place(i).unlink()

    def _place(self, bucket: int) -> Path:
        return self.folder / f"{bucket}.hashes"
