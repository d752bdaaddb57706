"""The end of a run's training: the weights to serve, calibrated, measured and saved."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from trimtab.calibration import Calibration, fit
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared
from trimtab.data.seen import Seen
from trimtab.evaluation.evaluate import Evaluation, finite
from trimtab.training import checkpoint, growth
from trimtab.training.finish import finish
from trimtab.training.fit import evaluating
from trimtab.training.folder import CALIBRATION, METRICS, MODEL, rows_of, write
from trimtab.training.front import path_of
from trimtab.training.peaks import Served, serve
from trimtab.training.progress import Progress
from trimtab.training.state import State


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What a training came to, on the valid rows."""

    served: Served
    evaluation: Evaluation
    calibration: Calibration
    metrics: dict[str, Any]
    seen: Seen


def conclude(
    state: State, settings: RunSettings, prepared: Prepared, folder: Path, progress: Progress
) -> Conclusion:
    """Choose the weights, let targets learn what needs them, calibrate, save and evaluate."""
    progress.stage("evaluating")
    served = _served(state, settings, prepared, folder)
    finish(state.model, prepared.train, settings.training.seed)
    evaluation = Evaluation(state.model, prepared.valid)
    calibration = fit(settings.calibration, evaluation.outcomes())
    write(folder / CALIBRATION, calibration.text())
    names = {kind: list(columns) for kind, columns in vars(prepared.train.names).items()}
    tables = state.model.features.tables
    layout = {"tables": tables.tables, "blocks": tables.blocks}
    seen = Seen.of(prepared.train, prepared.valid, growth.seen_before(folder))
    facts = {"names": names, "rows": rows_of(prepared), "seen": seen.state()}
    facts |= {"served": finite(asdict(served)), **layout}
    checkpoint.save(folder / MODEL, state.model.state_dict(), facts)
    evaluation.calibrate(calibration, settings.calibration)
    metrics = evaluation.metrics()
    write(folder / METRICS, json.dumps(metrics, indent=1))
    return Conclusion(
        served=served,
        evaluation=evaluation,
        calibration=calibration,
        metrics=metrics,
        seen=seen,
    )


def _served(state: State, settings: RunSettings, prepared: Prepared, folder: Path) -> Served:
    """Put the weights to serve into the model."""

    def read(step: int) -> Mapping[str, Tensor]:
        return checkpoint.load(path_of(folder, step))[0]

    evaluate = evaluating(state, settings, prepared)
    return serve(state.model, state.curves, settings.training, read=read, evaluate=evaluate)
