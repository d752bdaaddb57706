"""What is reported of a target: probabilities, quantities and gains are measured differently."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.evaluation import metrics
from trimtab.evaluation.intervals import Estimate, UserBootstrap
from trimtab.evaluation.metrics import Censored

Values = NDArray[np.float32]
Report = dict[str, float | list[float]]


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What is known of some rows before they happen.

    Attributes
    ----------
    order
        What puts the rows in order.
    level
        What adds up: probabilities, means.
    typical
        The middle of a quantity's distribution; the level of all else.
    """

    order: Values
    level: Values
    typical: Values


@dataclass(frozen=True)
class Metric:
    """A metric with its value in every resample of the users.

    Attributes
    ----------
    of
        Both of (label, prediction, users, censored); what they share is computed once.
    reads
        Which of the predictions it is of.
    """

    of: Callable[[Values, Values, UserBootstrap, Censored], Estimate]
    reads: Literal["order", "level", "typical"] = "order"

    def estimate(
        self, label: Values, prediction: Values, users: UserBootstrap, censored: Censored = None
    ) -> Estimate:
        """Return both.

        Parameters
        ----------
        censored
            Rows known only to have at least their label.
        """
        return self.of(label, prediction, users, censored)

    def read(self, predicted: Predicted) -> Values:
        """Return the predictions that it is of."""
        values: Values = getattr(predicted, self.reads)
        return values

    def value(
        self, label: Values, prediction: Values, users: UserBootstrap, censored: Censored = None
    ) -> float:
        """Return the metric of the rows as they are."""
        return self.estimate(label, prediction, users, censored).value()

    def resampled(
        self, label: Values, prediction: Values, users: UserBootstrap, censored: Censored = None
    ) -> NDArray[np.float64]:
        """Return its value in every resample."""
        return self.estimate(label, prediction, users, censored).resampled()


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The metrics of one family of targets.

    Attributes
    ----------
    ranking
        The metric that says how well rows are ordered: .5 for chance, 1 at best.
    metrics
        Metrics with intervals, the ranking one first.
    others
        Metrics without, of (label, prediction).
    """

    ranking: str
    metrics: Mapping[str, Metric]
    others: Mapping[str, Callable[[Values, Values], float]]

    def rank(self, label: Values, prediction: Values, censored: Censored = None) -> float:
        """Return the ranking metric alone."""
        return self.metrics[self.ranking].value(label, prediction, UserBootstrap(), censored)

    def all_rows(
        self,
        label: Values,
        predicted: Predicted,
        users: UserBootstrap,
        censored: Censored = None,
    ) -> Report:
        """Return every metric, and the intervals of those that have one.

        Parameters
        ----------
        censored
            Rows known only to have at least their label.
        """
        report: Report = {}
        for name, metric in self.metrics.items():
            found = metric.estimate(label, metric.read(predicted), users, censored)
            report[name] = found.value()
            low, high = users.interval(found.resampled())
            report[f"{name}_interval"] = [low, high]
        others = self.others.items()
        return report | {name: other(label, predicted.level) for name, other in others}

    def where_given(
        self, label: Values, prediction: Values, users: UserBootstrap, censored: Censored = None
    ) -> Report:
        """Return the ranking metric over the rows where the earlier step happened."""
        estimate = self.metrics[self.ranking].estimate(label, prediction, users, censored)
        low, high = users.interval(estimate.resampled())
        return {
            f"{self.ranking}_given": estimate.value(),
            f"{self.ranking}_given_interval": [low, high],
        }

    def differences(
        self,
        label: Values,
        first: Predicted,
        second: Predicted,
        users: UserBootstrap,
        censored: Censored = None,
    ) -> dict[str, Report]:
        """Return second minus first of every metric, on the same rows and the same resamples.

        Parameters
        ----------
        censored
            Rows known only to have at least their label.
        """
        found: dict[str, Report] = {}
        for name, metric in self.metrics.items():
            both = (metric.read(predicted) for predicted in (first, second))
            estimates = [metric.estimate(label, values, users, censored) for values in both]
            values = [estimate.value() for estimate in estimates]
            draws = [estimate.resampled() for estimate in estimates]
            low, high = users.interval(draws[1] - draws[0])
            found[name] = {
                "first": values[0],
                "second": values[1],
                "difference": values[1] - values[0],
                "interval": [low, high],
            }
        return found


def _positives(label: Values, prediction: Values) -> float:
    return int((label > 0).sum())


def _mean(label: Values, prediction: Values) -> float:
    return float(label.mean(dtype=np.float64)) if len(label) else float("nan")


def _any_auc(label: Values, prediction: Values) -> float:
    return metrics.auc((label > 0).astype(np.float32), prediction)


MEASURES = {
    "probability": Measure(
        ranking="auc",
        metrics={
            "auc": Metric(lambda y, p, users, _: users.of_auc(y, p)),
            "gauc": Metric(lambda y, p, users, _: users.of_groups(metrics.grouped_auc_parts, y, p)),
            "logloss": Metric(
                lambda y, p, users, _: users.of_mean(y, metrics.row_log_loss(y, p)), reads="level"
            ),
        },
        others={
            "positives": _positives,
            "normalised_entropy": metrics.normalised_entropy,
            "pcoc": metrics.pcoc,
            "ece": metrics.expected_calibration_error,
        },
    ),
    "quantity": Measure(
        ranking="xauc",
        metrics={
            "xauc": Metric(lambda y, p, users, cut: users.of_xauc(y, p, censored=cut)),
            "xgauc": Metric(
                lambda y, p, users, cut: users.of_groups(
                    partial(metrics.grouped_xauc_parts, censored=cut), y, p
                )
            ),
            # Of the typical value: of a label with a long tail the mean is far from most.
            "mae": Metric(
                lambda y, p, users, _: users.of_mean(y, np.abs(y.astype(np.float64) - p)),
                reads="typical",
            ),
        },
        others={"rmse": metrics.root_mean_squared_error, "pcoc": metrics.pcoc, "mean": _mean},
    ),
    "gain": Measure(
        ranking="utility",
        metrics={
            "utility": Metric(lambda y, p, users, _: users.of_utility(y, p)),
            "utility_within_user": Metric(
                lambda y, p, users, _: users.of_groups(metrics.utility_within_parts, y, p)
            ),
        },
        others={"positives": _positives, "auc": _any_auc, "mean_gain": _mean},
    ),
}
"""Family of targets (``Target.measure``) to what is reported of it."""
