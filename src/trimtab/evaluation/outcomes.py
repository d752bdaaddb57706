"""What of a model's predictions is calibrated, and beside which labels."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trimtab.calibration import SCALES, Calibration, Outcomes, Scale
from trimtab.data.columns import Columns
from trimtab.data.scenes import ALL
from trimtab.model import RankingModel, typical_of

Values = NDArray[np.float32]


def outcomes(
    model: RankingModel,
    columns: Columns,
    predictions: Mapping[str, Values],
    labels: Mapping[str, Values],
) -> Outcomes:
    """Return the model's own predictions beside what happened, to fit a calibration on."""
    scales = scales_of(model)
    compared = dict(labels)
    for name, parent in model.given.items():
        happened = labels[parent] == 1
        given = np.where(happened, labels[name], np.float32(np.nan))
        compared[f"{name}_given_{parent}"] = given
    typical = _typical(model)
    compared |= {name: compared[of] for name, of in typical.items()}
    steps = sorted(model.given, key=lambda name: _depth(model, name))
    return Outcomes(
        predictions=predictions,
        labels={name: label for name, label in compared.items() if name in scales},
        scales=scales,
        typical=typical,
        bounds={b: model.given[b] for b in steps if model.targets[b].measure == "probability"},
        scene=columns.arrays["scene"],
        user=columns.arrays["user"],
        scenes=_scenes(model),
    )


def scales_of(model: RankingModel) -> dict[str, Scale]:
    """Return the scale of each prediction that is calibrated, typical values too.

    Not those of a gain; nor of a censored label, to whose seen part a map would pull the whole.
    """
    scales = {
        name: SCALES[target.measure]
        for name, target in model.targets.items()
        if target.measure in SCALES and not target.censored
    }
    scales |= {f"{b}_given_{a}": scales[b] for b, a in model.given.items() if b in scales}
    typical = {name: scales[of] for name, of in _typical(model).items() if of in scales}
    return scales | typical


def belongs(calibration: Calibration, model: RankingModel) -> bool:
    """Say whether a calibration has a map for each prediction and scene of a model.

    Typical values may be without: older runs left them as the model gives them.
    """
    names, found = set(scales_of(model)), set(calibration.maps)
    needed = names - set(_typical(model))
    return needed <= found <= names and list(calibration.scenes) == _scenes(model)


def _typical(model: RankingModel) -> dict[str, str]:
    """Return the name of each typical value, and of the prediction that it stands beside."""
    quantities = [n for n, target in model.targets.items() if target.measure == "quantity"]
    given = [f"{name}_given_{model.given[name]}" for name in quantities if name in model.given]
    return {typical_of(name): name for name in [*quantities, *given]}


def _scenes(model: RankingModel) -> list[str]:
    """Return the scenes that predictions differ by; with stages each target is in one alone."""
    return [ALL] if model.staged else list(model.towers)


def _depth(model: RankingModel, name: str) -> int:
    """Return how many steps come before a target."""
    parent = model.given.get(name)
    return 0 if parent is None else 1 + _depth(model, parent)
