"""CSV files: their separator, blank lines, missing values, types, and ids as they are written."""

import codecs
import gzip
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import polars as pl

from trimtab.data import iso
from trimtab.errors import DataError

MISSING = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None", "\\N", "?"]
"""What a CSV may hold for a value that is not there."""

HEAD = 1_000
"""Rows that tell how a column may be read; whether it is, all rows tell."""

_CSV: dict[str, Any] = {
    "null_values": MISSING,
    "infer_schema_length": None,
    "encoding": "utf8-lossy",
    "glob": False,
}


@dataclass(frozen=True)
class IdColumns:
    """Columns of a table whose values are names, never quantities: text tells them apart.

    A CSV does not say what is a number, and a guess from one file's values is another guess in
    the next: ``1e10`` and ``007`` are numbers in a file of digits, and names beside ``a1b2``. The
    values of these columns therefore mean the same in every file.

    Attributes
    ----------
    single
        A value a row. It is its text; but ``1.0`` is 1, as which integers beside nulls are often
        written, and ``True`` is true.
    lists
        Several values a row, with a separator between them. They are their text.
    """

    single: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()

    def of_table(self, key: str, prefix: str) -> "IdColumns":
        """Return those of a side table, whose columns but the key get a prefix in the joined log.

        Parameters
        ----------
        key
            Column of the log and of the table, which is one of ``single`` in both.
        """

        def inside(names: frozenset[str]) -> frozenset[str]:
            return frozenset(n.removeprefix(prefix) for n in names if n.startswith(prefix))

        return IdColumns(inside(self.single) | {key}, inside(self.lists) - {key})


NONE = IdColumns()
"""Of a table of which it is not known what its columns are for."""


def read_csv(path: Path, ids: IdColumns = NONE) -> pl.DataFrame:
    """Read a CSV file, packed or not."""
    separator = _separator(path)
    source: Path | bytes = path
    if _has_blank_lines(path):
        lines = io.BytesIO()
        _copy_lines(path, lines)
        source = lines.getvalue()
    table = pl.read_csv(source, separator=separator, schema_overrides=_texts(ids), **_CSV)
    return _typed(table.lazy(), ids, separator).collect()


def pack_csv(path: Path, place: Path, ids: IdColumns, *, rows: int) -> None:
    """Turn a CSV file into Parquet at ``place``, with so many ``rows`` a group; not in memory."""
    separator = _separator(path)
    lines = place.with_suffix(".csv")
    if _has_blank_lines(path):
        with lines.open("wb") as file:
            _copy_lines(path, file)
        path = lines
    table = pl.scan_csv(path, separator=separator, schema_overrides=_texts(ids), **_CSV)
    table = _typed(table, ids, separator)
    table.sink_parquet(place, compression="lz4", row_group_size=rows)
    lines.unlink(missing_ok=True)


def _texts(ids: IdColumns) -> dict[str, Any]:
    return dict.fromkeys(ids.single | ids.lists, pl.String)


Reading = Callable[[pl.Expr], pl.Expr]
"""Reads text as another type; null where it is none."""


def _typed(table: pl.LazyFrame, ids: IdColumns, separator: str) -> pl.LazyFrame:
    """Give each column of text the first type as which all its values can be read, if any."""
    texts = [name for name, dtype in table.collect_schema().items() if dtype == pl.String]
    single = [name for name in texts if name in ids.single - ids.lists]
    table = table.with_columns(_written_once(pl.col(single), separator))
    readings: dict[str, list[Reading]] = {}
    for name in texts:
        if name in ids.single | ids.lists:
            readings[name] = [_integers, _long_integers, _booleans]
        else:
            readings[name] = [iso.dates, iso.date_times, iso.instants, iso.clocks]
            readings[name] += [_comma_numbers] if separator == ";" else []
    readings = _fitting(table.head(HEAD), readings, none=True)
    readings = _fitting(table, readings, none=False)
    return table.with_columns(ways[0](pl.col(name)) for name, ways in readings.items())


