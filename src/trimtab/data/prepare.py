"""A run's log, from files to encoded training and valid rows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data import cache
from trimtab.data.columns import Columns
from trimtab.data.feature import FeatureSettings
from trimtab.data.join import join
from trimtab.data.labels import LabelColumn, read_labels, read_weights
from trimtab.data.read import as_frame, files, read, require
from trimtab.data.settings import DataSettings, InFile, ScenesSettings
from trimtab.data.split import instants, split
from trimtab.data.statistics import Statistics, raw_column
from trimtab.errors import DataError

Seconds = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Base:
    """What an earlier run learnt, which this one takes over and adds to.

    Attributes
    ----------
    key
        The same for the same statistics of the earlier run.
    statistics
        The earlier run's; or, where they are ``complete``, with what this one's rows add.
    """

    key: str
    statistics: Statistics
    complete: bool = False

    def learn(self, plan: "DataPlan", train: pl.DataFrame) -> Statistics:
        """Return the statistics with what training rows add to them."""
        if self.complete:
            return self.statistics
        return self.statistics.grown(Statistics.learn(plan.features, plan.scenes, train))


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """Everything that decides what the encoded columns hold."""

    data: DataSettings
    features: Mapping[str, FeatureSettings]
    scenes: ScenesSettings | None
    labels: Mapping[str, LabelColumn]
    weights: Mapping[str, str]
    base: Base | None = None

    def key(self) -> str:
        """Return the plan as text, the same for the same plan."""
        return json.dumps(
            {
                "data": self.data.model_dump(mode="json"),
                "features": {n: f.model_dump(mode="json") for n, f in self.features.items()},
                "scenes": self.scenes and self.scenes.model_dump(mode="json"),
                "labels": {name: vars(label) for name, label in self.labels.items()},
                "weights": dict(self.weights),
                "base": self.base and self.base.key,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Encoded rows, what was learnt of them, and a summary for people."""

    train: Columns
    valid: Columns
    statistics: Statistics
    summary: dict[str, Any]


def raw_rows(data: DataSettings, frame: Any = None) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the log (or ``frame``) with its side tables joined, and its count of duplicates."""
    if frame is None and data.log is None:
        raise DataError("data.log: no log is named and no frame was given.")
    log = read(data.log or "") if frame is None else as_frame(frame)
    distinct = log.unique(maintain_order=True)
    found = len(log) - len(distinct)
    dropped = found if data.duplicates == "drop" else 0
    kept = distinct if dropped else log
    return join(kept, data.join), {"found": found, "dropped": dropped}


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
    place = cache.folder() / cache.key(plan.key(), _inputs(plan.data))
    return _from_cache(plan, place) or _into_cache(plan, place)


def encode_rows(plan: DataPlan, statistics: Statistics, frame: Any, *, labelled: bool) -> Columns:
    """Encode new rows (a frame or a path) with what a run learnt; labels only where asked."""
    data = plan.data
    rows = read(str(frame)) if isinstance(frame, str | Path) else as_frame(frame)
    if labelled:
        rows, _ = raw_rows(data, rows)
        age = _age(plan, rows, log=rows)
        return statistics.columns(rows, plan.labels, plan.weights, data.user, age)
    rows = join(rows, data.join)
    return statistics.columns(rows, {}, {}, data.user if data.user in rows.columns else None)


def _inputs(data: DataSettings) -> list[Path]:
    sources = [data.log or [], *(j.table for j in data.join)]
    if isinstance(data.valid, InFile):
        sources.append(data.valid.file)
    return [path for source in sources for path in files(source)]


def _encode(plan: DataPlan, frame: Any) -> Prepared:
    data = plan.data
    rows, duplicates = raw_rows(data, frame)
    read_labels(rows, plan.labels)  # Wrong values are told by their row here, before the split.
    read_weights(rows, plan.weights)
    for name, feature in plan.features.items():
        feature.check(raw_column(rows, name, feature))
    train, valid = split(rows, data, extend=lambda more: raw_rows(data, more)[0])
    ages = (
        _age(plan, train, log=rows),
        _age(plan, valid, log=valid if isinstance(data.valid, InFile) else rows),
    )
    _require_known(plan, ages[0])
    if plan.base is not None:
        statistics = plan.base.learn(plan, train)
    else:
        statistics = Statistics.learn(plan.features, plan.scenes, train)
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
            **_summary(plan, statistics, (train, valid), encoded),
        },
    )


def _age(plan: DataPlan, rows: pl.DataFrame, *, log: pl.DataFrame) -> Seconds | None:
    """Return the seconds from each row to the last row of its log; None where no label asks."""
    data = plan.data
    if all(label.window is None for label in plan.labels.values()):
        return None
    times, of_log = (
        instants(require(frame, data.time or "", "data.time"), "data.time", data.time_zone)
        for frame in (rows, log)
    )
    return (int(of_log.max()) - times.to_numpy().astype(np.float64)) / 1e6  # type: ignore[arg-type]


def _require_known(plan: DataPlan, age: Seconds | None) -> None:
    """Refuse a window within which all training rows are."""
    for label in plan.labels.values():
        if age is not None and label.window is not None and (age < label.window).all():
            raise DataError(
                f"{label.where}.window: no training row is that much older than the end of the "
                f"log; the oldest is {age.max() / 86400:.3g} days older. Make the window shorter."
            )


def _from_cache(plan: DataPlan, place: Path) -> Prepared | None:
    """Return what an intact cache holds; None where there is none, or another run replaces it."""
    if not cache.intact(place):
        return None
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


def _summary(
    plan: DataPlan,
    statistics: Statistics,
    parts: tuple[pl.DataFrame, pl.DataFrame],
    encoded: tuple[Columns, Columns],
) -> dict[str, Any]:
    """Describe the data for the report."""
    train, valid = parts
    counts = [_scene_rows(columns, statistics) for columns in encoded]
    return {
        "rows": {"train": len(train), "valid": len(valid)},
        "time": {"train": _span(train, plan.data), "valid": _span(valid, plan.data)}
        if plan.data.time
        else None,
        "scenes": [
            {"name": name, "train_rows": counts[0][i], "valid_rows": counts[1][i]}
            for i, name in enumerate(statistics.scenes.names)
        ],
        "features": [
            {
                "name": name,
                "kind": feature.kind,
                "detail": statistics.learnt[name].describe(),
                "missing": _missing(raw_column(train, name, feature)),
            }
            for name, feature in plan.features.items()
        ],
    }


def _scene_rows(columns: Columns, statistics: Statistics) -> list[int]:
    """Count the rows of every scene; each row passes through every stage."""
    names = statistics.scenes.names
    if statistics.scenes.staged:
        return [len(columns)] * len(names)
    counts: list[int] = np.bincount(columns.arrays["scene"], minlength=len(names)).tolist()
    return counts


def _missing(column: pl.Series) -> float:
    """Return the share of values that are null or NaN."""
    column = column.fill_nan(None) if column.dtype.is_float() else column
    return column.null_count() / len(column)


def _span(frame: pl.DataFrame, data: DataSettings) -> list[str]:
    """Return the first and the last minute, in the zone of the run file."""
    times = instants(require(frame, data.time or "", "data.time"), "data.time", data.time_zone)
    ends = pl.Series([times.min(), times.max()], dtype=pl.Datetime("us", "UTC"))
    return ends.dt.convert_time_zone(data.time_zone).dt.strftime("%Y-%m-%d %H:%M").to_list()
