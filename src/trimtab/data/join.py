"""Side tables onto the log, row by row, on a key."""

from collections.abc import Collection, Sequence

import polars as pl

from trimtab.data.read import read, require
from trimtab.data.settings import JoinSettings
from trimtab.errors import DataError

_TEXT = (pl.String, pl.Categorical, pl.Enum)


def join(log: pl.DataFrame, joins: Sequence[JoinSettings]) -> pl.DataFrame:
    """Join every side table onto ``log``; rows and their order stay as they are.

    Rows whose key a table does not have get nulls.

    Raises
    ------
    DataError
        When a key column is missing on either side, a key stands twice in a table, the keys'
        types cannot be compared, or a column of a table clashes with one that is there already.
    """
    return SideTables(joins).join(log)


class SideTables:
    """Side tables, read once for a log that comes in chunks."""

    def __init__(self, joins: Sequence[JoinSettings]) -> None:
        self.joins = joins
        self._tables: dict[int, pl.DataFrame] = {}

    def join(self, log: pl.DataFrame) -> pl.DataFrame:
        """Join every table onto a log, or onto a chunk of the log that came first."""
        for i, settings in enumerate(self.joins):
            if i not in self._tables:
                self._tables[i] = _fitting(log, settings, where=f"data.join[{i}]")
            log = log.join(self._tables[i], on=settings.on, how="left", maintain_order="left")
        return log

    def keep(self, columns: Collection[str]) -> None:
        """Forget the columns of the tables that nobody asks for."""
        for i, table in self._tables.items():
            kept = [c for c in table.columns if c in columns or c == self.joins[i].on]
            self._tables[i] = table.select(kept)


def _fitting(log: pl.DataFrame, settings: JoinSettings, where: str) -> pl.DataFrame:
    """Return the key and the columns to take of a side table, named as in the joined log."""
    table, key = read(settings.table), settings.on
    left = require(log, key, f"{where}.on ({key!r} in the log)")
    require(table, key, f"{where}.on ({key!r} in {settings.table})")
    for column in settings.columns or ():
        require(table, column, f"{where}.columns ({settings.table})")
    table = _with_key_type(table, key, left.dtype, f"{where}: {settings.table}")
    twice = table.filter(table[key].is_duplicated() & table[key].is_not_null())
    if not twice.is_empty():
        raise DataError(
            f"{where}: {settings.table} has {twice[key].n_unique()} keys more than once, such as "
            f"{key} = {twice[key][0]!r}. A side table has one row a key."
        )
    taken = {c: settings.prefix + c for c in settings.columns or table.columns if c != key}
    clash = sorted(set(taken.values()) & set(log.columns))
    if clash:
        raise DataError(
            f"{where}: {settings.table} and the log both have {', '.join(clash)}. "
            "Name the columns to take with columns = [...], or give a prefix."
        )
    return table.select(key, *(pl.col(column).alias(name) for column, name in taken.items()))


def _with_key_type(table: pl.DataFrame, key: str, dtype: pl.DataType, where: str) -> pl.DataFrame:
    """Give the table's key the type of the log's, which may be another integer or kind of text."""
    found = table[key].dtype
    if found == dtype:
        return table
    if dtype in _TEXT and found in _TEXT:
        return table.cast({key: dtype})
    if not (found.is_integer() and dtype.is_integer()):
        raise DataError(
            f"{where}: {key!r} is {found} here and {dtype} in the log, so no keys would meet. "
            "Store it as one type in both: integers, or text."
        )
    return table.filter(pl.col(key).cast(dtype, strict=False).is_not_null()).cast({key: dtype})


def unmatched(log: pl.DataFrame, settings: JoinSettings) -> float:
    """Return the share of the log's rows whose key the table does not have."""
    table, key = read(settings.table), settings.on
    keys = _with_key_type(table, key, log[key].dtype, settings.table)[key]
    found = log[key].is_in(keys.implode()).fill_null(False).sum()
    return 1 - int(found) / len(log)
