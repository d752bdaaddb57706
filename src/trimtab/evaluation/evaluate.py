"""Predictions of encoded rows to the metrics of every target, over all rows and by scene."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.data.columns import Columns
from trimtab.evaluation import metrics
from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.measures import MEASURES
from trimtab.evaluation.predict import observed_labels, predict
from trimtab.model import RankingModel

Values = NDArray[np.float32]


class Evaluation:
    """A model's predictions of some rows, and what can be said of them.

    Attributes
    ----------
    labels, predictions
        Target to what happened and to what was predicted, over all rows; NaN where either is
        not known. ``predictions`` holds ``b_given_a`` beside a conditional target too.
    """

    def __init__(self, model: RankingModel, columns: Columns) -> None:
        self.model = model
        self.columns = columns
        self.predictions = predict(model, columns)
        self.labels = observed_labels(model, columns)
        nothing = np.float32(np.nan)
        for name, parent in model.given.items():
            if model.targets[name].measure == "quantity":
                happened = self.labels[parent]
                label = np.where(happened == 0, np.float32(0), self.labels[name])
                self.labels[name] = np.where(np.isnan(happened), nothing, label)
        scene, present = columns.arrays["scene"], model.present.cpu().numpy()
        for name, scenes in zip(model.targets, present, strict=True):
            self.labels[name] = np.where(scenes[scene], self.labels[name], nothing)

    def ranks(self) -> dict[str, float]:
        """Return each target's ranking metric: AUC, XAUC or utility."""
        return {
            name: MEASURES[target.measure].rank(self.labels[name], self.predictions[name])
            for name, target in self.model.targets.items()
        }

    def metrics(self) -> dict[str, Any]:
        """Return ``{"rows": .., "targets": {..}, "scenes": {..}}``, undefined numbers as None."""
        everything = np.ones(len(self.columns), dtype=bool)
        scenes = {}
        for i, (name, tower) in enumerate(self.model.towers.items()):
            rows = everything if self.model.staged else self.columns.arrays["scene"] == i
            inside = [target for target in self.model.targets if target in tower.heads]
            scenes[name] = {"rows": int(rows.sum()), "targets": self._targets(rows, inside)}
        whole = self._targets(everything, list(self.model.targets))
        return finite({"rows": len(self.columns), "targets": whole, "scenes": scenes})

    def reliability(self) -> dict[str, dict[str, list[float]]]:
        """Return the calibration curve of every target that is a probability."""
        curves = {}
        for name, target in self.model.targets.items():
            if target.measure == "probability" and np.isfinite(self.labels[name]).any():
                curve = metrics.reliability(self.labels[name], self.predictions[name])
                curves[name] = {
                    "predicted": curve.predicted.tolist(),
                    "observed": curve.observed.tolist(),
                    "rows": curve.rows.tolist(),
                }
        return curves

    def _targets(self, rows: NDArray[np.bool_], names: list[str]) -> dict[str, Any]:
        return {name: self._target(name, rows) for name in names}

    def _target(self, name: str, rows: NDArray[np.bool_]) -> dict[str, Any]:
        target = self.model.targets[name]
        measure = MEASURES[target.measure]
        rows = rows & ~np.isnan(self.labels[name])
        label, prediction, users = self._part(name, rows)
        report: dict[str, Any] = {"kind": target.kind, "rows": len(label)}
        report |= measure.all_rows(label, prediction, users)
        parent = self.model.given.get(name)
        if parent is not None:
            happened = rows & (self.labels[parent] == 1)
            label, _, users = self._part(name, happened)
            given = self.predictions[f"{name}_given_{parent}"][happened]
            report |= {"given": parent} | measure.where_given(label, given, users)
        return report

    def _part(self, name: str, rows: NDArray[np.bool_]) -> tuple[Values, Values, UserBootstrap]:
        users = self.columns.arrays["user"][rows]
        return self.labels[name][rows], self.predictions[name][rows], UserBootstrap(users)


def finite(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same JSON with None for every number that is not finite."""
    return {key: _finite(value) for key, value in report.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return finite(value)
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
