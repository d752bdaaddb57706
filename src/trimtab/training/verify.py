"""Checks steering against retraining on a run's own data: ``trimtab steer RUN --verify N``."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.config.schema import RunSettings
from trimtab.data.prepare import prepare
from trimtab.errors import InputError
from trimtab.evaluation.evaluate import finite
from trimtab.training.regret import Weighting, draw
from trimtab.training.retraining import Retraining
from trimtab.training.verified import Verified


def verify(
    settings: RunSettings,
    weightings: int,
    *,
    seeds: int = 1,
    seed: int = 0,
    loss_weights: bool = False,
    folder: Path | None = None,
    told: Callable[[str], None] = lambda doing: None,
) -> dict[str, Any]:
    """Retrain for weightings drawn by a seed, and compare each with one steered model.

    The steered model is trained anew too, with the run's settings: neither it nor a retrained one
    has seen, stopped on or been tuned on the valid rows that both are measured on.

    Parameters
    ----------
    seeds
        Trainings of each model; the spread over them is the floor below which nothing counts.
    loss_weights
        Compare also with the run's own model retrained with the shares as loss weights. That takes
        as long for each weighting as the steered model once, more than the blends.
    folder
        The run's, where each finished weighting is kept: the same call goes on from those.
    told
        Called with what begins.

    Raises
    ------
    InputError
        When the run has blends, which are no targets to weigh, or fewer than two targets.
    """
    if settings.data.log is None:
        raise InputError("the run was trained on a frame; there is no log to retrain from.")
    targets = settings.targets
    names = [n for n, target in targets.items() if n in target.labels(n, targets)]  # No blends.
    if len(names) < 2:
        raise InputError(f"there is nothing to weigh: the run has {len(names)} target to steer.")
    first = settings.training.seed
    prepared = prepare(settings.plan())
    models = Retraining(settings, prepared, names, seeds=range(first, first + seeds))
    verified = Verified(folder, settings, prepared, seeds=seeds, loss_weights=loss_weights)
    drawn, lines = draw(models.means, weightings, seed), []
    for number, weighting in enumerate(drawn, 1):
        line = verified.find(weighting.shares)
        which = f"weighting {number} of {len(drawn)}"
        if line is None:
            if not models.predictions:
                told("training the model that is steered")
                models.steer()
            told(f"retraining for {which}")
            one = finite(_one(models, weighting, loss_weights=loss_weights))
            line = verified.add(one, models.steered_seconds)
        else:
            told(f"retrained before for {which}")
        lines.append(line)
    found = [line["found"] for line in lines]
    summary = {
        "weightings": found,
        **_summary(found),
        "seeds": seeds,
        "steered_seconds": lines[-1]["steered_seconds"],
        "retrained_seconds": sum(one["seconds"] for one in found),
    }
    if loss_weights:
        summary["reweighted"] = _summary([one["reweighted"] for one in found])
    return finite(summary)


def _one(models: Retraining, weighting: Weighting, *, loss_weights: bool) -> dict[str, Any]:
    """Retrain for one weighting; return its regret, as JSON."""
    blend = models.blend(weighting)
    found = {
        "shares": weighting.shares,
        "form": blend.form,
        "seconds": blend.seconds,
        **asdict(models.regret(weighting, blend.scores)),
    }
    if loss_weights:
        other = models.reweighted(weighting)
        against = asdict(models.regret(weighting, other.scores))
        found["reweighted"] = {"seconds": other.seconds, **against}
    return found


def _summary(found: list[dict[str, Any]]) -> dict[str, float]:
    regrets = np.array([one["regret"] for one in found], dtype=np.float64)
    lower = np.array([one["interval"][0] for one in found], dtype=np.float64)
    return {
        "mean_regret": float(regrets.mean()),
        "max_regret": float(regrets.max()),
        "largest_lower_bound": float(lower.max()),
    }
