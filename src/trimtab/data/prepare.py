"""A run's log, from files to encoded training and valid rows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data import cache
from trimtab.data.chunked import prepare_chunks
from trimtab.data.columns import Columns
from trimtab.data.csv import NONE, IdColumns
from trimtab.data.join import join
from trimtab.data.plan import Base, DataPlan
from trimtab.data.read import as_frame, files, read, require
from trimtab.data.settings import DataSettings
from trimtab.data.split import instants, split
from trimtab.data.statistics import Statistics, raw_column
from trimtab.data.summary import missing_rows, summary
from trimtab.errors import DataError, RunError

__all__ = ["Base", "DataPlan", "Prepared", "encode_rows", "prepare", "raw_rows"]

Seconds = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Encoded rows, what was learnt of them, and a summary for people."""

    train: Columns
    valid: Columns
    statistics: Statistics
    summary: dict[str, Any]


def raw_rows(
    data: DataSettings, frame: Any = None, ids: IdColumns = NONE
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the log (or ``frame``) with its side tables joined, and its count of duplicates."""
    if frame is None and data.log is None:
        raise DataError("data.log: no log is named and no frame was given.")
    log = read(data.log or "", ids) if frame is None else as_frame(frame)
    distinct = log.unique(maintain_order=True)
    found = len(log) - len(distinct)
    dropped = found if data.duplicates == "drop" else 0
    kept = distinct if dropped else log
    return join(kept, data.join, ids), {"found": found, "dropped": dropped}


def prepare(plan: DataPlan, frame: Any = None) -> Prepared:
    """Read, join, split and encode; from the cache where the same was done before.

    A frame is encoded in memory and not cached.

    Raises
    ------
    DataError
        When the log, a side table or a label is not as the plan says.
    """
    if frame is not None:
        return _encode(plan, frame)
    place, most = cache.folder() / cache.key(plan.key(), _inputs(plan.data)), cache.limit()
    fill = _into_cache if plan.data.memory is None else _chunks_into_cache
    found = _from_cache(plan, place)
    if found is None:
        found = fill(plan, place)
        cache.shrink(most, keep=place)
    return found


def table(plan: DataPlan, frame: Any, *, empty: bool = False) -> pl.DataFrame:
    """Return a frame, or the rows of a file, read as the log is.

    Parameters
    ----------
    empty
        Whether a frame may have no rows.
    """
    if isinstance(frame, str | Path):
        return read(str(frame), plan.ids)
    return as_frame(frame, empty=empty)


def encode_rows(plan: DataPlan, statistics: Statistics, frame: Any, *, labelled: bool) -> Columns:
    """Encode new rows (a frame or a path) with what a run learnt; labels only where asked."""
    data = plan.data
    rows = table(plan, frame, empty=not labelled)
    if labelled:
        rows, _ = raw_rows(data, rows, plan.ids)
        age = _age(plan, rows, log=rows)
        return statistics.columns(rows, plan.labels, plan.weights, data.user, age)
    rows = join(rows, data.join, plan.ids)
    return statistics.columns(rows, {}, {}, data.user if data.user in rows.columns else None)


def _inputs(data: DataSettings) -> list[Path]:
    sources = [data.log or [], *(j.table for j in data.join)]
    sources += [data.valid_file] if data.valid_file else []
    return [path for source in sources for path in files(source)]


def _encode(plan: DataPlan, frame: Any) -> Prepared:
    data = plan.data
    rows, duplicates = raw_rows(data, frame, plan.ids)
    plan.check(rows)  # Wrong values are told by their row here, before the split.
    train, valid = split(
        rows, data, extend=lambda more: raw_rows(data, more, plan.ids)[0], ids=plan.ids
    )
    ages = (
        _age(plan, train, log=rows),
        _age(plan, valid, log=valid if data.valid_file else rows),
    )
    if ages[0] is not None:
        plan.require_known(float(ages[0].max()))
    statistics = plan.learnt(lambda: Statistics.learn(plan.features, plan.scenes, train))
    missing = {
        name: missing_rows(raw_column(train, name, feature))
        for name, feature in plan.features.items()
    }
    encoded = (
        statistics.columns(train, plan.labels, plan.weights, data.user, ages[0]),
        statistics.columns(valid, plan.labels, plan.weights, data.user, ages[1]),
    )
    return Prepared(
        train=encoded[0],
        valid=encoded[1],
        statistics=statistics,
        summary={
            "log": data.log if frame is None else "a frame",
            "duplicates": duplicates,
            **summary(
                plan,
                statistics,
                encoded,
                spans=(_span(train, data), _span(valid, data)) if data.time else None,
                missing=missing,
            ),
        },
    )


def _age(plan: DataPlan, rows: pl.DataFrame, *, log: pl.DataFrame) -> Seconds | None:
    """Return the seconds from each row to the last row of its log; None where no label asks."""
    data = plan.data
    if not plan.waits:
        return None
    times, of_log = (
        instants(require(frame, data.time or "", "data.time"), "data.time", data.time_zone)
        for frame in (rows, log)
    )
    return (int(of_log.max()) - times.to_numpy().astype(np.float64)) / 1e6  # type: ignore[arg-type]


def _from_cache(plan: DataPlan, place: Path) -> Prepared | None:
    """Return what an intact cache holds; None where there is none, or another run replaces it."""
    if not cache.intact(place):
        return None
    cache.used(place)
    try:
        return Prepared(
            train=cache.read(place / "train"),
            valid=cache.read(place / "valid"),
            statistics=Statistics.load(place, plan.features),
            summary=json.loads((place / "summary.json").read_text(encoding="utf-8")),
        )
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
        return None


def _into_cache(plan: DataPlan, place: Path) -> Prepared:
    """Encode and keep the result; a full or read-only disk costs the cache, not the run."""
    prepared = _encode(plan, None)
    try:
        with cache.writing(place) as folder:
            cache.write(prepared.train, folder / "train")
            cache.write(prepared.valid, folder / "valid")
            prepared.statistics.save(folder)
            (folder / "summary.json").write_text(json.dumps(prepared.summary), encoding="utf-8")
    except OSError:
        return prepared
    return _from_cache(plan, place) or prepared


def _chunks_into_cache(plan: DataPlan, place: Path) -> Prepared:
    """Encode chunk by chunk on disk, which must have room."""
    try:
        with cache.writing(place) as folder:
            found = prepare_chunks(plan, folder)
            (folder / "summary.json").write_text(json.dumps(found), encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"{place}: the encoded log cannot be written: {error.strerror}. Make room, or name "
            "another folder in TRIMTAB_CACHE; without data.memory no disk is needed."
        ) from None
    prepared = _from_cache(plan, place)
    if prepared is None:
        raise RunError(f"{place}: gone, or changed, as soon as it was written; train again.")
    return prepared


def _span(frame: pl.DataFrame, data: DataSettings) -> tuple[int, int]:
    """Return the first and the last time, in microseconds since 1970."""
    times = instants(require(frame, data.time or "", "data.time"), "data.time", data.time_zone)
    return times.min(), times.max()  # type: ignore[return-value]
