"""Two runs on the same rows: differences of every metric, paired, with intervals."""

from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluation.evaluate import Evaluation, finite
from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.measures import MEASURES


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
    common = [
        name
        for name, target in first.model.targets.items()
        if name in second.labels and second.model.targets[name].measure == target.measure
    ]
    if not common:
        raise InputError("the runs have no target of the same name and kind in common.")
    return finite({name: _target(name, first, second) for name in common})


def _target(name: str, first: Evaluation, second: Evaluation) -> dict[str, Any]:
    rows = ~np.isnan(first.labels[name]) & ~np.isnan(second.labels[name])
    label = first.labels[name][rows]
    if not np.array_equal(label, second.labels[name][rows]):
        raise InputError(f"target {name!r} does not have the same labels in the two runs.")
    users = UserBootstrap(first.columns.arrays["user"][rows])
    measure = MEASURES[first.model.targets[name].measure]
    before, after = first.predicted(name, rows), second.predicted(name, rows)
    return measure.differences(label, before, after, users, first.censored_among(name, rows))
