"""Rows to predict: encoded all at once, or in chunks, so that a file need not fit in memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trimtab.data.columns import Columns
from trimtab.data.join import SideTables
from trimtab.data.log import HEAD, chunk_rows
from trimtab.data.plan import DataPlan
from trimtab.data.prepare import encode_rows
from trimtab.data.scan import Scan
from trimtab.data.statistics import Statistics
from trimtab.errors import RowError


def encode_new(plan: DataPlan, statistics: Statistics, rows: Any) -> Iterator[Columns]:
    """Yield rows (a frame or a path) in their order, encoded without labels.

    All at once, but for files of a run with ``data.memory``, of which a chunk's raw rows take an
    eighth.

    Raises
    ------
    DataError
        When a file, a side table or a value is not as it must be, by its row in the files.
    """
    memory = plan.data.memory
    if memory is None or not isinstance(rows, str | Path):
        yield encode_rows(plan, statistics, rows, labelled=False)
        return
    with tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
        scan = Scan(str(rows), Path(folder), plan.ids)
        tables = SideTables(plan.data.join, plan.ids)
        first, most = 0, chunk_rows(tables.join(scan.head(HEAD)), memory)
        for frame in scan.chunks(most):
            try:
                yield statistics.columns(tables.join(frame), {}, {}, None)
            except RowError as error:
                raise error.within(first, len(frame)) from None
            first += len(frame)
