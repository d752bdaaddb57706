"""Does sharing help? Shared models against single-target ones, on the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.evaluation.evaluate import finite
from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.measures import MEASURES, Values
from trimtab.evaluation.significance import (
    LEVEL,
    delong_p,
    direction,
    holm,
    over_seeds,
    verdict,
)

SIDES = {1: "up", 0: "neither", -1: "down"}
"""Direction of a difference to its word."""
MEANINGS = {
    "gain": "Sharing helps: some target is better for it, and none is worse.",
    "negative transfer": "Sharing hurts: some target is worse for it, and none is better.",
    "seesaw": "Sharing helps some targets at the cost of others.",
    "none": "Sharing makes no difference that is beyond chance.",
}
"""Verdict to what it means."""
ONE_SEED = (
    "One training of each model: the intervals say how sure one may be of these very models on "
    "other users, and nothing of what another seed would change. Use --seeds 3 or more for both."
)
CHOSEN_HERE = (
    "The same rows chose when each model was at its best, a single model for its target alone: "
    "where tables start anew that favours it, on rare targets by more than an interval says. Use "
    "--data FILE to compare on later rows, which chose nothing."
)
"""What is said where the rows compared on are the valid ones."""
Found = dict[str, Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Rivals:
    """One target on the rows held out, predicted by shared and by single-target models.

    Attributes
    ----------
    measure
        Family of the target, a key of ``MEASURES``.
    label, users
        What happened, NaN where it was not observed, and the user, of each row.
    shared, single
        Predictions of each row, one array a seed; the seeds are paired.
    censored
        Rows known only to have at least their label; None where every label is exact.
    """

    measure: str
    label: Values
    users: NDArray[Any]
    shared: Sequence[Values]
    single: Sequence[Values]
    censored: Mask | None = None


def sentence(targets: Mapping[str, Found]) -> str:
    """Say which targets sharing makes better, worse or neither, and which cannot be judged."""
    judged = {name: one for name, one in targets.items() if one["p_holm"] is not None}
    told = []
    for side, words in ((1, "Better"), (-1, "Worse"), (0, "The same within chance")):
        names = [name for name, one in judged.items() if one["direction"] == side]
        told += [f"{words}: {', '.join(names)}."] if names else []
    unknown = [name for name in targets if name not in judged]
    told += [f"Not known, as these rows say too little: {', '.join(unknown)}."] if unknown else []
    return " ".join(told)


def meaning(found: Mapping[str, Any]) -> str:
    """Say what the verdict means; of rows that say nothing, that they do not."""
    if all(one["p_holm"] is None for one in found["targets"].values()):
        return "Nothing can be judged on these rows."
    return MEANINGS[found["verdict"]]


def no_advice(found: Mapping[str, Any]) -> str:
    """Say why nothing is advised."""
    if all(one["p_holm"] is not None for one in found["targets"].values()):
        return "No target is worse for sharing; there is nothing to mend."
    return "No target that could be judged is worse for sharing."


def compare_rivals(
    targets: Mapping[str, Rivals], scenes: Mapping[str, tuple[Mask, Sequence[str]]]
) -> Found:
    """Return what sharing does to every target, over all rows and in each scene.

    Parameters
    ----------
    scenes
        Scene to its rows and its targets; empty where rows are not told apart by scene.

    Returns
    -------
    dict
        ``{"rows": .., "seeds": .., "verdict": .., "targets": {..}, "scenes": {..}}``. Whether a
        difference is significant (``direction``) is judged by Holm's p over the targets, in scenes
        over the targets of all scenes; the intervals are each target's own.
    """
    some = next(iter(targets.values()))
    everything = np.ones(len(some.label), dtype=bool)
    whole = {"": _group(targets, everything)}
    inside = {
        scene: _group({name: targets[name] for name in names}, rows)
        for scene, (rows, names) in scenes.items()
    }
    _judge(whole)
    _judge(inside)
    return finite({"seeds": len(some.shared), "level": LEVEL, **whole[""], "scenes": inside})


def _group(targets: Mapping[str, Rivals], rows: Mask) -> Found:
    """Compare some targets on some rows."""
    found = {name: _target(rivals, rows) for name, rivals in targets.items()}
    return {"rows": int(rows.sum()), "targets": found}


def _judge(groups: Mapping[str, Found]) -> None:
    """Give groups their verdicts; all their targets are one family of tests."""
    every = {(at, name): one for at in groups for name, one in groups[at]["targets"].items()}
    adjusted = holm({test: one["p"] for test, one in every.items()})
    for test, one in every.items():
        one["p_holm"] = adjusted[test]
        one["direction"] = direction(one["difference"], adjusted[test])
    for found in groups.values():
        found["verdict"] = verdict(one["direction"] for one in found["targets"].values())


def _target(rivals: Rivals, rows: Mask) -> Found:
    rows = rows & ~np.isnan(rivals.label)
    label, users = rivals.label[rows], UserBootstrap(rivals.users[rows])
    measure = MEASURES[rivals.measure]
    estimate = measure.metrics[measure.ranking].estimate
    cut = None if rivals.censored is None else rivals.censored[rows]
    values, draws = {}, {}
    for side in ("single", "shared"):
        found = [estimate(label, column[rows], users, cut) for column in getattr(rivals, side)]
        values[side] = np.array([one.value() for one in found])
        draws[side] = np.mean([one.resampled() for one in found], 0)
    differences = values["shared"] - values["single"]
    people = int(users.groups(label).max(initial=-1)) + 1
    outcome = over_seeds(differences, draws["shared"] - draws["single"], users=people)
    one_seed = len(differences) == 1
    return {
        "metric": measure.ranking,
        "rows": len(label),
        "positives": int((label > 0).sum()),
        "single": float(values["single"].mean()),
        "shared": float(values["shared"].mean()),
        "difference": outcome.difference,
        "interval": [outcome.low, outcome.high],
        "seeds_differences": differences.tolist(),
        "seeds_deviation": None if one_seed else float(differences.std(ddof=1)),
        "p": outcome.p,
        **(_as_if_rows_were_independent(rivals, rows) if one_seed else {}),
    }


def _as_if_rows_were_independent(rivals: Rivals, rows: Mask) -> Found:
    """Return DeLong's p of a probability, for comparison with papers; it takes no note of users."""
    if rivals.measure != "probability":
        return {}
    columns = (rivals.single[0][rows], rivals.shared[0][rows])
    return {"p_delong": delong_p(rivals.label[rows], *columns)}
