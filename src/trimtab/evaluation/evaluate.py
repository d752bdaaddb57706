"""Predictions of encoded rows to the metrics of every target, over all rows and by scene."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.calibration import Calibration, CalibratorSettings, Outcomes, cross_fit
from trimtab.data.columns import Columns
from trimtab.evaluation import metrics
from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.measures import MEASURES, Measure, Predicted
from trimtab.evaluation.outcomes import outcomes
from trimtab.evaluation.predict import censored_rows, observed_labels, order_of, predict
from trimtab.model import RankingModel

Values = NDArray[np.float32]


class Evaluation:
    """A model's predictions of some rows, and what can be said of them.

    Attributes
    ----------
    labels, predictions
        Target to what happened and to what was predicted, over all rows; NaN where either is
        not known. ``predictions`` holds ``b_given_a`` beside a conditional target too.
    censored
        Target to the rows of which it is known only that they have at least their label; without
        the targets whose labels are all exact.
    before, levels
        The model's own predictions, not yet calibrated; and predictions for what is measured of
        their level, not of their order alone: see ``calibrate``.
    """

    def __init__(self, model: RankingModel, columns: Columns) -> None:
        self.model = model
        self.columns = columns
        self.before = predict(model, columns)
        self.predictions = self.levels = self.before
        self.labels = observed_labels(model, columns)
        self.censored = censored_rows(model, columns)
        nothing = np.float32(np.nan)
        for name, parent in model.given.items():
            if model.targets[name].measure == "quantity":
                happened = self.labels[parent]
                label = np.where(happened == 0, np.float32(0), self.labels[name])
                self.labels[name] = np.where(np.isnan(happened), nothing, label)
                if name in self.censored:  # Where the step did not happen, 0 is all there is.
                    self.censored[name] &= happened != 0
        scene, present = columns.arrays["scene"], model.present.cpu().numpy()
        for name, scenes in zip(model.targets, present, strict=True):
            self.labels[name] = np.where(scenes[scene], self.labels[name], nothing)

    def calibrate(
        self, calibration: Calibration, settings: CalibratorSettings | None = None
    ) -> None:
        """Calibrate the predictions.

        Parameters
        ----------
        settings
            How the maps were fitted, where that was on these very rows: then levels are measured
            with maps that do not know the row. Orders are not: they are the same under any map of
            a scene, while levels that differ between parts of the rows would blur them.
        """
        self.predictions = calibration(self.before, self.columns.arrays["scene"])
        self.levels = self.predictions
        if settings is not None:
            self.levels = cross_fit(settings, self.outcomes())

    def outcomes(self) -> Outcomes:
        """Return the model's own predictions beside what happened, to fit a calibration on."""
        return outcomes(self.model, self.columns, self.before, self.labels)

    def order(self, name: str) -> Values:
        """Return the predictions that rows are put in order by: of a quantity the typical ones."""
        return order_of(name, self.predictions)

    def orders(self) -> dict[str, Values]:
        """Return what each target puts the rows in order by."""
        return {name: self.order(name) for name in self.model.targets}

    def predicted(self, name: str, rows: NDArray[np.bool_]) -> Predicted:
        """Return what is known of some rows before they happen."""
        return Predicted(
            order=self.order(name)[rows],
            level=self.levels[name][rows],
            typical=order_of(name, self.levels)[rows],
        )

    def ranks(self) -> dict[str, float]:
        """Return each target's ranking metric: AUC, XAUC or utility."""
        return {
            name: MEASURES[target.measure].rank(
                self.labels[name], self.order(name), self.censored.get(name)
            )
            for name, target in self.model.targets.items()
        }

    def metrics(self) -> dict[str, Any]:
        """Return ``{"rows": .., "targets": {..}, "scenes": {..}}``, undefined numbers as None."""
        everything = np.ones(len(self.columns), dtype=bool)
        whole = self._targets(everything, list(self.model.targets))
        scenes = {}
        for i, (name, tower) in enumerate(self.model.towers.items()):
            rows = everything if self.model.staged else self.columns.arrays["scene"] == i
            inside = [target for target in self.model.targets if target in tower.heads]
            known = {target: whole[target] for target in inside}
            found = known if rows.all() else self._targets(rows, inside)
            scenes[name] = {"rows": int(rows.sum()), "targets": found}
        return finite({"rows": len(self.columns), "targets": whole, "scenes": scenes})

    def reliability(self) -> dict[str, dict[str, Any]]:
        """Return the calibration curve of every probability, and under ``before`` the model's."""
        curves = {}
        for name, target in self.model.targets.items():
            if target.measure == "probability" and np.isfinite(self.labels[name]).any():
                curves[name] = self._curve(name, self.levels)
                curves[name]["before"] = self._curve(name, self.before)
        return curves

    def _curve(self, name: str, predictions: Mapping[str, Values]) -> dict[str, Any]:
        curve = metrics.reliability(self.labels[name], predictions[name])
        return {
            "predicted": curve.predicted.tolist(),
            "observed": curve.observed.tolist(),
            "rows": curve.rows.tolist(),
        }

    def _targets(self, rows: NDArray[np.bool_], names: list[str]) -> dict[str, Any]:
        return {name: self._target(name, rows) for name in names}

    def _target(self, name: str, rows: NDArray[np.bool_]) -> dict[str, Any]:
        target = self.model.targets[name]
        measure = MEASURES[target.measure]
        rows = rows & ~np.isnan(self.labels[name])
        label, users = self._part(name, rows)
        report: dict[str, Any] = {"kind": target.kind, "rows": len(label)}
        predicted, cut = self.predicted(name, rows), self.censored_among(name, rows)
        report |= measure.all_rows(label, predicted, users, cut)
        report |= _sums(measure, label, predicted.level, self.before[name][rows], users)
        if target.censored:  # What happened is not known, so predictions have no sum to meet.
            report |= dict.fromkeys(("pcoc", "pcoc_before", "pcoc_interval"))
        parent = self.model.given.get(name)
        if parent is not None:
            happened = rows & (self.labels[parent] == 1)
            label, users = self._part(name, happened)
            given = self.order(f"{name}_given_{parent}")[happened]
            cut = self.censored_among(name, happened)
            report |= {"given": parent} | measure.where_given(label, given, users, cut)
        return report

    def censored_among(self, name: str, rows: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return which of some rows are censored; None where every label of the target is exact."""
        return self.censored[name][rows] if name in self.censored else None

    def _part(self, name: str, rows: NDArray[np.bool_]) -> tuple[Values, UserBootstrap]:
        return self.labels[name][rows], UserBootstrap(self.columns.arrays["user"][rows])


def _sums(
    measure: Measure, label: Values, level: Values, before: Values, users: UserBootstrap
) -> dict[str, Any]:
    """Return the interval of PCOC, and what was off before the predictions were calibrated."""
    off = {key: measure.others[key] for key in ("pcoc", "ece") if key in measure.others}
    report: dict[str, Any] = {f"{key}_before": of(label, before) for key, of in off.items()}
    if "pcoc" in off:
        predicted, happened = (users.mean(label, values) for values in (level, label))
        known = np.isfinite(report["pcoc_before"])
        draws = np.where(known, metrics.ratio(predicted, happened), np.nan)
        report["pcoc_interval"] = list(users.interval(draws))
    return report


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
