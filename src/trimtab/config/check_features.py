"""Checks of the features: those that say nothing, and those that say too much."""

from collections.abc import Iterator, Sequence

import numpy as np

from trimtab.config.examined import Examined
from trimtab.config.facts import FeatureFacts, measure
from trimtab.config.findings import Finding, Severity, listed, percent, place, verb
from trimtab.config.guess.names import is_behaviour, words
from trimtab.data.statistics import raw_column

MISSING = 0.2
UNSEEN = 0.9
"""Shares of the rows from which missing values, and ids never seen, are named."""
DISTINCT = 0.95
"""Distinct ids a row from which an id is one of the row, not of what it shows."""
SUSPECT, CERTAIN = 0.95, 0.98
"""AUC of one feature alone that few honest features reach, and that hardly any does."""
STRONG, AHEAD = 0.85, 0.1
"""An AUC over the first that is ahead of the next best feature's by the second is suspect too."""

_COUNTED = {"count", "counts", "cnt", "num", "number", "rate", "ratio", "seq", "list", "ids"}
"""Words of behaviours counted or listed over earlier rows."""


def check_features(examined: Examined) -> list[Finding]:
    """Return what is found of the features."""
    facts = list(measure(examined))
    return [*_leaks(examined, facts), *_useless(facts), *_missing(facts), *_hashed(examined)]


def _useless(facts: Sequence[FeatureFacts]) -> Iterator[Finding]:
    constant = [one.name for one in facts if one.constant]
    if constant:
        yield Finding(
            severity="warning",
            where=place("features", constant),
            what=f"One value, or none, on all training rows: {listed(constant)}.",
            advice=f"Leave {verb(constant, 'it', 'them')} out: there is nothing to learn from.",
        )
    for one in facts:
        if one.distinct > DISTINCT:
            why = f"It has {percent(one.distinct)} as many values as training rows"
        elif one.unseen > UNSEEN:
            why = (
                f"{percent(one.unseen)} of the valid rows have a value that training does not know"
            )
        else:
            continue
        yield Finding(
            severity="warning",
            where=f"features.{one.name}",
            what=f"{why}, so its embeddings learn nothing that comes back.",
            advice="Leave it out, or use a coarser value that comes back.",
        )


def _missing(facts: Sequence[FeatureFacts]) -> Iterator[Finding]:
    absent = [one for one in facts if one.missing > MISSING and not one.constant]
    if absent:
        shares = [f"{one.name} {percent(one.missing)}" for one in absent]
        yield Finding(
            severity="note",
            where=place("features", [one.name for one in absent]),
            what=f"Missing on training rows: {listed(shares)}.",
        )


def _hashed(examined: Examined) -> Iterator[Finding]:
    """State how many ids share a table row, where they are hashed."""
    for name, settings in examined.settings.features.items():
        if getattr(settings, "hash_rows", None) is not None:
            rows = settings.vocabulary(
                settings.learn(raw_column(examined.train, name, settings), None)
            )
            yield Finding(
                severity="warning" if rows.advice() else "note",
                where=f"features.{name}.hash_rows",
                what=f"{rows.told()}.",
                advice=rows.advice(),
            )


def _leaks(examined: Examined, facts: Sequence[FeatureFacts]) -> Iterator[Finding]:
    """Name each feature that is a label or tells one, once, for the strongest reason."""
    ahead = {label: _far_ahead(facts, label) for label in examined.labels}
    named = []
    for one in facts:
        own = {n for n, label in examined.labels.items() if label.column == one.column}
        same = [label for label in examined.labels if label in own or label in one.same_as]
        strong = {label: auc for label, auc in one.auc.items() if one.name in ahead[label]}
        if same:
            how = "is the label of" if own else "tells, value for value,"
            yield _leak("problem", [one.name], f"Its column {how} {listed(same)}.")
        elif strong:
            told = [f"{label} (AUC {auc:.3f})" for label, auc in strong.items()]
            best = max(strong.values())
            why = "far better than any other" if best <= SUSPECT else "which few honest features do"
            what = f"Alone it predicts {listed(told)} on valid rows, {why}."
            yield _leak("problem" if best > CERTAIN else "warning", [one.name], what)
        elif one.column in examined.log.columns and _is_behaviour(one.column):
            named.append(one.name)
    if named:
        reads = verb(named, "This feature reads", "These features read")
        yield _leak("warning", named, f"{reads} like what followed a row: {listed(named)}.")


def _leak(severity: Severity, names: Sequence[str], what: str) -> Finding:
    them, are = verb(names, "it", "them"), verb(names, "it is", "they are")
    return Finding(
        severity=severity,
        where=place("features", names),
        what=what,
        advice=f"Leave {them} out, unless {are} known before a row is shown.",
    )


def _is_behaviour(column: str) -> bool:
    parts = words(column)
    return is_behaviour(parts) and not _COUNTED & set(parts)


def _far_ahead(facts: Sequence[FeatureFacts], label: str) -> set[str]:
    """Return the features whose AUC is near certain, or above a gap that no honest one leaves."""
    ranked = sorted((one for one in facts if label in one.auc), key=lambda one: -one.auc[label])
    aucs = np.array([one.auc[label] for one in ranked])
    gaps = np.flatnonzero((aucs[:-1] > STRONG) & (aucs[:-1] - aucs[1:] > AHEAD))
    first = int(gaps[-1]) + 1 if len(gaps) else 0
    return {one.name for i, one in enumerate(ranked) if i < first or aucs[i] > SUSPECT}
