"""Groups of features that are looked at together: of a column, of a side table, of like names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from trimtab.data.read import files, read, scan_parquet
from trimtab.data.settings import JoinSettings
from trimtab.data.statistics import Statistics
from trimtab.errors import DataError

FEATURE, COLUMN, NUMBERED, TABLE = "feature", "column", "numbered", "table"

_NUMBER = re.compile(r"\d+")
_SMALL = 1 << 26
"""Bytes of a side table without a schema that is read again for the names of its columns."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """One feature, or several that are looked at together.

    Attributes
    ----------
    kind
        ``feature`` for one alone, ``column`` for those that read the same column in different
        ways, ``numbered`` for names that differ by a number only, such as ``onehot_feat0`` and
        ``onehot_feat1``, ``table`` for the features of one side table.
    columns
        Their columns in the encoded rows.
    """

    name: str
    kind: str
    features: tuple[str, ...]
    columns: frozenset[str]


def groups_of(statistics: Statistics, joins: Sequence[JoinSettings] = ()) -> list[Group]:
    """Return each feature of a run, then the groups of two and more that its names tell."""
    encoded = {name: _encoded(name, statistics) for name in statistics.settings}
    column_of = {name: f.column or name for name, f in statistics.settings.items()}
    numbered: dict[str, list[str]] = {}
    reading: dict[str, list[str]] = {}
    for name in encoded:
        numbered.setdefault(_NUMBER.sub("*", name), []).append(name)
        reading.setdefault(column_of[name], []).append(name)
    tables = {j.table: {name for name, c in column_of.items() if c in taken(j)} for j in joins}
    named = [
        *((name, FEATURE, (name,)) for name in encoded),
        *((" + ".join(names), COLUMN, tuple(names)) for names in reading.values()),
        *((stem, NUMBERED, tuple(names)) for stem, names in numbered.items()),
        *(
            (Path(table).name, TABLE, tuple(name for name in encoded if name in inside))
            for table, inside in tables.items()
        ),
    ]
    found: dict[tuple[str, ...], Group] = {}
    for name, kind, features in named:
        if kind == FEATURE or len(features) > 1:
            columns = frozenset(column for feature in features for column in encoded[feature])
            group = Group(name=name, kind=kind, features=features, columns=columns)
            found.setdefault(features, group)
    return list(found.values())


def fewer(groups: Sequence[Group], most: int) -> list[Group]:
    """Leave out features that a group holds, where there are more than ``most``.

    First those of one column, then of names with a number, then of side tables too; what is left
    may still be more than asked.
    """
    kept = list(groups)
    for kinds in ((COLUMN,), (COLUMN, NUMBERED), (COLUMN, NUMBERED, TABLE)):
        if len(kept) > most:
            held = {name for group in groups if group.kind in kinds for name in group.features}
            kept = [group for group in groups if group.kind != FEATURE or group.name not in held]
    return kept


def taken(join: JoinSettings) -> set[str]:
    """Return the columns that a side table gives the log; none where that is dear to find out."""
    columns = _columns(join.table) if join.columns is None else join.columns
    return {join.prefix + column for column in columns if column != join.on}


def _columns(table: str) -> Sequence[str]:
    """Return the columns of a table that was read before, and may have changed since."""
    try:
        path = files(table)[0]
        if path.suffix.lower() in (".parquet", ".pq"):
            return list(scan_parquet(path).collect_schema())
        return read(str(path)).columns if path.stat().st_size <= _SMALL else []
    except (DataError, OSError, pl.exceptions.PolarsError):
        return []


def _encoded(name: str, statistics: Statistics) -> list[str]:
    """Return the names of a feature's encoded columns: those that no rows give too."""
    empty = statistics.learnt[name].encode(pl.Series(name, [], dtype=pl.Null))
    parts: Sequence[Mapping[str, object]] = (empty.ids, empty.numbers, empty.lists)
    return [column for part in parts for column in part]
