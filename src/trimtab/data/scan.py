"""A table that is read in chunks of rows, in its order, so that it need not fit in memory."""

import glob
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from trimtab.data.csv import NONE, IdColumns, pack_csv
from trimtab.data.read import concatenate, files, read_one, readable, scan_parquet, with_rows
from trimtab.errors import DataError

PACKED_ROWS = 65_536
"""Rows of a row group of what a CSV is turned into."""

Piece = tuple[Path, int, int]
"""A file, its first row and how many."""


class Scan:
    """The rows of a file, a glob, a folder or a list of them; nothing is read but their types.

    A CSV is turned into Parquet once, in ``folder``: its types are known at its end only.

    Attributes
    ----------
    schema
        Column to type, the one that holds the values of all files.
    rows
        Rows of all files.

    Raises
    ------
    DataError
        As ``trimtab.data.read.read`` does; an Arrow stream cannot be read in chunks.
    """

    def __init__(self, source: str | Sequence[str], folder: Path, ids: IdColumns = NONE) -> None:
        self.folder, self.ids = folder, ids
        openers: dict[str, Callable[[Path], pl.LazyFrame]]
        openers = dict.fromkeys([".parquet", ".pq"], scan_parquet)
        openers |= dict.fromkeys([".csv", ".tsv", ".csv.gz", ".tsv.gz"], self._packed)
        openers |= dict.fromkeys([".arrow", ".feather", ".ipc"], _scan_arrow)
        opened = {path: read_one(path, openers) for path in files(source)}
        schemas, counts = {}, {}
        for path, table in opened.items():
            with readable(path):
                schemas[path] = table.collect_schema()
                counts[path] = int(table.select(pl.len()).collect().item())
        filled = with_rows({path: list(schema) for path, schema in schemas.items()}, counts)
        self._files = {path: (opened[path], counts[path]) for path in filled}
        self.rows = sum(counts.values())
        self.schema = self._common({path: schemas[path] for path in filled})

    def _packed(self, path: Path) -> pl.LazyFrame:
        place = self.folder / f"{len(list(self.folder.iterdir()))}.parquet"
        pack_csv(path, place, self.ids, rows=PACKED_ROWS)
        return scan_parquet(place)

    def _common(self, schemas: Mapping[Path, pl.Schema]) -> dict[str, pl.DataType]:
        """Return the types that hold all files' values; a column without any has none to say."""
        first = next(iter(schemas.values()))
        differ = [name for name in first if len({schema[name] for schema in schemas.values()}) > 1]
        frames = {}
        for path, schema in schemas.items():
            table, rows = self._files[path]
            with readable(path):
                missing = table.select(pl.col(differ).null_count()).collect(engine="streaming")
            empty = {name: pl.Null() for name in differ if missing[name][0] == rows}
            frames[path] = pl.DataFrame(schema={**schema, **empty})
        return dict(concatenate(frames).schema)

    def forget_type(self, columns: Collection[str]) -> None:
        """Take the type from columns that are found to hold no value."""
        self.schema |= {name: pl.Null() for name in columns}

    def chunks(self, rows: int, columns: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        """Yield the log, so many rows at a time; without ``columns`` all of them."""
        wanted = [name for name in self.schema if columns is None or name in columns]
        wanted = wanted or list(self.schema)[:1]  # A frame without columns has no rows.
        types = {name: self.schema[name] for name in wanted}
        for pieces in self._pieces(rows):
            lazy = [self._take(piece, types) for piece in pieces]
            yield pl.concat(lazy) if len(lazy) > 1 else lazy[0]

    def head(self, rows: int) -> pl.DataFrame:
        """Return the first rows."""
        return next(self.chunks(rows))

    def _take(self, piece: Piece, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
        path, start, rows = piece
        with readable(path):
            table = self._files[path][0].slice(start, rows).select(list(types))
            return table.collect().cast(dict(types))  # type: ignore[arg-type]

    def _pieces(self, rows: int) -> Iterator[list[Piece]]:
        """Yield the pieces of files that make each chunk."""
        chunk: list[Piece] = []
        room = rows
        for path, (_, count) in self._files.items():
            start = 0
            while start < count:
                taken = min(room, count - start)
                chunk.append((path, start, taken))
                start, room = start + taken, room - taken
                if room == 0:
                    yield chunk
                    chunk, room = [], rows
        if chunk:
            yield chunk


def _scan_arrow(path: Path) -> pl.LazyFrame:
    with path.open("rb") as file:
        stream = file.read(6) != b"ARROW1"
    if stream:
        raise DataError(
            f"{path}: an Arrow stream cannot be read in chunks, as data.memory asks for; "
            "write it as an Arrow file or as Parquet."
        )
    return pl.scan_ipc(glob.escape(str(path)))
