"""Checks of the log as a whole: copies, joins, scenes, columns that nothing reads."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from trimtab.config.examined import SAMPLE, Examined
from trimtab.config.findings import Finding, listed, percent
from trimtab.data.join import unmatched
from trimtab.data.read import require
from trimtab.data.scenes import OTHER
from trimtab.data.settings import ByColumn
from trimtab.data.summary import missing_rows

MANY_COPIES = 0.01
"""Share of the rows from which copies that are kept are a warning."""
UNMATCHED = (0.05, 0.95)
"""Shares of the rows without a match from which a join is a warning, and a problem."""


def check_rows(examined: Examined) -> Iterator[Finding]:
    """Yield what is found of the rows."""
    yield from _sizes(examined)
    yield from _copies(examined)
    yield from _joins(examined)
    yield from _users(examined)
    yield from _scenes(examined)
    yield from _unused(examined)


def _sizes(examined: Examined) -> Iterator[Finding]:
    train, valid = len(examined.train), len(examined.valid)
    sampled = (
        f" Features were measured on a random sample of at most {SAMPLE:,} of each."
        if examined.sampled
        else ""
    )
    yield Finding(
        severity="note",
        where="data.valid",
        what=f"{train:,} rows train and {valid:,} are held out.{sampled}",
    )


def _copies(examined: Examined) -> Iterator[Finding]:
    copies, rows = examined.duplicates, len(examined.log)
    if not copies:
        return
    dropped = examined.settings.data.duplicates == "drop"
    yield Finding(
        severity="note" if dropped or copies / rows < MANY_COPIES else "warning",
        where="data.duplicates",
        what=(
            f"{copies:,} of {rows:,} rows ({percent(copies / rows)}) are exact copies of another"
            f"{', and are dropped' if dropped else ''}."
        ),
        advice=""
        if dropped
        else 'Write duplicates = "drop", unless a copy is an event of its own.',
    )


def _joins(examined: Examined) -> Iterator[Finding]:
    for i, join in enumerate(examined.settings.data.join):
        share = unmatched(examined.rows, join, examined.settings.plan().ids)
        if not share:
            continue
        few, all_but = UNMATCHED
        severe = share > all_but
        yield Finding(
            severity="problem" if severe else "warning" if share > few else "note",
            where=f"data.join[{i}]",
            what=f"{percent(share)} of the rows find no {join.on} in {_name(join.table)}.",
            advice="Check that both sides write the key alike." if severe else "",
        )


def _users(examined: Examined) -> Iterator[Finding]:
    user, rows = examined.settings.data.user, len(examined.rows)
    missing = missing_rows(require(examined.rows, user, "data.user")) if user else 0
    if missing:
        yield Finding(
            severity="note",
            where="data.user",
            what=f"{missing:,} of {rows:,} rows ({percent(missing / rows)}) have no {user}.",
            advice="Each counts as a user of its own in intervals and within-user metrics.",
        )


def _name(table: str) -> str:
    return table.rsplit("/", 1)[-1]


def _scenes(examined: Examined) -> Iterator[Finding]:
    settings, scenes = examined.settings.scenes, examined.scenes
    if settings is None or scenes.staged:
        return
    index = examined.train_scenes
    counts = np.bincount(index, minlength=len(scenes.names))
    rows = dict(zip(scenes.names, map(int, counts), strict=True))
    for name in settings.values:
        if not rows[name]:
            yield Finding(
                severity="warning",
                where=f"scenes.{name}",
                what="No training row is in this scene, so its tower never learns.",
                advice=f"Check its values against those of {settings.column!r}.",
            )
    if rows.get(OTHER):
        column = examined.train[scenes.column or ""]
        other = column.filter(pl.Series(index == scenes.names.index(OTHER)))
        values = other.value_counts(sort=True, name="rows").rows()
        shown = [f"{value} ({count:,})" for value, count in values]
        yield Finding(
            severity="note",
            where="scenes",
            what=(
                f"{rows[OTHER]:,} training rows ({percent(rows[OTHER] / len(examined.train))}) "
                f"have a value that no scene names and fall into {OTHER!r}: {listed(shown, 8)}."
            ),
            advice="Name those that matter.",
        )


def _unused(examined: Examined) -> Iterator[Finding]:
    settings = examined.settings
    plan = settings.plan()
    used = {feature.column or name for name, feature in settings.features.items()}
    used |= {label.column for label in plan.labels.values()} | set(plan.weights.values())
    used |= {join.on for join in settings.data.join}
    used |= {settings.data.time or "", settings.data.user or ""}
    if settings.scenes is not None:
        used.add(settings.scenes.column or "")
    if isinstance(settings.data.valid, ByColumn):
        used.add(settings.data.valid.column)
    unused = [column for column in examined.rows.columns if column not in used]
    if unused:
        yield Finding(
            severity="note",
            where="data",
            what=f"Columns that nothing reads ({len(unused)}): {listed(unused, 40)}.",
        )
