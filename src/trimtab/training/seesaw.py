"""``trimtab seesaw``: each target trained alone, to say whether sharing helps it."""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trimtab.config.schema import RunSettings
from trimtab.data.columns import Columns
from trimtab.data.prepare import Prepared, encode_rows, prepare
from trimtab.errors import DataError, InputError, RunError, TrimtabError
from trimtab.evaluation.advice import advise
from trimtab.evaluation.evaluate import Evaluation
from trimtab.evaluation.seesaw import Rivals, compare_rivals
from trimtab.evaluation.seesaw_page import write as write_page
from trimtab.training import checkpoint
from trimtab.training.alone import Alone, seeded
from trimtab.training.diagnose import diagnose
from trimtab.training.finish import finish
from trimtab.training.folder import (
    CURVES,
    DAMAGE,
    LAST,
    MODEL,
    SEESAW,
    SEESAW_FOUND,
    SEESAW_PAGE,
    rows_of,
    saved_settings,
    write,
)
from trimtab.training.front import best_by, path_of
from trimtab.training.growth import refuse_grown
from trimtab.training.hold import held
from trimtab.training.passes import groups
from trimtab.training.peaks import put
from trimtab.training.run import Run, train
from trimtab.training.seen import warn_before_measuring
from trimtab.training.trainings import Trainings

TOGETHER = "all-targets"
"""Folder of the run's own settings with other seeds; no target can have this name."""


def seesaw(
    run: Run,
    *,
    seeds: int = 1,
    data: str | Path | None = None,
    progress: Trainings | None = None,
) -> dict[str, Any]:
    """Train each target alone, compare with the run, and look for reasons.

    Every model gets the run's own data, features, trunk, budget and early stopping. They are kept
    in ``seesaw`` in the run's folder and used again; what is found is left there as
    ``seesaw.json`` and ``seesaw.html``.

    Parameters
    ----------
    seeds
        Trainings of each target. Above 1 the whole run is trained with the further seeds too.
    data
        File of labelled rows to compare on, later ones best; the run's valid rows when left out,
        which have chosen when each model was at its best.

    Returns
    -------
    dict
        As ``compare_rivals`` returns it, with ``data``, ``why``, what ``diagnose`` finds, and
        ``advice``.

    Raises
    ------
    InputError
        When the run was trained on a frame, or has one target.
    DataError
        When the log is not what the run was trained on any more.
    """
    progress = progress or Trainings(show=False)
    names = [name for name, target in run.settings.targets.items() if target.weight > 0]
    refuse_grown(run.folder)
    _require_comparable(run, names, seeds)
    alone = {name: Alone.of(run.settings, name) for name in names}
    progress.stage("reading the encoded log")
    plan = run.settings.plan()
    prepared = prepare(plan)
    if rows_of(prepared) != run.rows:
        raise DataError(
            f"{run.folder}: data.log is not what the run was trained on any more; train it anew."
        )
    rows = prepared.valid
    if data is not None:
        rows = encode_rows(plan, run.statistics, data, labelled=True)
        warn_before_measuring(run.seen, rows, run.folder)
    with held(run.folder / SEESAW):
        compared = _compared(run, prepared, rows, alone, seeds, progress)
    found = {"data": data and str(data)} | compared
    progress.stage("looking for reasons")
    found["why"] = diagnose(run.settings, prepared, run.model) | {"peaks": _peaks(run)}
    found["advice"] = advise(found, run.settings.model_dump(mode="json"))
    _leave(found, run.folder)
    return found


def _leave(found: dict[str, Any], folder: Path) -> None:
    """Write what was found, as numbers and as a page."""
    write(folder / SEESAW_FOUND, json.dumps(found, indent=1))
    write_page(found | {"title": folder.name, "folder": str(folder)}, folder / SEESAW_PAGE)


def _require_comparable(run: Run, names: Sequence[str], seeds: int) -> None:
    if run.settings.data.log is None:
        raise InputError(
            f"{run.folder}: was trained on a frame, so there is no log to train single-target "
            "models from. Save the rows as Parquet, name the file as data.log and train on it."
        )
    if len(names) < 2:
        raise InputError(
            f"{run.folder}: only {names[0]!r} is learnt; there is nothing to compare, as it shares "
            "with no other target."
        )
    if seeds < 1:
        raise InputError(f"seeds: found {seeds}; expected 1 or more.")


