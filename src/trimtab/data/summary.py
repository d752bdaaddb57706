"""What is said of a log's rows in the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from trimtab.data.columns import Columns
from trimtab.data.plan import DataPlan
from trimtab.data.statistics import Statistics


def summary(
    plan: DataPlan,
    statistics: Statistics,
    encoded: Sequence[Columns],
    *,
    spans: Sequence[tuple[int, int]] | None,
    missing: Mapping[str, int],
) -> dict[str, Any]:
    """Describe the training and the valid rows.

    Parameters
    ----------
    spans
        The first and the last instant of either, in microseconds since 1970; None without a time.
    missing
        Feature to the training rows without a value.
    """
    train, valid = encoded
    counts = [_scene_rows(columns, statistics) for columns in encoded]
    zone = plan.data.time_zone
    return {
        "rows": {"train": len(train), "valid": len(valid)},
        "time": {
            part: _shown(span, zone) for part, span in zip(("train", "valid"), spans, strict=True)
        }
        if spans
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
                "missing": missing[name] / len(train),
            }
            for name, feature in plan.features.items()
        ],
    }


def missing_rows(column: pl.Series) -> int:
    """Count the values that are null or NaN."""
    column = column.fill_nan(None) if column.dtype.is_float() else column
    return column.null_count()


def _scene_rows(columns: Columns, statistics: Statistics) -> list[int]:
    """Count the rows of every scene; each row passes through every stage."""
    names = statistics.scenes.names
    if statistics.scenes.staged:
        return [len(columns)] * len(names)
    counts: list[int] = np.bincount(columns.arrays["scene"], minlength=len(names)).tolist()
    return counts


def _shown(span: tuple[int, int], time_zone: str) -> list[str]:
    """Return the first and the last minute, in the zone of the run file."""
    ends = pl.Series(span, dtype=pl.Datetime("us", "UTC"))
    return ends.dt.convert_time_zone(time_zone).dt.strftime("%Y-%m-%d %H:%M").to_list()
