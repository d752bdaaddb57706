"""What happened on a row, as numbers: 0 or 1, seconds, amounts; NaN where it is not known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.read import require
from trimtab.data.settings import Scalar
from trimtab.data.spelling import TEXT, spell, spelled, stated, written_numbers
from trimtab.errors import DataError, RowError

Values = NDArray[np.float32]

_YES, _NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
WORDS = dict.fromkeys(_YES, 1.0) | dict.fromkeys(_NO, 0.0)
"""Text that says whether something happened, in small letters."""
LARGEST = float(np.finfo(np.float32).max)
"""Labels are kept in 32 bits; larger ones would become infinite."""


@dataclass(frozen=True, kw_only=True)
class LabelColumn:
    """Where a label is read and what it may hold.

    Attributes
    ----------
    column
        Column of the data.
    where
        Key of the run file that asks for it, for messages.
    rule
        ``zero_one``, ``finite`` or ``not_negative``.
    positive
        Value that counts as 1, every other as 0; None where the column is numeric already.
    given
        Label of the earlier step: where that is 0 and this one is null, this one is 0.
    window
        Seconds after its row within which it may still happen: it is not known of younger rows.
    """

    column: str
    where: str
    rule: str
    positive: Scalar | None = None
    given: str | None = None
    window: float | None = None


def read_labels(
    frame: pl.DataFrame,
    labels: Mapping[str, LabelColumn],
    age: NDArray[np.float64] | None = None,
) -> dict[str, Values]:
    """Read every label of every row; null and NaN become NaN.

    Parameters
    ----------
    age
        Seconds from each row to the end of the log. A label, whatever it is, becomes NaN where
        its own window or that of a step before it is longer: of young rows only what happened
        early is in the log, so that positives alone would be too many and zeros too few to trust.
        Without it, labels are taken as they stand.

    Raises
    ------
    DataError
        When a column is missing, is no number, or holds a value that its rule forbids.
    """
    values = {name: _read(frame, label) for name, label in labels.items()}
    done: set[str] = set()
    for name in labels:
        _fill(name, labels, values, done)
    if age is not None:
        for name in labels:
            values[name][age < _window(name, labels)] = np.nan
    return values


def _window(name: str, labels: Mapping[str, LabelColumn]) -> float:
    """Return the longest window of a label and of the steps before it, in seconds."""
    label = labels[name]
    before = 0.0 if label.given is None else _window(label.given, labels)
    return max(label.window or 0.0, before)


def _fill(
    name: str, labels: Mapping[str, LabelColumn], values: dict[str, Values], done: set[str]
) -> None:
    """Set a label to 0 where an earlier step did not happen, earlier steps first."""
    given = labels[name].given
    if given is None or name in done:
        return
    _fill(given, labels, values, done)
    unreached = np.isnan(values[name]) & (values[given] == 0)
    values[name] = np.where(unreached, np.float32(0), values[name])
    done.add(name)


def _read(frame: pl.DataFrame, label: LabelColumn) -> Values:
    column = require(frame, label.column, f"{label.where}.column")
    if label.positive is not None:
        values = _equal(column, label, label.positive)
    else:
        values = _numbers(column, label)
    _RULES[label.rule](values, column, label)
    return values.astype(np.float32)


def _equal(column: pl.Series, label: LabelColumn, positive: Scalar) -> NDArray[np.float64]:
    """Return 1 where the column says ``positive``; numbers compare as numbers."""
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        number, values = _as_number(positive), column.cast(pl.Float64).fill_nan(None)
        if np.isnan(number) and values.count():
            raise DataError(
                f"{label.where}.positive: {positive!r} cannot stand in column {label.column!r}, "
                f"which is {column.dtype} such as {_common(column)}."
            )
        same = values == number
    else:
        words = spelled(column, f"{label.where}.column").str.strip_chars()
        words = words.str.to_lowercase() if isinstance(positive, bool) else words
        same = words == spell(positive).strip()
    return same.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _as_number(positive: Scalar) -> float:
    """Return what ``positive`` is in a column of numbers or booleans; NaN for no number."""
    try:
        return float({"true": 1, "false": 0}.get(str(positive).lower(), positive))
    except ValueError:
        return np.nan


def _common(column: pl.Series) -> list[Any]:
    """Return the most frequent values."""
    return column.drop_nulls().value_counts(sort=True).head(3)[column.name].to_list()


def _numbers(column: pl.Series, label: LabelColumn) -> NDArray[np.float64]:
    if column.dtype in TEXT:
        words = column.cast(pl.String).str.strip_chars().str.to_lowercase()
        numbers = words.replace_strict(WORDS, default=None, return_dtype=pl.Float64)
        if numbers.null_count() > column.null_count():
            numbers = written_numbers(column)
        wrong = column.filter(numbers.is_null() & stated(column).is_not_null())
        if len(wrong):
            hint = ' Say which value is the positive one: positive = "...".'
            raise DataError(
                f"{label.where}: column {label.column!r} is text such as {_common(wrong)}; "
                f"expected numbers.{hint if label.rule == 'zero_one' else ''}"
            )
        column = numbers
    if column.dtype == pl.Duration:
        column = column.dt.total_microseconds() / 1e6
    if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        raise DataError(f"{label.where}: column {label.column!r} is {column.dtype}, not a number.")
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _forbid(
    bad: NDArray[np.bool_], values: NDArray[np.float64], label: LabelColumn, expected: str
) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise RowError(
            f"{label.where}: column {label.column!r} holds {values[row]:g} in row {{row}} "
            f"({int(bad.sum()):,} such rows); expected {expected}.",
            row,
        )


def _zero_one(values: NDArray[np.float64], column: pl.Series, label: LabelColumn) -> None:
    bad = ~(np.isnan(values) | (values == 0) | (values == 1))
    _forbid(bad, values, label, "0 or 1, or the value that counts named by 'positive'")


def _finite(values: NDArray[np.float64], column: pl.Series, label: LabelColumn) -> None:
    _forbid(np.abs(values) > LARGEST, values, label, "finite numbers")


def _not_negative(values: NDArray[np.float64], column: pl.Series, label: LabelColumn) -> None:
    bad = (values > LARGEST) | (values < 0)
    _forbid(bad, values, label, "finite numbers of 0 or more")


_RULES: dict[str, Callable[[NDArray[np.float64], pl.Series, LabelColumn], None]] = {
    "zero_one": _zero_one,
    "finite": _finite,
    "not_negative": _not_negative,
}


def read_weights(frame: pl.DataFrame, columns: Mapping[str, str]) -> dict[str, Values]:
    """Read weight columns; the keys are ``""`` for the row's weight, else a target's name.

    Raises
    ------
    DataError
        When a weight is missing, NaN, infinite or negative.
    """
    weights = {}
    for name, column in columns.items():
        where = f"targets.{name}.row_weight" if name else "data.row_weight"
        label = LabelColumn(column=column, where=where, rule="not_negative")
        values = _numbers(require(frame, column, where), label)
        bad = ~((values >= 0) & (values <= LARGEST))
        _forbid(bad, values, label, "finite weights of 0 or more")
        weights[name] = values.astype(np.float32)
    return weights
