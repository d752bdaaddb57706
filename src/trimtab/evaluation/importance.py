"""Which features carry each target: what is lost of its order when their values are shuffled.

Permutation importance (Breiman, "Random Forests", Machine Learning 2001, section 10; of groups of
features: Gregorutti et al., "Grouped variable importance with random forests", Computational
Statistics & Data Analysis 2015), of the ranking metric of every target. It tells what the model
reads, not what a model trained without the feature would lose: features that say the same stand
in for each other when one of them is shuffled, and only their group shows what they carry.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trimtab.calibration import Calibration
from trimtab.data.columns import Columns
from trimtab.evaluation.evaluate import Evaluation, Values, finite
from trimtab.evaluation.groups import Group, fewer
from trimtab.evaluation.measures import MEASURES
from trimtab.evaluation.metrics import (
    Censored,
    Floats,
    Parts,
    grouped_auc_parts,
    grouped_xauc_parts,
    utility_within_parts,
)
from trimtab.evaluation.predict import order_of
from trimtab.evaluation.shuffle import Shuffled

PARTS = 20
"""Parts of the users; by how far the loss differs between them one knows how sure it is."""
WORK = 130_000_000
"""Values that are looked at, at most: some 10 seconds of two processor cores."""

_NEAR, _FAR = 2.09, 2.86
"""Standard errors about a mean of 20 parts within which 95 % and 99 % lie (Student's t, 19
degrees); the latter for scenes, of which there are several."""
_FEWEST_PARTS = 15
_FEWEST_ROWS = 2_000
_ROW = 100
"""What a row costs beside its features, in values."""

Within = Callable[[Values, Values, NDArray[np.int64]], Parts]
"""A ranking metric within groups of rows, of (label, prediction, group)."""

_WITHIN: Mapping[str, Callable[[Censored], Within]] = {
    "auc": lambda _: grouped_auc_parts,
    "xauc": lambda censored: partial(grouped_xauc_parts, censored=censored),
    "utility": lambda _: utility_within_parts,
}
"""Ranking metric to the same within groups, of rows some of which are censored."""

Orders = Mapping[str, Floats]
"""Target to its ranking metric over all rows, in each scene, in each part of the users, and in
each part of each scene."""


def importance(
    evaluation: Evaluation,
    groups: Sequence[Group],
    calibration: Calibration | None = None,
    *,
    rows: int = 20_000,
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what every target loses when a group's values are shuffled among rows of a scene.

    The encoded values of a group's features change rows together: single ids, numbers and whole
    lists. Labels, scenes and all other features stay.

    Parameters
    ----------
    calibration
        The maps that ``evaluation`` is calibrated by.
    rows, repeats
        Rows to draw, and times to shuffle each group, at most. Where they come to more than
        ``WORK`` values there are fewer repeats, then no features alone that a group holds, then
        fewer rows.

    Returns
    -------
    dict
        JSON, undefined numbers as None: ``rows``; ``repeats``; ``alone``, whether every feature was
        shuffled alone too; ``targets``, ``{click: {"metric", "value", "scenes"}}`` before anything
        is shuffled; and ``groups``, ``[{"name", "kind", "features", "carries_nothing", "targets"},
        ..]``. There a target has its ``fall``, the ``interval`` that holds it 95 times in 100 on
        other users, its smallest and largest in a repeat as ``spread``, and it in ``scenes``.
        ``carries_nothing`` says that no target is worse beyond chance, over all rows or in a scene.
    """
    chance = np.random.default_rng(seed)
    columns = evaluation.columns
    every = len(groups)
    groups, rows, repeats = _affordable(columns, groups, rows, repeats)
    index = np.sort(chance.permutation(len(columns))[:rows])
    sample = _Sample.draw(evaluation, index, chance)
    before = sample.orders({n: evaluation.order(n)[index] for n in sample.labels})
    falls: list[list[dict[str, Floats]]] = [[] for _ in groups]
    for _ in range(repeats):
        shuffled = Shuffled(evaluation.model, columns, index, chance)
        for of_group, group in zip(falls, groups, strict=True):
            predictions = shuffled.predict(group)
            if calibration is not None:
                predictions = calibration(predictions, sample.scene)
            after = sample.orders(predictions)
            of_group.append({name: before[name] - after[name] for name in before})
    return finite(
        {
            "rows": len(index),
            "repeats": repeats,
            "alone": len(groups) == every,
            "targets": {name: sample.value(name, before[name]) for name in before},
            "groups": [sample.report(g, f) for g, f in zip(groups, falls, strict=True)],
        }
    )


