"""What trees read: numbers, and smoothed means of the targets for ids of many values.

An id becomes the number behind it where it is one (an age), else its table row as a category.
An id or list of many values also becomes the mean of every target over the rows that have it,
drawn towards the mean of all rows, and how many they are. Training rows get the means of the other
folds, so that no row sees its own labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .worker_quality import Floats, Outcome, Part, Work

FOLDS = 5
SMOOTHING = 20.0
MANY_VALUES = 100
MOST_NUMBERS = 2_000
MOST_CATEGORIES = 250
FIRST = 2
"""Table rows below this one stand for a missing value and for values not seen."""

Values = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns of the training and valid rows; ``categories`` are the places of ids among them."""

    train: Floats
    valid: Floats
    categories: list[int]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Values of rows, ``of[i]`` of row ``row[i]``: one a row for an id, any number for a list."""

    of: Values
    row: Values
    rows: int


FitOne = Callable[[Work, Table, Floats, Floats, bool], tuple[Floats, int, int]]
"""From labels of training and valid rows, and whether they are binary, to predictions of the
valid rows, rounds done, and the best of them."""


def fit(work: Work, fit_one: FitOne) -> Outcome:
    """Train one model a target, each stopped by its own metric on the valid rows."""
    found, rounds, best = {}, [], []
    table = columns(work)
    for target, facts in enumerate(work.facts["targets"]):
        labels = work.train.labels[:, target], work.valid.labels[:, target]
        binary, seconds = facts["measure"] == "probability", np.float32(facts["seconds"])
        if not binary:  # logarithms of seconds, as of the networks
            labels = np.log1p(labels[0] * seconds), np.log1p(labels[1] * seconds)
        valid, done, kept = fit_one(work, table, *labels, binary)
        found[facts["name"]] = valid if binary else np.maximum(np.expm1(valid), 0) / seconds
        rounds.append(done)
        best.append(kept)
    return Outcome(
        predictions=found, epochs=float(np.mean(rounds)), best_epoch=float(np.mean(best))
    )


def columns(work: Work) -> Table:
    """Build the columns of every feature."""
    train, valid = [work.train.numbers], [work.valid.numbers]
    categories: list[int] = []
    parts = (work.train, work.valid)
    for i, feature in enumerate(work.facts["ids"]):
        ids = [part.ids[:, i] for part in parts]
        raw = work.raw.get(feature["name"])
        if raw is not None and feature["rows"] <= MOST_NUMBERS:
            columns = [raw[values] for values in ids]
        elif feature["rows"] <= MOST_CATEGORIES:
            categories.append(sum(part.shape[1] for part in train))
            columns = [values.astype(np.float32) for values in ids]
        else:
            columns = []
        for part, column in zip((train, valid), columns, strict=bool(columns)):
            part.append(column[:, None])
        if feature["rows"] > MANY_VALUES:
            pairs = [single(part, i) for part in parts]
            _append(work, feature["rows"], pairs, train, valid)
    for i, feature in enumerate(work.facts["lists"]):
        pairs = [listed(part, i) for part in parts]
        _append(work, feature["rows"], pairs, train, valid)
    return Table(train=np.hstack(train), valid=np.hstack(valid), categories=categories)


def single(part: Part, feature: int) -> Pairs:
    return Pairs(of=part.ids[:, feature].astype(np.int64), row=np.arange(len(part)), rows=len(part))


def listed(part: Part, feature: int) -> Pairs:
    values, offsets = part.lists[feature]
    row = np.repeat(np.arange(len(part)), np.diff(offsets))
    return Pairs(of=values.astype(np.int64), row=row, rows=len(part))


def _append(
    work: Work, values: int, pairs: list[Pairs], train: list[Floats], valid: list[Floats]
) -> None:
    random = np.random.default_rng(work.trial["seed"])
    fold = random.integers(FOLDS, size=len(work.train))
    labels = np.log1p(work.train.labels)  # play time has a long tail; 0 and 1 keep their order
    out = np.empty((len(work.train), labels.shape[1] + 1), np.float32)
    for this in range(FOLDS):
        means = _means(values, pairs[0], labels, fold != this)
        out[fold == this] = _of_rows(pairs[0], means)[fold == this]
    train.append(out)
    valid.append(_of_rows(pairs[1], _means(values, pairs[0], labels, fold >= 0)))


def _means(values: int, pairs: Pairs, labels: Floats, known: NDArray[np.bool_]) -> Floats:
    """Return [values, targets + 1]: smoothed mean of each target, and log(1 + rows)."""
    seen = known[pairs.row]
    of, row = pairs.of[seen], pairs.row[seen]
    rows = np.bincount(of, minlength=values)
    sums = [np.bincount(of, labels[row, t], minlength=values) for t in range(labels.shape[1])]
    everywhere = labels[known].mean(axis=0)
    means = (np.stack(sums, axis=1) + SMOOTHING * everywhere) / (rows[:, None] + SMOOTHING)
    means[:FIRST] = everywhere  # values not seen before are many different ones
    return np.column_stack([means, np.log1p(rows)]).astype(np.float32)


def _of_rows(pairs: Pairs, means: Floats) -> Floats:
    """Return each row's mean over its values; NaN where it has none."""
    count = np.bincount(pairs.row, minlength=pairs.rows)
    sums = [np.bincount(pairs.row, column[pairs.of], minlength=pairs.rows) for column in means.T]
    with np.errstate(invalid="ignore"):
        return (np.stack(sums, axis=1) / count[:, None]).astype(np.float32)
