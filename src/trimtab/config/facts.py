"""What the data doctor measures of each feature."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.config.examined import Codes, Examined, draw
from trimtab.data.feature import Encoded, FeatureSettings
from trimtab.data.statistics import raw_column
from trimtab.data.vocabulary import UNSEEN
from trimtab.evaluation.metrics import auc

PRIOR = 20.0
"""Rows of the overall mean that each smoothed mean starts from."""
BINS = 256
"""Most ranges of a number, each with a mean of its own."""
FEW = 50
"""With fewer rows of either class an AUC, or two columns that agree, say little."""
SAME = 20_000
"""Rows on which columns are compared value by value."""

VALUES = 2_000_000
"""Values of a list feature that its means are learnt from, and that rows are scored by."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FeatureFacts:
    """What is measured of one feature.

    Attributes
    ----------
    missing
        Share of the training rows without a value.
    constant
        Whether the model sees one value only.
    unseen
        Share of the valid rows whose id is not in the vocabulary.
    distinct
        Distinct ids a training row that has one; 0 for numbers and lists.
    same_as
        Labels that the column tells exactly, value for value.
    auc
        Label to the AUC of the feature alone on valid rows. A label that is not 0 or 1 counts as
        1 above its median.
    """

    name: str
    column: str
    missing: float
    constant: bool
    unseen: float
    distinct: float
    same_as: list[str]
    auc: dict[str, float]


@dataclass(frozen=True)
class _Outcome:
    """One label as 0 and 1 on the sampled rows; a row that was not observed counts 0 times."""

    train: Floats
    train_seen: Floats
    valid: Floats
    valid_seen: Floats


@dataclass(frozen=True)
class _Values:
    """A feature's values end to end, and the row of each; None where every row has just one."""

    train: NDArray[Any]
    valid: NDArray[Any]
    train_rows: Codes | None = None
    valid_rows: Codes | None = None

    def auc(self, outcome: _Outcome) -> float:
        """Return the AUC on valid rows of the training rows' smoothed mean of each value.

        A row with several values is scored by the mean over them, one without by the overall mean.
        """
        rows = slice(None) if self.train_rows is None else self.train_rows
        size = 1 + int(max(self.train.max(initial=0), self.valid.max(initial=0)))
        happened = np.bincount(self.train, outcome.train[rows], minlength=size)
        seen = np.bincount(self.train, outcome.train_seen[rows], minlength=size)
        prior = outcome.train.sum() / outcome.train_seen.sum()
        means = (happened + PRIOR * prior) / (seen + PRIOR)
        if self.valid_rows is not None:
            lengths = np.bincount(self.valid_rows, minlength=len(outcome.valid))
            sums = np.bincount(self.valid_rows, means[self.valid], minlength=len(lengths))
            score = np.where(lengths > 0, sums / np.maximum(lengths, 1), prior)
            return auc(outcome.valid, score, outcome.valid_seen)
        ones = np.bincount(self.valid, outcome.valid, minlength=size)
        zeros = np.bincount(self.valid, outcome.valid_seen, minlength=size) - ones
        classes = np.repeat([1.0, 0.0], size)
        return auc(classes, np.tile(means, 2), np.concatenate([ones, zeros]))


def measure(examined: Examined) -> Iterator[FeatureFacts]:
    """Measure every feature, one at a time, each learnt from training rows as a run learns it."""
    train, valid = examined.sampled_rows
    outcomes = _outcomes(examined)
    compared = draw(len(examined.rows), SAME)
    labels = {
        name: _ranks(examined.rows[one.column][compared]) for name, one in examined.labels.items()
    }
    for name, settings in examined.settings.features.items():
        feature: FeatureSettings = settings.model_copy(update={"shares": None})
        column = raw_column(train, name, feature)
        learnt = feature.learn(column, None)
        seen, held_out = learnt.encode(column), learnt.encode(raw_column(valid, name, feature))
        values = _values(seen, held_out)
        known = feature.vocabulary(learnt) is not None and bool(seen.ids)
        ranks = _ranks(raw_column(examined.rows, name, feature)[compared])
        yield FeatureFacts(
            name=name,
            column=feature.column or name,
            missing=_missing(column),
            constant=_constant(seen),
            unseen=float(np.mean([codes == UNSEEN for codes in held_out.ids.values()]))
            if known
            else 0.0,
            distinct=_distinct(column) if known else 0.0,
            same_as=[label for label, others in labels.items() if _same(ranks, others)],
            auc={
                label: max((one.auc(outcome) for one in values), default=0.5)
                for label, outcome in outcomes.items()
            },
        )


