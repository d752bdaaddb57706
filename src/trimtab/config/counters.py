"""Side-table numbers that were counted over the very rows a run is measured on.

A video's "likes so far", taken today, holds the likes of the valid rows. Nothing else can tell
more about what a key's valid rows did than its true rate does: the rest is chance. So a number
that follows the valid rows more closely than chance leaves room for was counted on them. A
counter of years, most of whose rows lie before the training rows, stays below that bound.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.config.examined import Examined
from trimtab.config.facts import PRIOR
from trimtab.config.findings import Finding
from trimtab.data.read import read

LEAST_KEYS = 200
"""With fewer keys that have two valid rows or more, nothing is said."""
MARGIN = 0.1
"""How far a correlation passes the closest that chance allows before it is called a leak."""

Floats = NDArray[np.float64]


def counters(examined: Examined) -> list[Finding]:
    """Return the numeric features of side tables that know the valid rows' labels."""
    findings = []
    for key, features in _by_key(examined).items():
        known = examined.train[key]
        keys = pl.concat([known, examined.valid[key].cast(known.dtype, strict=False)])
        code = keys.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        train, valid = code[: len(examined.train)], code[len(examined.train) :]
        first = np.full(code.max() + 1, -1)
        first[valid] = np.arange(len(valid))
        values = {
            name: _numbers(examined.valid[column], first) for name, column in features.items()
        }
        for label in examined.binary:
            sides = (examined.train_labels[label], examined.valid_labels[label])
            for name, told in excess((train, valid), sides, values).items():
                findings.append(_finding(name, key, label, *told))
    return findings


def excess(
    keys: tuple[NDArray[np.int64], NDArray[np.int64]],
    labels: tuple[NDArray[np.float32], NDArray[np.float32]],
    values: Mapping[str, Floats],
) -> dict[str, tuple[float, float]]:
    """Return the values whose correlation passes its bound, with both.

    With n valid rows of a key of which V are positive, and q the key's smoothed rate on training
    rows, let ``R = (V - n q) / sqrt(n)``. Given the rows, the chance in R has variance
    ``p (1 - p)``, of which ``V (n - V) / (n (n - 1))`` is an unbiased estimate. A value that was
    known before is uncorrelated with that chance, so its correlation with R is at most
    ``sqrt(1 - chance / var R)``. What counts of rows tell is first regressed out of both sides.

    Parameters
    ----------
    keys, labels
        Of the training and of the valid rows; keys as numbers from 0, 0 for none.
    values
        Number of each key, NaN where it has none.
    """
    size = len(next(iter(values.values())))
    before, during = (_counts(*side, size) for side in zip(keys, labels, strict=True))
    rate = (before[1] + PRIOR * during[1].sum() / max(during[0].sum(), 1)) / (before[0] + PRIOR)
    found = {}
    for name, value in values.items():
        kept = (during[0] >= 2) & np.isfinite(value)
        kept[0] = False
        if kept.sum() < LEAST_KEYS:
            continue
        (n, v), x = during[:, kept], value[kept]
        design = np.log1p(np.vstack([np.full(len(n), np.e - 1), n, before[:, kept]])).T
        left = _rest(design, np.log1p(x - x.min()))
        right = _rest(design, (v - n * rate[kept]) / np.sqrt(n))
        chance = (v * (n - v) / (n * (n - 1))).mean()
        bound = float(np.sqrt(max(0.0, 1 - chance / max(right.var(), 1e-12))))
        scale = left.std() * right.std()
        told = abs(float((left * right).mean() / scale)) if scale > 1e-9 else 0.0
        if told > bound + max(MARGIN, 4 / np.sqrt(len(n))):
            found[name] = (told, bound)
    return found


def _counts(key: NDArray[np.int64], label: NDArray[np.float32], size: int) -> Floats:
    """Return how many rows each key has whose label is known, and how many positives."""
    seen = ~np.isnan(label)
    rows = np.bincount(key[seen], minlength=size)
    return np.stack([rows, np.bincount(key[seen], label[seen], minlength=size)])


def _rest(design: Floats, values: Floats) -> Floats:
    """Return what a linear regression leaves."""
    coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
    return np.asarray(values - design @ coefficients)


def _by_key(examined: Examined) -> dict[str, dict[str, str]]:
    """Return key column to the numeric features of its side tables, feature to column."""
    found: dict[str, dict[str, str]] = {}
    for join in examined.settings.data.join:
        taken = {join.prefix + c for c in join.columns or read(join.table).columns if c != join.on}
        for name, feature in examined.settings.features.items():
            column = feature.column or name
            if column in taken and examined.rows[column].dtype.is_numeric():
                found.setdefault(join.on, {})[name] = column
    return found


def _numbers(column: pl.Series, first: NDArray[np.int64]) -> Floats:
    """Return each key's number, NaN for a key without a valid row."""
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(first >= 0, values[first], np.nan)


def _finding(name: str, key: str, label: str, told: float, bound: float) -> Finding:
    return Finding(
        severity="warning",
        where=f"features.{name}",
        what=(
            f"It seems to be counted over the valid rows too: by {key} it follows their {label} "
            f"with a correlation of {told:.2f} beyond what training rows tell, and a number known "
            f"before reaches {bound:.2f} at most."
        ),
        advice="Take its value as of before the valid rows, or leave it out.",
    )
