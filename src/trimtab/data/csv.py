"""CSV files: their separator, missing values and decimal commas."""

import gzip
import re
from pathlib import Path
from typing import Any

import polars as pl

MISSING = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None", "\\N", "?"]
"""What a CSV may hold for a value that is not there."""


_CSV: dict[str, Any] = {
    "null_values": MISSING,
    "infer_schema_length": None,
    "encoding": "utf8-lossy",
    "try_parse_dates": True,
    "glob": False,
}


def read_csv(path: Path) -> pl.DataFrame:
    """Read a CSV file, packed or not."""
    separator = _separator(path)
    return _rows_of_text(pl.read_csv(path, separator=separator, **_CSV).lazy(), separator).collect()


def scan_csv(path: Path) -> pl.LazyFrame:
    """Return a CSV file's rows, not read yet but for their types."""
    separator = _separator(path)
    return _rows_of_text(pl.scan_csv(path, separator=separator, **_CSV), separator)


def _rows_of_text(table: pl.LazyFrame, separator: str) -> pl.LazyFrame:
    """Drop empty lines, which are no rows, and read decimal commas where they are."""
    table = table.filter(~pl.all_horizontal(pl.all().is_null()))
    return _decimal_commas(table) if separator == ";" else table


def _decimal_commas(table: pl.LazyFrame) -> pl.LazyFrame:
    """Read columns as numbers where nearly every value is one with a comma, such as 3,50."""
    texts = pl.col([name for name, dtype in table.collect_schema().items() if dtype == pl.String])
    numbers = texts.str.contains(r"^[-+]?\d+(,\d+)?$").all()
    commas = texts.str.contains(",", literal=True).sum() > 0.5 * texts.count()
    found = table.select(numbers & commas).collect(engine="streaming")
    names = [name for name in found.columns if found[name][0]]
    return table.with_columns(pl.col(names).str.replace(",", ".").cast(pl.Float64))


def _separator(path: Path) -> str:
    """Return what stands most often between the column names, outside quotes."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        header = file.readline(1 << 20).decode("utf-8", errors="replace")
    names = re.sub(r'"[^"]*"', "", header)
    return max(",;\t|", key=names.count)
