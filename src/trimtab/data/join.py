"""Side tables onto the log, row by row, on a key."""

from collections.abc import Collection, Sequence

import polars as pl

from trimtab.data.csv import NONE, IdColumns
from trimtab.data.read import read, require
from trimtab.data.settings import JoinSettings
from trimtab.data.spelling import TEXT
from trimtab.errors import DataError


def join(log: pl.DataFrame, joins: Sequence[JoinSettings], ids: IdColumns = NONE) -> pl.DataFrame:
    """Join every side table onto ``log``; rows and their order stay as they are.

    Rows whose key a table does not have get nulls.

    Raises
    ------
    DataError
        When a key column is missing on either side, a key stands twice in a table, the keys'
        types cannot be compared, or a column of a table clashes with one that is there already.
    """
    return SideTables(joins, ids).join(log)


class SideTables:
    """Side tables, read once for a log that comes in chunks."""

    def __init__(self, joins: Sequence[JoinSettings], ids: IdColumns = NONE) -> None:
        self.joins, self.ids = joins, ids
        self._tables: dict[int, pl.DataFrame] = {}

    def join(self, log: pl.DataFrame) -> pl.DataFrame:
        """Join every table onto a log, or onto a chunk of the log that came first."""
        for i, settings in enumerate(self.joins):
            where, key = f"data.join[{i}]", settings.on
            if i not in self._tables:
                self._tables[i] = _fitting(log, settings, where, self.ids)
            table = self._tables[i]
            keys = _typed(log[key], table[key].dtype)
            if keys is None:
                raise _apart(f"{where}: {settings.table}", key, table[key].dtype, log[key].dtype)
            found = keys.to_frame().join(table, on=key, how="left", maintain_order="left")
            log = log.hstack(found.drop(key))
        return log

    def keep(self, columns: Collection[str]) -> None:
        """Forget the columns of the tables that nobody asks for."""
        for i, table in self._tables.items():
            kept = [c for c in table.columns if c in columns or c == self.joins[i].on]
            self._tables[i] = table.select(kept)


def _fitting(log: pl.DataFrame, settings: JoinSettings, where: str, ids: IdColumns) -> pl.DataFrame:
    """Return the key and the columns to take of a side table, named as in the joined log."""
    key = settings.on
    table = read(settings.table, ids.of_table(key, settings.prefix))
    left = require(log, key, f"{where}.on ({key!r} in the log)")
    right = require(table, key, f"{where}.on ({key!r} in {settings.table})")
    for column in settings.columns or ():
        require(table, column, f"{where}.columns ({settings.table})")
    table = table.with_columns(_meeting(right, left.dtype, f"{where}: {settings.table}"))
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


def _meeting(keys: pl.Series, dtype: pl.DataType, where: str) -> pl.Series:
    """Return a table's keys as the type in which they meet those of the log, of type ``dtype``."""
    found = keys.dtype
    wanted = dtype if found == pl.Null or dtype.is_integer() else found
    typed = _typed(keys, pl.String() if wanted in TEXT else wanted)
    if typed is None:
        raise _apart(where, keys.name, found, dtype)
    return typed


def _typed(keys: pl.Series, dtype: pl.DataType) -> pl.Series | None:
    """Return keys as another type, null where it has no such key; None where they never meet.

    Whole floats meet integers: a column of integers with a null is often stored as floats.
    """
    found = keys.dtype
    if found.is_float():
        keys = keys.fill_nan(None)
    if found == dtype or found == pl.Null or (found in TEXT and dtype in TEXT):
        return keys.cast(dtype)
    whole = found.is_integer() or (found.is_float() and (keys == keys.floor()).all())
    return keys.cast(dtype, strict=False) if whole and dtype.is_integer() else None


def _apart(where: str, key: str, found: pl.DataType, dtype: pl.DataType) -> DataError:
    """Return the error of keys that cannot meet."""
    return DataError(
        f"{where}: {key!r} is {found} here and {dtype} in the log, so no keys would meet. "
        "Store it as one type in both: integers, or text."
    )


def unmatched(log: pl.DataFrame, settings: JoinSettings, ids: IdColumns = NONE) -> float:
    """Return the share of the log's rows whose key the table does not have."""
    key = settings.on
    side = read(settings.table, ids.of_table(key, settings.prefix))
    table = _meeting(side[key], log[key].dtype, settings.table)
    keys = _typed(log[key], table.dtype)
    if keys is None:
        raise _apart(settings.table, key, table.dtype, log[key].dtype)
    found = keys.is_in(table.implode()).fill_null(False).sum()
    return 1 - int(found) / len(log)
