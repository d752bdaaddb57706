"""A log in chunks: copies dropped, side tables joined."""

import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.counts import Sample
from trimtab.data.csv import NONE, IdColumns
from trimtab.data.duplicates import Duplicates
from trimtab.data.join import SideTables
from trimtab.data.scan import Scan
from trimtab.data.settings import DataSettings

CHUNK = 1 / 8
"""Share of the memory that a chunk's raw rows take; reading, joining and encoding copy them."""
HASHES = 1 / 8
"""Share of the memory that looking for copies takes."""
SAMPLE = 1 / 32
"""Share of the memory that a sample's raw rows take, for those who copy them a few times."""
HEAD = 1_000
"""Rows that say how many bytes a row has."""


class Log:
    """Rows of a log, or of a valid file, as often as they are asked for.

    Attributes
    ----------
    rows
        Rows that are kept.
    duplicates
        Copies found, and copies dropped.
    empty
        The joined log without rows, for its columns.

    Raises
    ------
    DataError
        When a file or a side table is not as it must be.
    """

    def __init__(
        self,
        source: str | list[str],
        data: DataSettings,
        folder: Path,
        chunk_rows: int | None,
        ids: IdColumns = NONE,
    ) -> None:
        folder.mkdir(parents=True)
        self.scan = Scan(source, folder, ids)
        self.memory = data.memory or 0
        self.given = chunk_rows
        self._dropped: NDArray[np.bool_] | None = None
        self.duplicates = self._copies(folder, drop=data.duplicates == "drop")
        self.rows = self.scan.rows - self.duplicates["dropped"]
        self.tables = SideTables(data.join, ids)
        self.empty = self.tables.join(pl.DataFrame(schema=self.scan.schema))
        self._columns: Collection[str] = self.empty.columns

    def keep(self, columns: Collection[str]) -> None:
        """Read only these columns from now on."""
        self._columns = columns
        self.tables.keep(columns)

    def chunks(self, columns: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        """Yield the joined rows, in the log's order; no chunk is empty.

        Columns that are asked for by name come alone, where the log itself has them.
        """
        alone = columns is not None and set(columns) <= set(self.scan.schema)
        wanted = columns if alone else self._columns
        start, rows = 0, self._chunk_rows(wanted, joined=not alone)
        for frame in self.scan.chunks(rows, wanted):
            stop = start + len(frame)
            if self._dropped is not None:
                frame = frame.filter(~self._dropped[start:stop])
            if not frame.is_empty():
                yield frame if alone else self.tables.join(frame)
            start = stop

    def _chunk_rows(self, columns: Collection[str] | None, *, joined: bool) -> int:
        """Return how many rows of these columns, with those of side tables, make a chunk."""
        head = next(self.scan.chunks(HEAD, columns))
        head = self.tables.join(head) if joined else head
        return self.given or chunk_rows(head, self.memory)

    def _copies(self, folder: Path, *, drop: bool) -> dict[str, int]:
        """Find copies, and columns without a value, in one pass over everything."""
        copies = Duplicates(folder, self.scan.rows, int(self.memory * HASHES) or 1)
        values = dict.fromkeys(self.scan.schema, 0)
        for frame in self.scan.chunks(self._chunk_rows(None, joined=False)):
            copies.add(frame)
            for name in values:
                values[name] += len(frame) - frame[name].null_count()
        self.scan.forget_type([name for name, count in values.items() if count == 0])
        found = 0
        dropped = np.memmap(folder / "dropped", dtype=bool, mode="w+", shape=(self.scan.rows,))
        for rows in copies.find():
            found += len(rows)
            dropped[rows] = True
        if found and drop:
            self._dropped = dropped
        return {"found": found, "dropped": found if drop else 0}


def chunk_rows(head: pl.DataFrame, memory: int) -> int:
    """Return how many rows like the first ones make a chunk."""
    bytes_a_row = max(head.estimated_size() / len(head), 1)
    return max(int(memory * CHUNK / bytes_a_row), 1)


def sample(source: str | list[str], memory: int) -> tuple[pl.DataFrame, int]:
    """Return rows of a log, drawn by their number, that fit in memory; and how many it has."""
    with tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
        scan = Scan(source, Path(folder))
        head = next(scan.chunks(HEAD))
        rows = max(int(memory * SAMPLE * len(head) / max(head.estimated_size(), 1)), 1)
        drawn, seen = Sample(rows), 0
        for frame in scan.chunks(rows):
            drawn.add(frame, np.arange(seen, seen + len(frame)))
            seen += len(frame)
        return drawn.rows(), seen