def _fitting(
    table: pl.LazyFrame, readings: dict[str, list[Reading]], *, none: bool
) -> dict[str, list[Reading]]:
    """Return the readings that fit all values; ``none`` says whether they fit a column of nulls."""
    asked = [(name, way) for name, ways in readings.items() for way in ways]
    if not asked:
        return {}
    fits = [
        (way(pl.col(name)).null_count() == pl.col(name).null_count())
        & ((pl.col(name).count() > 0) | none)
        & (_mostly_commas(pl.col(name)) if way is _comma_numbers and not none else True)
        for name, way in asked
    ]
    named = [expression.alias(str(i)) for i, expression in enumerate(fits)]
    found = table.select(named).collect(engine="streaming").row(0)
    kept: dict[str, list[Reading]] = {}
    for (name, way), fit in zip(asked, found, strict=True):
        if fit:
            kept.setdefault(name, []).append(way)
    return kept


_INTEGER = r"0|-?[1-9]\d*"


def _written_once(text: pl.Expr, separator: str) -> pl.Expr:
    """Write what is one id in one way: whole floats as integers, booleans in small letters."""
    point = "[.,]" if separator == ";" else r"\."
    whole = text.str.replace(rf"^({_INTEGER}){point}0+$", "$1")
    return whole.str.replace("^(?:True|TRUE)$", "true").str.replace("^(?:False|FALSE)$", "false")


def _integers(text: pl.Expr) -> pl.Expr:
    return _numbers(text, f"^(?:{_INTEGER})$", pl.Int64())


def _long_integers(text: pl.Expr) -> pl.Expr:
    return _numbers(text, f"^(?:{_INTEGER})$", pl.Int128())


def _numbers(text: pl.Expr, pattern: str, dtype: pl.DataType) -> pl.Expr:
    return pl.when(text.str.contains(pattern)).then(text.cast(dtype, strict=False))


def _booleans(text: pl.Expr) -> pl.Expr:
    return pl.when(text.is_in(["true", "false"])).then(text == "true")


def _comma_numbers(text: pl.Expr) -> pl.Expr:
    """Read numbers with a decimal comma, such as 3,50."""
    written = text.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    return pl.when(text.str.contains(r"^[-+]?\d+(,\d+)?$")).then(written)


def _mostly_commas(text: pl.Expr) -> pl.Expr:
    """Say whether most values have a comma: integers in quotes have none."""
    return text.str.contains(",", literal=True).sum() > 0.5 * text.count()


def _has_blank_lines(path: Path) -> bool:
    """Say whether a line is empty, or may be: it may also stand inside quotes."""
    before = b"\n"
    with _opened(path) as file:
        while block := file.read(1 << 20):
            block = (before + block).replace(b"\r\n", b"\n")
            if b"\n\n" in block:
                return True
            before = block[-2:]
    return False


def _copy_lines(path: Path, target: IO[bytes]) -> None:
    """Copy a file without its blank lines, of which Polars makes rows without a value."""
    quoted = False
    with _opened(path) as file:
        for line in file:
            if quoted or line.strip(b"\r\n"):
                target.write(line)
            quoted ^= line.count(b'"') % 2 == 1


def _opened(path: Path) -> IO[bytes]:
    """Open a file, packed or not."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    opener: Callable[..., Any] = gzip.open if packed else Path.open
    found: IO[bytes] = opener(path, "rb")
    return found


def _separator(path: Path) -> str:
    """Return what stands most often between the column names, outside quotes.

    Raises
    ------
    DataError
        When the file is in another encoding than UTF-8.
    """
    with _opened(path) as file:
        header = file.readline(1 << 20)
    if header.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in header:
        raise DataError(f"{path}: expected text in UTF-8, found UTF-16; save it as UTF-8.")
    names = re.sub(r'"[^"]*"', "", header.decode("utf-8", errors="replace"))
    return max(",;\t|", key=names.count)
