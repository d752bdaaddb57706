"""Rows to predict: encoded all at once, or in chunks, so that a file need not fit in memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from trimtab.data.columns import Columns
from trimtab.data.join import SideTables, join
from trimtab.data.log import HEAD, chunk_rows
from trimtab.data.plan import DataPlan
from trimtab.data.prepare import table
from trimtab.data.scan import Scan
from trimtab.data.statistics import Statistics
from trimtab.data.strangers import Strangers
from trimtab.errors import RowError


def encode_new(plan: DataPlan, statistics: Statistics, rows: Any) -> Iterator[Columns]:
    """Yield rows (a frame or a path) in their order, encoded without labels.

    All at once, but for files of a run with ``data.memory``, of which a chunk's raw rows take an
    eighth. Warns where nearly all ids of a feature are ones that training never saw.

    Raises
    ------
    DataError
        When a file, a side table or a value is not as it must be, by its row in the files.
    """
    strangers, first = Strangers(statistics), 0
    for frame in _frames(plan, rows):
        try:
            columns = statistics.columns(frame, {}, {}, None)
        except RowError as error:
            raise (error.within(first, len(frame)) if first else error) from None
        strangers.add(frame, columns)
        yield columns
        first += len(frame)
    strangers.warn()


def _frames(plan: DataPlan, rows: Any) -> Iterator[pl.DataFrame]:
    """Yield the raw rows with their side tables joined: all at once, or chunk by chunk."""
    data = plan.data
    if data.memory is None or not isinstance(rows, str | Path):
        yield join(table(plan, rows, empty=True), data.join, plan.ids)
        return
    with tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
        scan = Scan(str(rows), Path(folder), plan.ids)
        tables = SideTables(data.join, plan.ids)
        for frame in scan.chunks(chunk_rows(tables.join(scan.head(HEAD)), data.memory)):
            yield tables.join(frame)
