"""Constrained questions: the most of one target while others stay where they are, or better."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import InputError
from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.formulas import Additive, Formula
from trimtab.steering.search import explore, known_targets, require_known
from trimtab.steering.weightings import Weightings
from trimtab.steering.yardsticks import yardstick

_PARENTS = 20
_TOLERANCE = 1e-9
"""What rounding may take from a bound."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The best weighting found.

    Attributes
    ----------
    values, now
        Target asked for to its metric, under the answer and under the current formula.
    bounds
        Target that is kept to its least value, or for one that is not wanted, its highest.
    met
        Whether every bound is met; else the answer is what comes nearest.
    """

    maximise: str
    metric: str
    formula: Additive
    values: Mapping[str, float]
    now: Mapping[str, float]
    bounds: Mapping[str, float]
    met: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as JSON."""
        shown = {name: {"value": v, "now": self.now[name]} for name, v in self.values.items()}
        keep = {name: shown[name] | {"bound": bound} for name, bound in self.bounds.items()}
        return {
            "maximise": {"target": self.maximise, **shown[self.maximise]},
            "keep": keep,
            "metric": self.metric,
            "met": self.met,
            "formula": self.formula.model_dump(mode="json"),
        }


def solve(
    candidates: Candidates,
    current: Formula,
    *,
    maximise: str,
    keep: Mapping[str, float | Literal["now"]],
    metric: str = "utility",
    trials: int = 3000,
) -> Answer:
    """Search for the weighting of all targets that has the most of one, and keeps others.

    It is the best on these very rows, so on others it is a little less, and more so where a kept
    target has few positives.

    Parameters
    ----------
    current
        The formula that ``"now"`` stands for. A target that it weighs below 0 is not wanted: the
        least of it is best, and to keep it is to stay at or below.
    keep
        Target to its bound.
    metric
        ``utility`` or ``ndcg@k``, as in ``front``.

    Raises
    ------
    InputError
        When a target is not known, is both maximised and kept, or a bound is no share.
    """
    require_known(candidates, [maximise, *keep])
    targets = known_targets(candidates)
    weightings = Weightings.of(candidates, targets, current)
    measure = yardstick(metric, candidates, targets)
    now = dict(zip(targets, measure.one(current.score(candidates)).tolist(), strict=True))
    bounds = {n: now[n] if bound == "now" else _share(n, bound) for n, bound in keep.items()}
    bound = np.array([bounds.get(name, np.nan) for name in targets])
    ask = _Ask(targets.index(maximise), np.where(weightings.sign < 0, 1 - bound, bound))
    begin = weightings.now(current, candidates.units)
    weights, values = explore(weightings, measure, ask.best, trials=trials, seed=0, begin=begin)
    first = ask.best(values)[0]
    found = np.where(weightings.sign < 0, 1 - values[first], values[first]).tolist()
    asked = {n: v for n, v in zip(targets, found, strict=True) if n == maximise or n in keep}
    return Answer(
        maximise=maximise,
        metric=metric,
        formula=weightings.formula(weights[first]),
        values=asked,
        now={name: now[name] for name in asked},
        bounds=bounds,
        met=not ask.short(values[[first]]).any(),
    )


@dataclass(frozen=True)
class _Ask:
    """The question, of values of which more is better."""

    target: int
    bounds: Floats  # [targets], NaN for none

    def short(self, values: Floats) -> Floats:
        """Return by how much the bounds are missed in all, ``[weightings]``."""
        kept = ~np.isnan(self.bounds)
        below = self.bounds[kept] - np.nan_to_num(values[:, kept]) - _TOLERANCE
        return np.asarray(np.maximum(below, 0).sum(axis=1))

    def best(self, values: Floats) -> NDArray[np.intp]:
        """Return the best weightings: those that miss least, and of these with the most."""
        most = np.nan_to_num(values[:, self.target])
        return np.lexsort((-most, self.short(values)))[:_PARENTS]


def _share(name: str, bound: float) -> float:
    if not 0 <= bound <= 1:
        raise InputError(f"keep {name}: found {bound:g}; expected 'now' or a share from 0 to 1.")
    return bound
