"""Rows to predict, encoded in chunks: a file of them need not fit in memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from trimtab.data.columns import Columns
from trimtab.data.join import SideTables
from trimtab.data.log import HEAD, chunk_rows
from trimtab.data.plan import DataPlan
from trimtab.data.scan import Scan
from trimtab.data.statistics import Statistics
from trimtab.errors import RowError


def encode_chunks(
    plan: DataPlan, statistics: Statistics, source: str, memory: int
) -> Iterator[Columns]:
    """Yield the rows of files in their order, without labels, as ``encode_rows`` encodes them.

    Parameters
    ----------
    memory
        Bytes that a chunk's raw rows take an eighth of.

    Raises
    ------
    DataError
        When a file, a side table or a value is not as it must be, by its row in the files.
    """
    with tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
        scan, tables = Scan(source, Path(folder)), SideTables(plan.data.join)
        first, rows = 0, chunk_rows(tables.join(scan.head(HEAD)), memory)
        for frame in scan.chunks(rows):
            try:
                yield statistics.columns(tables.join(frame), {}, {}, None)
            except RowError as error:
                raise error.within(first, len(frame)) from None
            first += len(frame)
