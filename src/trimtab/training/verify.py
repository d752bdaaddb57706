"""Checks steering against retraining on a run's own data: ``trimtab steer RUN --verify N``."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from trimtab.config.schema import RunSettings
from trimtab.data.prepare import prepare
from trimtab.errors import InputError
from trimtab.evaluation.evaluate import finite
from trimtab.training.regret import Weighting, draw
from trimtab.training.retraining import Retraining


def verify(
    settings: RunSettings,
    weightings: int,
    *,
    seeds: int = 1,
    seed: int = 0,
    loss_weights: bool = False,
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
    models = Retraining(
        settings, prepare(settings.plan()), names, seeds=range(first, first + seeds)
    )
    told("training the model that is steered")
    models.steer()
    drawn = draw(models.means, weightings, seed)
    found = []
    for number, weighting in enumerate(drawn, 1):
        told(f"retraining for weighting {number} of {len(drawn)}")
        found.append(_one(models, weighting, loss_weights=loss_weights))
    summary = {
        "weightings": found,
        **_summary(found),
        "seeds": seeds,
        "steered_seconds": models.steered_seconds,
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
    return {
        "mean_regret": float(np.mean([one["regret"] for one in found])),
        "max_regret": float(np.max([one["regret"] for one in found])),
        "largest_lower_bound": float(np.max([one["interval"][0] for one in found])),
    }
