"""Search among weightings for the Pareto front of some targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import InputError, nearest
from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.formulas import Additive, Formula
from trimtab.steering.weightings import Weightings
from trimtab.steering.yardsticks import Yardstick, yardstick

_DRAWN = 1 / 3
"""Share of the trials that are drawn at random; the others vary the best of those before."""
_SPREADS = (0.5, 0.4, 0.3, 0.2)
"""How far the variants of each round are from their parents, in logarithms of shares."""
_PARENTS = 100
"""Points of the front, far from each other, that are varied at a time."""

_BLOCK = 256
"""Rows that are compared with all that are kept at a time."""

Choose = Callable[[Floats], NDArray[np.intp]]
"""Values, ``[weightings, targets]``, to the weightings that are worth varying."""


def explore(
    weightings: Weightings,
    measure: Yardstick,
    choose: Choose,
    *,
    trials: int,
    seed: int,
    begin: Floats,
) -> tuple[Floats, Floats]:
    """Measure weightings: random ones, then variants of the best.

    Parameters
    ----------
    trials
        How many, all in all.
    begin
        Weightings to measure first, before each target alone.

    Returns
    -------
    weights, values
        ``[weightings, targets]``; values of targets that are not wanted are 1 less the metric.
    """
    random = np.random.default_rng(seed)

    def oriented(weights: Floats) -> Floats:
        found = measure.many(weights * weightings.natural)
        return np.where(weightings.sign < 0, 1 - found, found)

    drawn = weightings.draw(random, max(1, round(trials * _DRAWN)))
    weights = np.concatenate([begin, weightings.corners(), drawn])[: max(trials, 1)]
    values = oriented(weights)
    rounds = np.array_split(np.arange(trials - len(weights)), len(_SPREADS))
    for spread, part in zip(_SPREADS, rounds, strict=True):
        if len(part):
            best = weights[choose(values)]
            more = weightings.near(random, best, len(part), spread=spread)
            weights = np.concatenate([weights, more])
            values = np.concatenate([values, oriented(more)])
    return weights, values


def efficient(values: Floats) -> NDArray[np.intp]:
    """Return the rows that no other row beats, or equals, on every column; NaN is the worst.

    Of equal rows the first is kept.
    """
    values = np.where(np.isnan(values), -np.inf, values)
    # In falling order of the columns, the first one first, no row can cover an earlier one.
    order = np.lexsort([np.arange(len(values)), *-values.T[::-1]])
    kept = order[:0]
    for start in range(0, len(order), _BLOCK):
        rows = order[start : start + _BLOCK]
        rows = rows[~_covers(values[kept], values[rows]).any(axis=0)]
        rows = rows[~np.triu(_covers(values[rows], values[rows]), 1).any(axis=0)]
        kept = np.append(kept, rows)
    return np.sort(kept)


def _covers(first: Floats, second: Floats) -> NDArray[np.bool_]:
    """Return whether a row of the first is as good as one of the second on every column."""
    columns = zip(first.T, second.T, strict=True)
    return np.asarray(np.logical_and.reduce([np.greater_equal.outer(a, b) for a, b in columns]))


@dataclass(frozen=True, kw_only=True)
class Front:
    """Weightings that no other one tried beats on every target.

    Attributes
    ----------
    weights, values
        ``[points, targets]``, by the first target; weights are those of ``weightings``.
    hypervolume
        Share of the space between an order that knows nothing and the ideal one that is below the
        front: 1 is perfect. None without the package moocore.
    """

    weightings: Weightings
    metric: str
    weights: Floats
    values: Floats
    hypervolume: float | None
    trials: int

    @property
    def knee(self) -> int:
        """The point nearest to the best of every target at once.

        Each target counts from its worst on the front (0) to its best (1).
        """
        return int(np.linalg.norm(1 - _scaled(self.values), axis=1).argmin())

    def formula(self, point: int) -> Additive:
        """Return the formula of a point."""
        return self.weightings.formula(self.weights[point])

    def spread(self, count: int) -> list[int]:
        """Return points spread over the front, its ends and the knee among them, in order."""
        return sorted(_apart(self.values, count, first=[self.knee]))

    def as_dict(self, count: int = 100) -> dict[str, Any]:
        """Return the front as JSON, with at most ``count`` points spread over it."""
        points, down = self.spread(count), self.weightings.sign < 0
        values = np.where(down, 1 - self.values, self.values)
        return {
            "targets": list(self.weightings.targets),
            "unwanted": [n for n, less in zip(self.weightings.targets, down, strict=True) if less],
            "metric": self.metric,
            "trials": self.trials,
            "hypervolume": self.hypervolume,
            "knee": points.index(self.knee),
            "points": [
                {
                    "formula": self.formula(point).model_dump(mode="json"),
                    "weights": self.named(self.weights[point]),
                    "values": self.named(values[point]),
                }
                for point in points
            ],
        }

    def named(self, row: Floats) -> dict[str, float]:
        """Return target to a number."""
        return dict(zip(self.weightings.targets, map(float, row), strict=True))


def front(
    candidates: Candidates,
    targets: Sequence[str],
    *,
    current: Formula | None = None,
    metric: str = "utility",
    trials: int = 3000,
    seed: int = 0,
) -> Front:
    """Search for the Pareto front of some targets, among weightings of these.

    Parameters
    ----------
    current
        The formula of now: tried too, and a target that it weighs below 0 is not wanted, so its
        value is 1 less the metric.
    metric
        ``utility`` over all rows, the AUC of a probability; or ``ndcg@k`` within lists.
    trials
        Weightings to try.

    Raises
    ------
    InputError
        When a target is not known, or its outcomes are all alike, or no metric has this name.
    """
    require_known(candidates, targets)
    weightings = Weightings.of(candidates, targets, current)
    measure = yardstick(metric, candidates, targets)
    begin = weightings.now(current, candidates.units)
    weights, values = explore(weightings, measure, _parents, trials=trials, seed=seed, begin=begin)
    kept = efficient(values)
    kept = kept[np.argsort(values[kept, 0])]
    return Front(
        weightings=weightings,
        metric=metric,
        weights=weights[kept],
        values=values[kept],
        hypervolume=_hypervolume(values[kept], measure.worst),
        trials=trials,
    )


def _parents(values: Floats) -> NDArray[np.intp]:
    kept = efficient(values)
    return kept[_apart(values[kept], _PARENTS)]


def known_targets(candidates: Candidates) -> list[str]:
    """Return the targets of which different outcomes are known."""
    labels = {name: label[~np.isnan(label)] for name, label in candidates.labels.items()}
    return [n for n, y in labels.items() if n in candidates.units and y.size and np.ptp(y) > 0]


def require_known(candidates: Candidates, targets: Sequence[str]) -> None:
    """Raise ``InputError`` for targets that orders cannot be measured by."""
    known = known_targets(candidates)
    problems = [
        f"{name!r} is no target with known, different outcomes here. {nearest(name, known)}"
        for name in dict.fromkeys(targets)
        if name not in known
    ]
    twice = dict.fromkeys(name for name in targets if targets.count(name) > 1)
    problems += [f"{name!r} is named twice" for name in twice]
    if problems or not targets:
        raise InputError("\n".join(problems) or "no target is named")


def _apart(values: Floats, count: int, first: Sequence[int] = ()) -> list[int]:
    """Return rows far from each other: the best of each column, then ever the farthest one."""
    scaled = _scaled(values)
    chosen = list(dict.fromkeys([*first, *map(int, np.argmax(scaled, axis=0))]))[: max(count, 1)]
    gaps = np.linalg.norm(scaled[:, None] - scaled[chosen], axis=2).min(axis=1)
    while len(chosen) < min(count, len(scaled)):
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, np.linalg.norm(scaled - scaled[chosen[-1]], axis=1))
    return chosen


def _scaled(values: Floats) -> Floats:
    """Return each target's values from its worst (0) to its best (1)."""
    low, high = values.min(axis=0), values.max(axis=0)
    return np.asarray((values - low) / np.where(high > low, high - low, 1))


def _hypervolume(values: Floats, worst: float) -> float | None:
    try:
        from moocore import hypervolume  # type: ignore[import-untyped]
    except ImportError:
        return None
    found = float(hypervolume(values, ref=worst, maximise=True))
    return found / float((1 - worst) ** values.shape[1])
