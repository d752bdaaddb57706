"""One steered model of a log beside models retrained for each weighting, on the same rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared
from trimtab.training.regret import (
    ONE,
    Floats,
    Regret,
    Stop,
    Trainer,
    Weighting,
    blended,
    fused,
    mean_labels,
    names_in_blend,
    regret,
    reweighted,
)

FORMS = ("unlabelled", "every_row")
"""Forms of a blend; for each weighting the one that orders the earlier days better is taken."""


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """Models retrained for one weighting.

    Attributes
    ----------
    scores
        Of the valid rows, an entry a seed.
    seconds
        Of all trainings, those that choose among settings and times too, over the seeds.
    form, width
        Those of the blend that was chosen; width is that of the trunk's first layer where several
        were tried.
    """

    scores: list[Floats]
    seconds: float
    form: str = ""
    width: int | None = None


class Retraining:
    """The models of one log: the steered ones once, the retrained ones for each weighting.

    No model has seen, stopped on or been tuned on the valid rows that all are measured on.

    Parameters
    ----------
    targets
        Names of the run's targets that are weighed.
    seeds
        Of the trainings of each model.
    widths
        Widths of a blend's trunk to choose from, beside its form; the run's own where none.

    Attributes
    ----------
    means
        Each target's mean label on the training rows, which weightings are drawn by.
    predictions
        Of the steered models, an entry a seed; empty before ``steer``.
    """

    def __init__(
        self,
        settings: RunSettings,
        prepared: Prepared,
        targets: Sequence[str],
        *,
        seeds: Sequence[int],
        widths: Sequence[Sequence[int]] = (),
    ) -> None:
        train, valid = prepared.train, prepared.valid
        self.settings, self.seeds, self.widths = settings, seeds, widths
        self.trainer = Trainer(prepared)
        self.means = mean_labels(train, targets)
        self.highest = {name: float(np.nanmax(train.label(name))) for name in targets}
        self.labels = {name: valid.label(name) for name in targets}
        self.users = valid.arrays["user"].astype(np.int64)
        self.predictions: list[dict[str, Any]] = []
        self.steered_seconds = 0.0

    def steer(self) -> None:
        """Train the model that is steered, for every seed."""
        started = time.perf_counter()
        stop = self.trainer.stop(self.settings, {})
        self.predictions = [self._scores(self.settings, stop, seed, {}) for seed in self.seeds]
        self.steered_seconds = (time.perf_counter() - started) / len(self.seeds)

    def steered(self, weighting: Weighting) -> list[Floats]:
        """Return the steered models' scores of the valid rows, an entry a seed."""
        return [fused(predictions, weighting) for predictions in self.predictions]

    def gain(self, weighting: Weighting) -> Floats:
        """Return what happened on the valid rows, by the weights."""
        return fused(self.labels, weighting)

    def blend(self, weighting: Weighting) -> Retrained:
        """Retrain as sample reweighting does, with the blend that orders the earlier days best."""
        started = time.perf_counter()
        rename = names_in_blend(list(weighting.weights))
        tried = []
        for form in FORMS:
            for width, settings in self._of_widths():
                blend = blended(settings, weighting, form, self.highest)
                tried.append((self.trainer.stop(blend, rename), form, width, blend))
        stop, form, width, blend = max(tried, key=lambda one: one[0].score)
        found = [self._scores(blend, stop, seed, rename)[ONE] for seed in self.seeds]
        return Retrained(
            scores=[score.astype(np.float64) for score in found],
            seconds=(time.perf_counter() - started) / len(self.seeds),
            form=form,
            width=width,
        )

    def reweighted(self, weighting: Weighting) -> Retrained:
        """Retrain the multi-target model with the shares as weights in its loss, and fuse it."""
        started = time.perf_counter()
        settings = reweighted(self.settings, weighting)
        stop = self.trainer.stop(settings, {})
        found = [self._scores(settings, stop, seed, {}) for seed in self.seeds]
        return Retrained(
            scores=[fused(predictions, weighting) for predictions in found],
            seconds=(time.perf_counter() - started) / len(self.seeds),
        )

    def regret(self, weighting: Weighting, scores: Sequence[Floats]) -> Regret:
        """Compare the steered models with scores of the same rows."""
        return regret(self.gain(weighting), self.steered(weighting), scores, self.users)

    def _of_widths(self) -> list[tuple[int | None, RunSettings]]:
        """Return the run's settings, or those with each of the trunk's widths to choose from."""
        if not self.widths:
            return [(None, self.settings)]
        trunks = [self.settings.trunk.model_copy(update={"widths": w}) for w in self.widths]
        runs = [self.settings.model_copy(update={"trunk": trunk}) for trunk in trunks]
        return [(widths[0], run) for widths, run in zip(self.widths, runs, strict=True)]

    def _scores(
        self, settings: RunSettings, stop: Stop, seed: int, rename: dict[str, str]
    ) -> dict[str, Any]:
        training = settings.training.model_copy(update={"seed": seed})
        seeded = settings.model_copy(update={"training": training})
        return self.trainer.scores(seeded, stop, rename)
