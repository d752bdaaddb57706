"""Maps for every target and scene, from rows that the model was not trained on."""

import numpy as np

from trimtab.calibration.base import CalibratorSettings, Map
from trimtab.calibration.maps import Calibration, Values
from trimtab.calibration.medians import to_medians
from trimtab.calibration.none import Identity
from trimtab.calibration.outcomes import Outcomes
from trimtab.calibration.scale import Rows


def fit(settings: CalibratorSettings, outcomes: Outcomes) -> Calibration:
    """Fit the maps of every prediction and scene on all rows: what is served."""
    return _fit(settings, outcomes, settings.least_positives)


def cross_fit(settings: CalibratorSettings, outcomes: Outcomes) -> dict[str, Values]:
    """Calibrate each row by maps that are fitted on the rows of other users.

    Users are dealt into ``settings.folds`` parts of nearly as many, always in the same way; the
    rows of a part are calibrated by maps fitted on the others. What is measured of their level is
    measured on rows that the maps do not know, and no row is lost to it. It is no basis for
    metrics of order: a part in which more happened is calibrated by maps of rows where less did.
    """
    fold = _folds(outcomes.user, settings.folds)
    least = settings.least_positives * (settings.folds - 1) / settings.folds
    calibrated = {name: np.array(values) for name, values in outcomes.predictions.items()}
    for part in range(settings.folds):
        inside = fold == part
        if not inside.any():
            continue
        maps = _fit(settings, outcomes.take(~inside), least)
        here = outcomes.take(inside)
        for name, values in maps(here.predictions, here.scene).items():
            calibrated[name][inside] = values
    return calibrated


def _folds(user: Rows, folds: int) -> Rows:
    """Return the part of each row, all rows of a user in one."""
    people, code = np.unique(user, return_inverse=True)
    return np.random.default_rng(0).permutation(len(people))[code] % folds


def _fit(settings: CalibratorSettings, outcomes: Outcomes, least: float) -> Calibration:
    maps = {
        name: (_for_all_scenes if name in outcomes.typical else _maps)(
            settings, outcomes, name, least
        )
        for name in outcomes.scales
    }
    return Calibration(maps, outcomes.bounds, outcomes.scenes)


def _maps(settings: CalibratorSettings, outcomes: Outcomes, name: str, least: float) -> list[Map]:
    """Return the map of each scene: its own, else that of all scenes, else none."""
    scale = outcomes.scales[name]
    label, prediction = outcomes.labels[name], outcomes.predictions[name]
    known = outcomes.known(name)

    def fitted(rows: Rows) -> Map | None:
        enough = scale.support(label[rows]) >= max(least, 1)
        return settings.fit(prediction[rows], label[rows], scale) if enough else None

    own = [fitted(known & (outcomes.scene == scene)) for scene in range(len(outcomes.scenes))]
    whole = None if None not in own else fitted(known)
    return [found or whole or Identity() for found in own]


def _for_all_scenes(
    settings: CalibratorSettings, outcomes: Outcomes, name: str, least: float
) -> list[Map]:
    """Return one map of a typical value, to medians: rows of any two scenes keep their order.

    A scene where most labels are 0 would else be below all others, whatever its other labels are.
    """
    scale, count = outcomes.scales[name], len(outcomes.scenes)
    label, prediction = outcomes.labels[name], outcomes.predictions[name]
    known = outcomes.known(name)
    enough = settings.fits and scale.support(label[known]) >= max(least, 1)
    return [to_medians(prediction[known], label[known], scale) if enough else Identity()] * count
