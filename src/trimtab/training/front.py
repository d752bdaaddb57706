"""Which checkpoints of a run are kept, and which of them is served.

Targets do not peak together: one more quarter of an epoch may lift one and cost another. Kept is
the front: every evaluation that no other one beats, or equals, on all targets. One is chosen from
it by a rule that the run file names.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from trimtab.training import checkpoint
from trimtab.training.passes import ends

FRONT = "front"
"""Folder of the kept checkpoints, inside a run's."""

Rule = Literal["mean", "smallest_loss"]
Entry = Mapping[str, Any]


def front(curves: Sequence[Entry]) -> list[Entry]:
    """Return the evaluations that no other one beats on a target without losing on another.

    Of equal ones the first is kept; where no metric was ever known, the last: nothing spoke
    against going on.
    """
    kept: list[Entry] = []
    for entry in [e for e in curves if mean(e["metrics"]) is not None] or curves[-1:]:
        metrics = entry["metrics"]
        if not any(_covers(other["metrics"], metrics) for other in kept):
            kept = [other for other in kept if not _covers(metrics, other["metrics"])] + [entry]
    return kept


def _covers(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """Say whether ``first`` is at least as good everywhere; a metric not known is the worst."""
    return all(value_of(first[name]) >= value_of(second[name]) for name in second)


def value_of(metric: float | None) -> float:
    """Return a metric to compare by; one that is not known is the worst."""
    return -math.inf if metric is None or math.isnan(metric) else metric


def mean(metrics: Mapping[str, float | None]) -> float | None:
    """Return the mean of the metrics that are known; None where none is."""
    known = [value for value in map(value_of, metrics.values()) if value > -math.inf]
    return sum(known) / len(known) if known else None


def best_by(curves: Sequence[Entry], target: str) -> Entry:
    """Return the evaluation of the front that is best for one target; of equal ones the first."""
    return max(front(curves), key=lambda entry: value_of(entry["metrics"][target]))


def _mean(entry: Entry, best: Mapping[str, float]) -> float:
    return value_of(entry["score"])


def _smallest_loss(entry: Entry, best: Mapping[str, float]) -> float:
    lost = [
        (high - value_of(entry["metrics"][name])) / max(high - 0.5, 1e-6)
        for name, high in best.items()
        if high > -math.inf
    ]
    return -max(lost, default=0.0)


_RULES: dict[str, Callable[[Entry, Mapping[str, float]], float]] = {
    "mean": _mean,
    "smallest_loss": _smallest_loss,
}

WORDS = {
    "mean": "the highest mean, over the targets whose weight is above 0, of their ranking metrics "
    "on the valid rows (AUC, XAUC for quantities, utility for blends)",
    "smallest_loss": "the smallest loss of the target that loses most: each target's best value "
    "on the front minus this one's, as a share of what the best has above chance (.5)",
}
"""Rule to what it chooses, for the report."""


def choose(curves: Sequence[Entry], rule: Rule) -> Entry:
    """Return the evaluation of the front that the rule chooses; of equal ones the first."""
    kept = front(curves)
    best = {name: max(value_of(e["metrics"][name]) for e in kept) for name in kept[0]["metrics"]}
    return max(kept, key=lambda entry: _RULES[rule](entry, best))


def kept(curves: Sequence[Entry], passes: int) -> set[int]:
    """Return the steps whose weights may be served: the front, and the ends of passes."""
    return {entry["step"] for entry in front(curves)} | set(ends(curves) if passes > 1 else ())


def keep(
    folder: Path, curves: Sequence[Entry], weights: Mapping[str, Tensor], passes: int = 1
) -> None:
    """Save the last evaluation's weights if they may be served, and drop what no longer is."""
    steps = kept(curves, passes)
    if curves[-1]["step"] in steps:
        (folder / FRONT).mkdir(exist_ok=True)
        checkpoint.save(path_of(folder, curves[-1]["step"]), weights, {"step": curves[-1]["step"]})
    wanted = {path_of(folder, step).name for step in steps}
    for path in (folder / FRONT).glob("*.safetensors"):
        if path.name not in wanted:
            path.unlink(missing_ok=True)


def path_of(folder: Path, step: int) -> Path:
    """Return the file of a kept checkpoint."""
    return folder / FRONT / f"step-{step}.safetensors"