def _compared(
    run: Run,
    prepared: Prepared,
    rows: Columns,
    alone: Mapping[str, Alone],
    seeds: int,
    progress: Trainings,
) -> dict[str, Any]:
    """Train what is missing, and compare the predictions of some rows."""
    first, place = run.settings.training.seed, run.folder / SEESAW
    progress.expect((len(alone) + 1) * seeds - 1)
    own = _evaluated(run, rows)
    shared = [own.orders()]
    for seed in range(first + 1, first + seeds):
        progress.next(f"all targets, seed {seed}")
        settings = seeded(run.settings, seed)
        again = _trained(settings, place / TOGETHER / f"seed-{seed}", run.rows, progress)
        shared.append(_evaluated(again, rows).orders())
    rivals = {}
    for name, settings_alone in alone.items():
        single = []
        for seed in range(first, first + seeds):
            progress.next(f"{name} alone, seed {seed}", name)
            settings = seeded(settings_alone, seed)
            one = _trained(settings, place / name / f"seed-{seed}", run.rows, progress)
            _choose_for(name, one, prepared)
            single.append(_evaluated(one, rows).order(name))
        rivals[name] = Rivals(
            measure=own.model.targets[name].measure,
            label=own.labels[name],
            users=own.columns.arrays["user"],
            shared=[predictions[name] for predictions in shared],
            single=single,
            censored=own.censored.get(name),
        )
    return compare_rivals(rivals, _scenes(own, list(alone)))


def _evaluated(run: Run, rows: Columns) -> Evaluation:
    """Return what a run predicts of rows that were encoded by the shared run's plan."""
    evaluation = Evaluation(run.model, rows)
    evaluation.calibrate(run.calibration)
    return evaluation


def _scenes(own: Evaluation, names: Sequence[str]) -> dict[str, tuple[Any, list[str]]]:
    """Return each scene's rows and targets; none with stages, as every row is in every stage."""
    if own.model.staged or len(own.model.towers) < 2:
        return {}
    inside = {
        scene: (own.columns.arrays["scene"] == i, [name for name in names if name in tower.heads])
        for i, (scene, tower) in enumerate(own.model.towers.items())
    }
    return {scene: (rows, targets) for scene, (rows, targets) in inside.items() if targets}


def _trained(
    settings: RunSettings, folder: Path, rows: Mapping[str, str], progress: Trainings
) -> Run:
    """Return the run of these settings in a folder: as it is there, or gone on with, or new."""
    if not _holds(folder, settings, rows):
        shutil.rmtree(folder, ignore_errors=True)
    if (folder / MODEL).exists():
        with suppress(RunError):  # Damaged: trained anew.
            run = Run.load(folder)
            run.settings = settings
            progress.kept()
            return run
        shutil.rmtree(folder)
    run = train(settings, out=folder, resume=True, progress=progress)
    (folder / LAST).unlink()  # Nobody goes on from here, and it is as large as two models.
    return run


def _holds(folder: Path, settings: RunSettings, rows: Mapping[str, str]) -> bool:
    """Say whether a folder holds a training of these settings and rows, finished or not."""
    last = next((folder / name for name in (MODEL, LAST) if (folder / name).exists()), None)
    try:
        saved = saved_settings(folder).model_dump(mode="json")
        same = saved == settings.model_dump(mode="json")
        return same and last is not None and checkpoint.load(last)[1]["rows"] == rows
    except (TrimtabError, *DAMAGE):
        return False


def _choose_for(name: str, run: Run, prepared: Prepared) -> None:
    """Give a model that had to learn an earlier step too the weights best for the target itself."""
    if sum(target.weight > 0 for target in run.settings.targets.values()) < 2:
        return
    curves = _curves(run.folder)
    best = best_by(curves, name)["step"]
    earlier = groups(curves, run.settings.training.passes).get(best, [])
    put(run.model, best, {}, lambda step: checkpoint.load(path_of(run.folder, step))[0], earlier)
    finish(run.model, prepared.train, run.settings.training.seed)


def _curves(folder: Path) -> list[dict[str, Any]]:
    """Return the evaluations of a run."""
    lines = (folder / CURVES).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _peaks(run: Run) -> dict[str, float]:
    """Return how much better each target was at its own best evaluation than what is served."""
    try:
        curves = _curves(run.folder)
        served = checkpoint.load(run.folder / MODEL)[1]["served"]["metrics"]
    except (OSError, ValueError):
        return {}
    return {
        name: max(entry["metrics"][name] or 0.0 for entry in curves) - value
        for name, value in served.items()
        if value is not None
    }