def _outcomes(examined: Examined) -> dict[str, _Outcome]:
    """Return the labels with enough rows of both classes on either side."""
    outcomes = {}
    train_rows, valid_rows = examined.sample
    for name in examined.labels:
        train = examined.train_labels[name][train_rows]
        valid = examined.valid_labels[name][valid_rows]
        if name not in examined.binary and not np.isnan(train).all():
            edge = np.nanmedian(train)
            train, valid = (np.where(np.isnan(y), y, y > edge) for y in (train, valid))
        parts = [
            p.astype(np.float64) for y in (train, valid) for p in (np.nan_to_num(y), ~np.isnan(y))
        ]
        outcome = _Outcome(*parts)
        ones, rows = outcome.valid.sum(), outcome.valid_seen.sum()
        if min(ones, rows - ones) >= FEW and 0 < outcome.train.sum() < outcome.train_seen.sum():
            outcomes[name] = outcome
    return outcomes


def _missing(column: pl.Series) -> float:
    """Return the share of nulls, NaN, empty texts and empty lists."""
    absent = column.is_null()
    if column.dtype.is_float():
        absent |= column.is_nan().fill_null(True)
    elif column.dtype == pl.String:
        absent |= (column.str.strip_chars() == "").fill_null(True)
    elif isinstance(column.dtype, pl.List):
        absent |= (column.list.len() == 0).fill_null(True)
    return float(absent.mean() or 0)  # type: ignore[arg-type]


def _constant(encoded: Encoded) -> bool:
    flat = [*encoded.ids.values(), *encoded.numbers.values()]
    flat += [part for pair in encoded.lists.values() for part in pair]
    return all(len(values) == 0 or values.min() == values.max() for values in flat)


def _distinct(column: pl.Series) -> float:
    present = column.drop_nulls()
    return present.n_unique() / len(present) if len(present) else 0.0


def _ranks(column: pl.Series) -> Codes | None:
    """Return the place of each value among the distinct ones, 0 for none; None for lists."""
    if column.dtype.is_nested() or column.dtype == pl.Null:
        return None
    return column.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _same(a: Codes | None, b: Codes | None) -> bool:
    """Say whether each value of one column goes with one value of the other.

    Columns whose values hardly repeat go together by chance, so these must be in one order too;
    and a value that hardly stands at all proves nothing.
    """
    if a is None or b is None or a.min() == a.max():
        return False
    values = len(np.unique(a))
    if not values == len(np.unique(b)) == len(np.unique(a * (b.max() + 1) + b)):
        return False
    if values <= 2:
        return bool(np.unique(a, return_counts=True)[1].min() >= FEW)
    return 2 * values <= len(a) or bool(abs(np.corrcoef(a, b)[0, 1]) > 0.9999)


def _values(train: Encoded, valid: Encoded) -> list[_Values]:
    """Return every encoded column of a feature, numbers cut into ranges."""
    found = [_Values(codes, valid.ids[name]) for name, codes in train.ids.items()]
    for name, numbers in train.numbers.items():
        shares = np.linspace(0, 1, int(np.clip(len(numbers) // 50, 2, BINS)) + 1)[1:-1]
        edges = np.unique(np.quantile(numbers, shares))
        cut = [np.searchsorted(edges, side) for side in (numbers, valid.numbers[name])]
        found.append(_Values(*cut))
    for name, lists in train.lists.items():
        (seen, seen_rows), (held_out, held_out_rows) = map(_spread, (lists, valid.lists[name]))
        found.append(_Values(seen, held_out, seen_rows, held_out_rows))
    return found


def _spread(lists: tuple[NDArray[Any], NDArray[Any]]) -> tuple[NDArray[Any], Codes]:
    """Return the values of lists and the row of each, or of about `VALUES` of them."""
    values, lengths = lists
    rows = np.repeat(np.arange(len(lengths)), lengths)
    if len(values) <= VALUES:
        return values, rows
    kept = np.random.default_rng(0).random(len(values)) < VALUES / len(values)
    return values[kept], rows[kept]
