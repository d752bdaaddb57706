"""Dates and times written as ISO 8601, and no others: 01/02/2024 is two days, so it is none."""

from typing import Any

import polars as pl

_DAY = r"\d{4}-\d{2}-\d{2}"
_CLOCK = r"\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?"
_ZONE = r"(?:Z|[+-][0-2]\d(?::?[0-5]\d)?)"


def dates(text: pl.Expr) -> pl.Expr:
    """Return the days: ``2026-05-04``; null for anything else."""
    return _read(text, _DAY, pl.Date(), ["%Y-%m-%d"])


def clocks(text: pl.Expr) -> pl.Expr:
    """Return the times of a day: ``16:00`` or ``16:00:00.5``; null for anything else."""
    return _read(text, _CLOCK, pl.Time(), ["%H:%M:%S%.f", "%H:%M"])


def date_times(text: pl.Expr) -> pl.Expr:
    """Return the times that name no zone: ``2026-05-04T16:00``; null for anything else."""
    formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
    text = text.str.replace(" ", "T", literal=True)
    return _read(text, f"{_DAY}T{_CLOCK}", pl.Datetime("us"), formats)


def instants(text: pl.Expr) -> pl.Expr:
    """Return the times with a zone: ``2026-05-04 16:00:00+08:00``; null for anything else."""
    zone = text.str.extract(f"{_CLOCK}({_ZONE})$")
    digits = zone.str.slice(1).str.replace(":", "", literal=True).str.pad_end(4, "0")
    offset = digits.cast(pl.Int64, strict=False)
    minutes = offset // 100 * 60 + offset % 100
    east = pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes)
    local = date_times(text.str.replace(f"{_ZONE}$", ""))
    return pl.when(zone.is_not_null()).then(
        (local - pl.duration(minutes=east)).dt.replace_time_zone("UTC")
    )


def times(column: pl.Series) -> pl.Series:
    """Return text as times; null where it is none, or unlike the first one in naming a zone."""
    text = pl.col(column.name).str.strip_chars()
    local = pl.coalesce(dates(text).cast(pl.Datetime("us")), date_times(text))
    frame = column.to_frame()
    zoned = frame.select(instants(text))[column.name]
    if len(zoned) and zoned[0] is not None:
        return zoned
    return frame.select(local)[column.name]


def _read(text: pl.Expr, pattern: str, dtype: Any, formats: list[str]) -> pl.Expr:
    found = [text.str.strptime(dtype, how, strict=False) for how in formats]
    return pl.when(text.str.contains(f"^{pattern}$")).then(pl.coalesce(found))
