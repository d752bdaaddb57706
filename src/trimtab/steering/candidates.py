"""Rows to be put in order: what was predicted of them, and what happened where that is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from trimtab.data.columns import Columns
from trimtab.evaluation.evaluate import Evaluation
from trimtab.model import RankingModel

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Candidates of many lists, one a row.

    Attributes
    ----------
    predictions
        Target to its calibrated prediction, in its unit; NaN where the row's scene does not have
        it. ``b_given_a`` stands beside a conditional target.
    labels
        Target to what happened, over all rows; NaN where it is not known. Empty for rows without.
    units
        Target to the unit of its prediction, such as ``ms``; empty for probabilities.
    group
        The list that a row stands in: a number a user, or a request.
    scene
        Index of the row's scene in ``scenes``.
    censored
        Target to the rows known only to have at least their label; exact targets are left out.
    """

    predictions: Mapping[str, Floats]
    labels: Mapping[str, Floats]
    units: Mapping[str, str]
    group: Codes
    scene: Codes
    scenes: tuple[str, ...]
    censored: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @classmethod
    def of(cls, evaluation: Evaluation, units: Mapping[str, str]) -> "Candidates":
        """Take the rows of an evaluation."""
        model, columns = evaluation.model, evaluation.columns
        found = cls.predicted(
            model, columns, evaluation.predictions, units=units, labels=evaluation.labels
        )
        return replace(found, censored=evaluation.censored)

    @classmethod
    def predicted(
        cls,
        model: RankingModel,
        columns: Columns,
        predictions: Mapping[str, NDArray[np.float32]],
        *,
        units: Mapping[str, str],
        labels: Mapping[str, NDArray[np.float32]],
    ) -> "Candidates":
        """Take encoded rows and a model's calibrated predictions of them.

        Where every row passes through every stage in turn, no scene tells rows apart.
        """
        return cls(
            predictions={name: p.astype(np.float64) for name, p in predictions.items()},
            labels={name: y.astype(np.float64) for name, y in labels.items()},
            units=dict(units),
            group=columns.arrays["user"].astype(np.int64),
            scene=columns.arrays["scene"].astype(np.int64),
            scenes=() if model.staged else tuple(model.towers),
        )

    def __len__(self) -> int:
        return len(self.scene)

    def prediction(self, name: str) -> Floats:
        """Return a target's predictions, 0 where the row's scene does not have it."""
        return np.nan_to_num(self.predictions[name])

    def label(self, name: str) -> Floats:
        """Return what happened, 0 where the row's scene does not have the target."""
        return np.where(np.isnan(self.predictions[name]), 0.0, self.labels[name])

    def some(self, rows: NDArray[np.bool_]) -> "Candidates":
        """Return some of the rows."""
        return Candidates(
            predictions={name: p[rows] for name, p in self.predictions.items()},
            labels={name: y[rows] for name, y in self.labels.items()},
            units=self.units,
            group=self.group[rows],
            scene=self.scene[rows],
            scenes=self.scenes,
            censored={name: cut[rows] for name, cut in self.censored.items()},
        )