def _affordable(
    columns: Columns, groups: Sequence[Group], rows: int, repeats: int
) -> tuple[list[Group], int, int]:
    """Return the groups, rows and repeats that ``WORK`` allows for."""
    rows = min(rows, len(columns))
    lists = [columns.arrays[f"offsets.{i}"] for i in range(len(columns.names.lists))]
    listed = sum(int(ends[-1] - ends[0]) for ends in lists) / max(len(columns), 1)
    a_row = _ROW + len(columns.names.ids) + len(columns.names.numbers) + listed
    passes = int(WORK / (a_row * max(rows, 1)))
    kept = fewer(groups, passes)
    if len(kept) > passes:
        rows = min(rows, max(int(WORK / (a_row * len(kept))), _FEWEST_ROWS))
    return kept, rows, max(min(repeats, passes // max(len(kept), 1)), 1)


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """What is known of the rows drawn.

    Attributes
    ----------
    labels, rankings, within
        Target to what happened, to the name of its ranking metric, and to that within groups.
    scene, part
        Each row's scene, and the part that its user is in.
    towers
        Scenes that are measured one by one, each to the targets in it.
    """

    labels: Mapping[str, Values]
    rankings: Mapping[str, str]
    within: Mapping[str, Within]
    scene: NDArray[np.int64]
    part: NDArray[np.int64]
    towers: Mapping[str, frozenset[str]]

    @classmethod
    def draw(cls, evaluation: Evaluation, index: NDArray[np.int64], chance: Generator) -> "_Sample":
        """Take the rows of ``index``, and put their users into parts."""
        model, arrays = evaluation.model, evaluation.columns.arrays
        users, code = np.unique(arrays["user"][index], return_inverse=True)
        apart = len(model.towers) > 1 and not model.staged
        towers = {name: frozenset(tower.heads) for name, tower in model.towers.items()}
        rankings = {name: MEASURES[t.measure].ranking for name, t in model.targets.items()}
        cut = {name: evaluation.censored_among(name, index) for name in model.targets}
        return cls(
            labels={name: evaluation.labels[name][index] for name in model.targets},
            rankings=rankings,
            within={name: _WITHIN[ranking](cut[name]) for name, ranking in rankings.items()},
            scene=np.asarray(arrays["scene"][index], dtype=np.int64),
            part=chance.permutation(len(users))[code] % PARTS,
            towers=towers if apart else {},
        )

    def orders(self, predictions: Mapping[str, Values]) -> dict[str, Floats]:
        """Measure how well predictions are ordered."""
        whole, scenes = np.zeros_like(self.scene), len(self.towers)
        parts_of_scenes = self.scene * PARTS + self.part
        groupings = [(whole, 1), (self.scene, scenes), (self.part, PARTS)]
        groupings.append((parts_of_scenes, scenes * PARTS))
        groupings = [(group, count) for group, count in groupings if count]
        found = {}
        for name, within in self.within.items():
            label, order = self.labels[name], order_of(name, predictions)
            values = [_spread(within(label, order, group), count) for group, count in groupings]
            found[name] = np.concatenate(values)
        return found

    def value(self, name: str, order: Floats) -> dict[str, Any]:
        """Return a target's metric, as JSON."""
        ranking, value = self.rankings[name], float(order[0])
        return {"metric": ranking, "value": value, "scenes": self._scenes(name, order)}

    def report(self, group: Group, falls: Sequence[Orders]) -> dict[str, Any]:
        """Return what every target loses by a group, as JSON, given the loss in each repeat."""
        losses = {name: np.stack([fall[name] for fall in falls]) for name in self.labels}
        targets = {name: self._fall(name, repeats) for name, repeats in losses.items()}
        least = np.array([_least(of) for of in targets.values()])
        worse = any(self._worse_in_a_scene(name, of.mean(axis=0)) for name, of in losses.items())
        return {
            "name": group.name,
            "kind": group.kind,
            "features": list(group.features),
            "carries_nothing": bool((least <= 0).any() and not (least > 0).any() and not worse),
            "targets": targets,
        }

    def _fall(self, name: str, repeats: Floats) -> dict[str, Any]:
        mean, scenes = repeats.mean(axis=0), len(self.towers)
        whole, parts = repeats[:, 0], mean[1 + scenes : 1 + scenes + PARTS]
        return {
            "fall": float(mean[0]),
            "interval": _interval(float(mean[0]), parts, _NEAR),
            "spread": [float(whole.min()), float(whole.max())],
            "scenes": self._scenes(name, mean),
        }

    def _worse_in_a_scene(self, name: str, mean: Floats) -> bool:
        """Say whether a target loses beyond chance in a scene; in one of few rows nobody knows."""
        count = len(self.towers)
        parts = mean[1 + count + PARTS :].reshape(count, PARTS)
        lows = [_interval(float(f), p, _FAR)[0] for f, p in zip(mean[1:], parts, strict=False)]
        scenes = zip(self.towers.values(), lows, strict=True)
        return any(name in targets and low > 0 for targets, low in scenes)

    def _scenes(self, name: str, values: Floats) -> dict[str, float]:
        scenes = enumerate(self.towers.items(), start=1)
        return {scene: float(values[i]) for i, (scene, targets) in scenes if name in targets}


def _least(loss: Mapping[str, Any]) -> float:
    """Return the low end of a loss, or the loss itself where how sure it is is not known."""
    low = loss["interval"][0]
    return float(loss["fall"] if np.isnan(low) else low)


def _spread(parts: Parts, groups: int) -> Floats:
    """Put a metric within groups into their places; NaN where it is not defined."""
    values = np.full(groups, np.nan)
    values[parts.group] = parts.value
    return values


def _interval(fall: float, parts: Floats, errors: float) -> list[float]:
    """Return the interval of a loss that was measured in parts of the users too.

    Parameters
    ----------
    errors
        Standard errors that it reaches on either side.
    """
    known = parts[~np.isnan(parts)]
    if len(known) < _FEWEST_PARTS:
        return [float("nan"), float("nan")]
    error = float(known.std(ddof=1)) / np.sqrt(len(known))
    return [fall - errors * error, fall + errors * error]
