"""A model's predictions of encoded rows, as arrays."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from trimtab.calibration import Calibration
from trimtab.data.columns import Columns
from trimtab.errors import RunError
from trimtab.model import RankingModel, typical_of

ROWS = 16384
"""Rows of a batch; the largest that stays in a processor's cache, nearly."""


@torch.inference_mode()
def predict(
    model: RankingModel, columns: Columns, calibration: Calibration | None = None
) -> dict[str, NDArray[np.float32]]:
    """Return each prediction of every row, NaN where the row's scene does not have the target.

    Parameters
    ----------
    calibration
        Maps that calibrate the predictions; none for the model's own ones.

    Raises
    ------
    RunError
        When the model itself gives NaN.
    """
    device = model.present.device
    training = model.training
    model.eval()
    target_of = {f"{b}_given_{a}": b for b, a in model.given.items()}
    target_of |= {typical_of(c): target_of.get(c, c) for c in [*model.targets, *target_of]}
    whole: dict[str, NDArray[np.float32]] = {}
    for start in range(0, max(len(columns), 1), ROWS):
        index = np.arange(start, min(start + ROWS, len(columns)))
        batch = columns.batch(index).to(device)
        for name, values in model.predict(batch, model(batch)).items():
            has = model.has(target_of.get(name, name), batch)
            if values[has].isnan().any():
                raise RunError(f"target {name!r}: a prediction is not a number; train anew.")
            column = whole.setdefault(name, np.empty(len(columns), dtype=np.float32))
            column[index] = torch.where(has, values, torch.nan).float().cpu().numpy()
    model.train(training)
    return whole if calibration is None else calibration(whole, columns.arrays["scene"])


def order_of(name: str, predictions: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the predictions that rows are put in order by: of a quantity the typical ones."""
    return predictions.get(typical_of(name), predictions[name])


def observed_labels(model: RankingModel, columns: Columns) -> dict[str, NDArray[np.float32]]:
    """Return what each target's prediction is compared with, NaN where it was not observed."""
    labels = _labels(columns)
    return {name: target.label(labels).numpy() for name, target in model.targets.items()}


def censored_rows(model: RankingModel, columns: Columns) -> dict[str, NDArray[np.bool_]]:
    """Return where no more is known than that the label is reached; exact targets are left out."""
    labels = _labels(columns)
    reached = {name: target.reached(labels) for name, target in model.targets.items()}
    return {name: rows.numpy() for name, rows in reached.items() if rows is not None}


def _labels(columns: Columns) -> dict[str, torch.Tensor]:
    return {n: torch.from_numpy(columns.label(n).copy()) for n in columns.names.labels}
