"""Checks steering against retraining on a run's own data: ``trimtab steer RUN --verify N``."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from trimtab.config.schema import RunSettings
from trimtab.data.prepare import prepare
from trimtab.errors import InputError
from trimtab.evaluation.evaluate import finite
from trimtab.training.regret import (
    ONE,
    Stop,
    Trainer,
    Weighting,
    blended,
    draw,
    fused,
    mean_labels,
    names_in_blend,
    regret,
)

FORMS = ("unlabelled", "every_row")
"""Forms of a blend; for each weighting the one that orders the earlier days better is taken."""


def verify(
    settings: RunSettings,
    weightings: int,
    *,
    seeds: int = 1,
    seed: int = 0,
    told: Callable[[str], None] = lambda doing: None,
) -> dict[str, Any]:
    """Retrain for weightings drawn by a seed, and compare each with one steered model.

    The steered model is trained anew too, with the run's settings: neither it nor a retrained one
    has seen, stopped on or been tuned on the valid rows that both are measured on.

    Parameters
    ----------
    seeds
        Trainings of each model; the spread over them is the floor below which nothing counts.
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
    checked = _Checked(settings, names, seeds)
    told("training the model that is steered")
    checked.steer()
    drawn = draw(checked.means, weightings, seed)
    found = []
    for number, weighting in enumerate(drawn, 1):
        told(f"retraining for weighting {number} of {len(drawn)}")
        found.append(checked.one(weighting))
    return finite(
        {
            "weightings": found,
            "mean_regret": float(np.mean([one["regret"] for one in found])),
            "max_regret": float(np.max([one["regret"] for one in found])),
            "largest_lower_bound": float(np.max([one["interval"][0] for one in found])),
            "seeds": seeds,
            "steered_seconds": checked.steered_seconds,
            "retrained_seconds": sum(one["seconds"] for one in found),
        }
    )


class _Checked:
    """The models of one log."""

    def __init__(self, settings: RunSettings, names: list[str], seeds: int) -> None:
        self.settings = settings
        self.prepared = prepare(settings.plan())
        self.trainer = Trainer(self.prepared)
        self.seeds = [settings.training.seed + i for i in range(seeds)]
        train, valid = self.prepared.train, self.prepared.valid
        self.means = mean_labels(train, names)
        self.highest = {name: float(np.nanmax(train.label(name))) for name in names}
        self.labels = {name: valid.label(name) for name in names}
        self.users = valid.arrays["user"].astype(np.int64)
        self.predictions: list[dict[str, Any]] = []
        self.steered_seconds = 0.0

    def steer(self) -> None:
        """Train the model that is steered."""
        started = time.perf_counter()
        stop = self.trainer.stop(self.settings, {})
        self.predictions = [self._scores(self.settings, stop, seed, {}) for seed in self.seeds]
        self.steered_seconds = (time.perf_counter() - started) / len(self.seeds)

    def one(self, weighting: Weighting) -> dict[str, Any]:
        """Retrain for one weighting; return its regret, as JSON."""
        started = time.perf_counter()
        rename = names_in_blend(list(weighting.weights))
        tried = []
        for form in FORMS:
            blend = blended(self.settings, weighting, form, self.highest)
            tried.append((self.trainer.stop(blend, rename), form, blend))
        stop, form, blend = max(tried, key=lambda one: one[0].score)
        theirs = [self._scores(blend, stop, seed, rename)[ONE] for seed in self.seeds]
        seconds = (time.perf_counter() - started) / len(self.seeds)
        ours = [fused(predictions, weighting) for predictions in self.predictions]
        scores = [score.astype(np.float64) for score in theirs]
        found = regret(fused(self.labels, weighting), ours, scores, self.users)
        return {"shares": weighting.shares, "form": form, "seconds": seconds, **asdict(found)}

    def _scores(
        self, settings: RunSettings, stop: Stop, seed: int, rename: dict[str, str]
    ) -> dict[str, Any]:
        training = settings.training.model_copy(update={"seed": seed})
        seeded = settings.model_copy(update={"training": training})
        return self.trainer.scores(seeded, stop, rename)
