"""What carries each target, kept in a run's folder."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from trimtab.calibration import Calibration
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared
from trimtab.evaluation.evaluate import Evaluation
from trimtab.evaluation.groups import groups_of
from trimtab.evaluation.importance import importance
from trimtab.training.folder import IMPORTANCE, write


def keep(
    folder: Path,
    settings: RunSettings,
    prepared: Prepared,
    *,
    evaluation: Evaluation,
    calibration: Calibration,
) -> dict[str, Any]:
    """Measure what carries each target, write it down, and return it.

    Empty where the run file does not want it; then none of an earlier training is left either.

    Raises
    ------
    RunError
        When the folder cannot be written.
    """
    path = folder / IMPORTANCE
    if not settings.report.importance:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return {}
    found = importance(
        evaluation,
        groups_of(prepared.statistics, settings.data.join),
        calibration,
        rows=settings.report.importance_rows,
        seed=settings.training.seed,
    )
    write(path, json.dumps(found, indent=1))
    return found
