"""What predictions of the valid rows are worth, and how sure a difference of two systems is."""

import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.calibration import SCALES, Outcomes, PlattSettings, cross_fit
from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.measures import MEASURES, Metric

from .datasets import Dataset

Values = NDArray[Any]
Line = dict[str, Any]

METRICS = {"probability": ("auc", "logloss"), "quantity": ("xauc", "mae")}
CALIBRATED = {"calibrated_mae": "mae"}
"""Metrics of predictions that are moved to medians, each row's by the rows of other users."""


class Difference(NamedTuple):
    """A mean over seeds less the reference's, with a 95 % interval."""

    value: float
    low: float
    high: float


def measure(dataset: Dataset, predictions: Path) -> dict[str, dict[str, float]]:
    """Return each predicted target's metrics over all valid rows."""
    with np.load(dataset.path) as arrays, np.load(predictions) as found:
        labels = arrays["labels.valid"]
        return {
            target["name"]: {
                metric: MEASURES[target["measure"]]
                .metrics[metric]
                .value(labels[:, column], found[target["name"]], UserBootstrap())
                for metric in METRICS[target["measure"]]
            }
            for column, target in enumerate(dataset.facts["targets"])
            if target["name"] in found
        }


class Comparison:
    """Metrics of trained systems in the same resamples of users, and of seeds.

    Parameters
    ----------
    folder
        Of the results file, which its lines name files from.
    rows
        The encoded rows, relative to ``folder``.
    """

    def __init__(self, folder: Path, rows: str, facts: dict[str, Any]) -> None:
        self.folder = folder
        self.targets = {t["name"]: (i, t["measure"]) for i, t in enumerate(facts["targets"])}
        with np.load(folder / rows) as arrays:
            self.labels = arrays["labels.valid"]
            self.user = arrays["user"]
        self.users = UserBootstrap(self.user)
        self._of_users = lru_cache(maxsize=None)(self._resampled)

    def value(self, line: Line, target: str, metric: str) -> float:
        """Return a metric of one training."""
        if metric not in CALIBRATED:
            return metrics_of(line, target)[metric]
        column, kind = self.targets[target]
        found = self._predictions(line, target, metric)
        return _metric(kind, metric).value(self.labels[:, column], found, UserBootstrap())

    def difference(
        self, lines: Sequence[Line], reference: Sequence[Line], target: str, metric: str
    ) -> Difference:
        """Return the difference of the means over seeds.

        A resample draws users, alike for both, and for each as many of its seeds as it has.
        """
        means = [
            float(np.mean([self.value(line, target, metric) for line in some]))
            for some in (lines, reference)
        ]
        draws = [self._of_seeds(some, target, metric) for some in (lines, reference)]
        low, high = self.users.interval(draws[0] - draws[1])
        return Difference(means[0] - means[1], low, high)

    def of_means(
        self, lines: Sequence[Line], reference: Sequence[Line], target: str, metric: str
    ) -> Difference:
        """Return the difference of the seed-mean predictions' metrics; a resample draws users."""
        column, kind = self.targets[target]
        found = _metric(kind, metric)
        label, values, draws = self.labels[:, column], [], []
        for some in (lines, reference):
            mean = np.mean([self._predictions(line, target, metric) for line in some], axis=0)
            values.append(found.value(label, mean, self.users))
            draws.append(found.resampled(label, mean, self.users))
        return Difference(values[0] - values[1], *self.users.interval(draws[0] - draws[1]))

    def _of_seeds(self, lines: Sequence[Line], target: str, metric: str) -> Values:
        resamples = np.stack(
            [self._of_users(line["predictions"], target, metric) for line in lines]
        )
        random = np.random.default_rng(zlib.crc32(lines[0]["predictions"].encode()))
        seeds = random.integers(len(lines), size=resamples.shape)
        return np.take_along_axis(resamples, seeds, axis=0).mean(axis=0)

    def _resampled(self, predictions: str, target: str, metric: str) -> Values:
        column, kind = self.targets[target]
        found = self._predictions({"predictions": predictions}, target, metric)
        return _metric(kind, metric).resampled(self.labels[:, column], found, self.users)

    def _predictions(self, line: Line, target: str, metric: str) -> Values:
        with np.load(self.folder / line["predictions"]) as found:
            predictions = np.asarray(found[target])
        return self._to_medians(predictions, target) if metric in CALIBRATED else predictions

    def _to_medians(self, predictions: Values, target: str) -> Values:
        column, kind = self.targets[target]
        rows = Outcomes(
            predictions={target: predictions},
            labels={target: self.labels[:, column]},
            scales={target: SCALES[kind]},
            typical={target},
            bounds={},
            scene=np.zeros(len(predictions), dtype=np.int64),
            user=self.user,
            scenes=["all"],
        )
        moved: Values = cross_fit(PlattSettings(), rows)[target]
        return moved


def _metric(kind: str, metric: str) -> Metric:
    return MEASURES[kind].metrics[CALIBRATED.get(metric, metric)]


def metrics_of(line: Line, target: str) -> dict[str, float]:
    metrics: dict[str, float] = line["metrics"][target]
    return metrics
