"""Why a column is no feature: nobody knows it before the row is shown, or it says nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from trimtab.config.guess.column import Column, mean
from trimtab.config.guess.keys import Keys
from trimtab.config.guess.names import (
    EVENTS,
    QUANTITIES,
    REQUESTS,
    SPLITS,
    WEIGHTS,
    is_behaviour,
    is_key,
    place,
    spends_time,
)
from trimtab.config.guess.target import Guess

_ITEM_WORDS = {
    *("video", "item", "movie", "song", "track", "clip", "content", "ad", "film", "book"),
    *("article", "photo", "note", "product", "show", "episode", "music"),
}
_LEAK = 0.99
"""AUC of one column alone that no honest feature has."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What is known of the log when its features are chosen."""

    columns: Mapping[str, Column]
    keys: Keys
    targets: Sequence[Guess]

    @property
    def owners(self) -> list[Column]:
        """The columns of the user and the item."""
        return [self.columns[name] for name in (self.keys.user, self.keys.item) if name]


def reason(column: Column, context: Context) -> str | None:
    """Return why a column is no feature, or None."""
    keys = context.keys
    if column.name in (keys.time, keys.day):
        return "the time of the row: it orders the rows, and later ones were never seen"
    if column.constant:
        return "empty" if column.missing == 1 else "one value in every row"
    if column.opaque:
        return f"of type {column.values.dtype}, which no kind of feature holds"
    if column.name in (keys.user, keys.item) and place(column.words, REQUESTS) is None:
        return None
    return _reason_by_name(column, context) or _reason_by_values(column, keys)


def _reason_by_name(column: Column, context: Context) -> str | None:
    if column.numeric and place(column.words, WEIGHTS) is not None:
        return "looks like a weight of the row; if it is one, use it: row_weight under [data]"
    if place(column.words, SPLITS) is not None and column.distinct <= 20:
        return "looks like somebody's split of the rows"
    if place(column.words, REQUESTS) is not None and not (column.listed or column.dated):
        return "names a request or a row, which does not come back"
    happened = is_behaviour(column.words) or (column.text and set(column.words) & EVENTS)
    lasts = "duration" in column.words and not set(column.words) & _ITEM_WORDS
    if not (happened or lasts) or any(column.follows(owner) for owner in context.owners):
        return None
    if spends_time(column.words) or happened:
        return "a behaviour, known only afterwards: as a feature it would leak"
    return "a duration that no item explains: known only afterwards, it would leak"


def _reason_by_values(column: Column, keys: Keys) -> str | None:
    if not column.finite:
        return "holds infinities"
    if keys.when is not None and _moves_with(column, keys.when):
        return "moves with the time of the row, so later rows have values never seen"
    if column.listed or not (column.text or column.whole):
        return None
    if column.text:
        return _reason_of_text(column)
    keyed = column.unique and not set(column.words) & QUANTITIES
    running = bool((np.diff(column.numbers) > 0).all()) or bool((np.diff(column.numbers) < 0).all())
    if keyed and (is_key(column.words) or running):
        return "another value in every row: a key"
    return None


def _reason_of_text(column: Column) -> str | None:
    present = column.sample.drop_nulls().cast(pl.String).head(20_000)
    many = column.distinct > max(200, 0.02 * len(column.sample)) or column.unique
    blanks = mean(present.str.count_matches(r"\s+"))
    if many and _written_numbers(present):
        return "numbers written as text, such as " + repr(present[0]) + "; store them as numbers"
    if column.separator is not None or not many:
        return None
    if column.instants is None and (blanks >= 2.5 or mean(present.str.len_chars()) > 60):
        return "free text"
    if column.unique:
        return "free text" if blanks >= 1 else "another value in every row: a key"
    return None


def _written_numbers(present: pl.Series) -> bool:
    pattern = r"^\s*[-+$€£]?\s*\d{1,3}([., ]?\d{3})*([.,]\d+)?\s*[%€]?\s*$"
    written = present.str.contains(pattern) & present.str.contains(r"[.,%€$£]|^[\d\s]*$")
    return mean(written) > 0.9


def _moves_with(column: Column, when: pl.Series) -> bool:
    """Say whether a column of days, instants or running numbers is the row's time once more."""
    at = column.instants
    if at is None and column.numeric and column.distinct > 1000 and column.whole:
        at = column.sample
    if at is None:
        return False
    both = pl.DataFrame({"a": at.cast(pl.Int64), "b": column.pick(when)}).drop_nulls()
    if both["a"].n_unique() < 3:
        return False
    return bool(abs(both.select(pl.corr("a", "b")).item() or 0.0) > 0.98)


def suspicion(column: Column, targets: Sequence[Guess]) -> str | None:
    """Say so where a column alone tells a binary target apart: no honest feature does."""
    if column.listed:
        return None
    values = column.sample.alias("value")
    if not column.text and column.distinct > 100:
        values = (values.rank("average") / (len(values) / 32)).cast(pl.Int64)
    for target in targets:
        rows = pl.DataFrame({"value": values, "label": column.pick(pl.Series(target.labels))})
        rows = rows.filter(pl.col("label").is_not_nan())
        positives = float(rows["label"].sum())
        groups = rows.group_by("value").agg(n=pl.len(), p=pl.col("label").sum())
        most = min(len(rows) / 50, positives / 10, (len(rows) - positives) / 10)
        if target.binary and 2 <= len(groups) <= most:
            auc = _auc(groups)
            if auc > _LEAK:
                return f"alone it tells {target.name} apart (AUC {auc:.3f}): a suspected leak"
    return None


def _auc(groups: pl.DataFrame) -> float:
    """Return the AUC of the groups' rates."""
    groups = groups.with_columns(rate=pl.col("p") / pl.col("n")).sort("rate")
    happened = groups["p"].to_numpy()
    missed = groups["n"].to_numpy() - happened
    below = np.cumsum(missed) - missed
    return float((happened * (below + missed / 2)).sum() / (happened.sum() * missed.sum()))
