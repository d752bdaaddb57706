"""Which columns are features, and of what kind."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from trimtab.config.guess.column import Column
from trimtab.config.guess.left_out import Context, reason, suspicion
from trimtab.config.guess.line import Line, number, share
from trimtab.config.guess.names import PLACES, QUANTITIES, is_coded

_FEW = 50
"""Distinct whole numbers up to which a column whose name says nothing holds codes."""
_SPIKED = {"scale": "quantile", "buckets": 256}
"""For amounts that are one value, such as 0, in most rows: enough buckets to split the others."""


def choose(context: Context, left_out: Mapping[str, str]) -> tuple[list[Line], dict[str, str]]:
    """Return the keys of ``[features]``, and every other column with the reason."""
    reasons = dict(left_out)
    others = set(context.columns) - set(left_out) - {target.column for target in context.targets}
    chosen = []
    for column in (column for name, column in context.columns.items() if name in others):
        why_not = reason(column, context)
        if why_not is None:
            chosen.append(column)
        else:
            reasons[column.name] = why_not
    leaks = {column.name: suspicion(column, context.targets) for column in chosen}
    if not all(leaks.values()):  # Else there is nothing but suspects, and they are used.
        reasons |= {name: leak for name, leak in leaks.items() if leak}
        chosen = [column for column in chosen if not leaks[column.name]]
    items = next((column for column in chosen if column.name == context.keys.item), None)
    features = [_feature(column, items, leaks[column.name]) for column in chosen]
    return features, {name: reasons[name] for name in context.columns if name in reasons}


def _feature(column: Column, items: Column | None, leak: str | None) -> Line:
    settings, comment = _kind(column, items)
    if column.missing:
        comment += f", {share(column.missing)} missing"
    if leak:
        comment += f"; {leak}"
    return Line(name=column.name, value=settings, comment=comment)


def _kind(column: Column, items: Column | None) -> tuple[dict[str, Any], str]:
    """Return a feature's settings and a few words about its values."""
    if column.listed or column.separator is not None:
        settings = {"separator": column.separator} if column.separator is not None else {}
        if items is not None and _share_values(column, items):
            settings["shares"] = items.name
        return {"kind": "ids", **settings}, f"lists of {len(column.members):,} values"
    values = f"{column.distinct:,} value" + ("s" if column.distinct > 1 else "")
    if not _is_quantity(column):
        return {"kind": "id"}, values
    scale, shape = _scale(column)
    return {"kind": "number", **scale}, f"{values}, {shape}"


def _share_values(lists: Column, items: Column) -> bool:
    """Say whether lists hold items, so that both may use the same table."""
    known = items.values.cast(pl.String).unique()
    both = int(lists.members.is_in(known.implode()).sum())
    return both > 0.5 * len(lists.members) and both > max(0.2 * len(known), _FEW)


def _is_quantity(column: Column) -> bool:
    if column.text or column.boolean:
        return False
    if not column.numeric:
        return column.values.dtype in (pl.Duration, pl.Time) or column.distinct > _FEW
    if not column.whole:
        return column.distinct > 10
    if is_coded(column.words):
        return False
    if set(column.words) & QUANTITIES:
        return column.distinct > 10
    return column.distinct > _FEW and not set(column.words[-1:]) & PLACES


def _scale(column: Column) -> tuple[dict[str, Any], str]:
    """Choose a scale by the shape of the values.

    Buckets follow any curve, which pays for counts and skewed amounts; the last ones split the
    tail behind a value that most rows have. What is spread evenly stays as it is.
    """
    values = column.numbers
    low, middle, high = (number(float(v)) for v in np.quantile(values, (0, 0.5, 1)))
    if not column.numeric:
        return {"scale": "quantile"}, "times"
    most = column.counts[0]
    if most[1] > 0.7 * len(values):
        shape = f"{share(most[1] / len(values))} are {number(float(most[0]))}, up to {high}"
        return _SPIKED, shape
    shape = f"{low} to {high}, median {middle}"
    spread = float(values.std())
    skew = float((((values - values.mean()) / spread) ** 3).mean()) if spread else 0.0
    return {"scale": "quantile"} if column.whole or abs(skew) > 1.5 else {}, shape
