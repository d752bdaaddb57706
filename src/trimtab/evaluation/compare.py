"""Two runs on the same rows: differences of every metric, paired, with intervals."""

import warnings
from typing import Any

import numpy as np

from trimtab.errors import InputError, LeftOutWarning
from trimtab.evaluation.evaluate import Evaluation, finite
from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.measures import MEASURES
from trimtab.model import RankingModel


def compare(first: Evaluation, second: Evaluation) -> dict[str, Any]:
    """Return ``{target: {metric: {first, second, difference, interval}}}`` of common targets.

    The interval is of ``second - first`` over resamples of users that both meet alike.

    Raises
    ------
    InputError
        When the rows or the labels of the two are not the same, or no target is common.
    """
    if len(first.columns) != len(second.columns):
        raise InputError(
            f"the runs see {len(first.columns):,} and {len(second.columns):,} rows; "
            "give both the same rows with --data."
        )
    left_out = _left_out(first.model, second.model)
    common = [name for name in first.model.targets if name not in left_out]
    why = "; ".join(f"{name} {reason}" for name, reason in left_out.items())
    if not common:
        raise InputError(f"the runs have no target of the same name and kind in common: {why}.")
    found = finite({name: _target(name, first, second) for name in common})
    if left_out:
        warnings.warn(f"targets not compared: {why}.", LeftOutWarning, stacklevel=2)
    return found


def _left_out(first: RankingModel, second: RankingModel) -> dict[str, str]:
    """Return the targets that cannot be compared, and why."""
    ones, others = first.targets, second.targets
    reasons = dict.fromkeys([n for n in ones if n not in others], "is in the first run only")
    reasons |= dict.fromkeys([n for n in others if n not in ones], "is in the second run only")
    for name in ones:
        if name in others and ones[name].measure != others[name].measure:
            kinds = f"{ones[name].kind!r} in the first run and {others[name].kind!r} in the second"
            reasons[name] = f"is of kind {kinds}"
    return reasons


def _target(name: str, first: Evaluation, second: Evaluation) -> dict[str, Any]:
    rows = ~np.isnan(first.labels[name]) & ~np.isnan(second.labels[name])
    label = first.labels[name][rows]
    if not np.array_equal(label, second.labels[name][rows]):
        raise InputError(f"target {name!r} does not have the same labels in the two runs.")
    users = UserBootstrap(first.columns.arrays["user"][rows])
    measure = MEASURES[first.model.targets[name].measure]
    before, after = first.predicted(name, rows), second.predicted(name, rows)
    return measure.differences(label, before, after, users, first.censored_among(name, rows))
