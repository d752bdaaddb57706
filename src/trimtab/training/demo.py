"""``trimtab demo``: a simulated feed, a run on it, and how close the run comes to the truth."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl

from trimtab import atomic
from trimtab.config.load import load
from trimtab.data.simulate import SimulationSettings, simulate
from trimtab.errors import InputError
from trimtab.evaluation.metrics import auc
from trimtab.training.folder import LEFT, REPORT, make, place_of, refuse_no_folder
from trimtab.training.hold import held
from trimtab.training.progress import Progress
from trimtab.training.run import Run, train

Gaps = dict[str, dict[str, float]]


def demo(
    folder: Path, progress: Progress, simulation: SimulationSettings | None = None
) -> tuple[Run, Gaps]:
    """Simulate the two-stage feed into ``folder/data``, train on it, and compare with the truth.

    A demo that is there already is replaced.

    Returns
    -------
    run, gaps
        ``gaps`` holds for each binary target the AUC ``learnt`` on the valid rows, the ``best``
        that anyone could reach (the AUC of the true probabilities), and their ``gap``.

    Raises
    ------
    InputError
        When the folder holds something that is no demo, or cannot be one.
    RunError
        When it cannot be written.
    """
    folder = place_of(folder)
    refuse_no_folder(folder)
    if folder.exists():
        with held(folder):
            _clear(folder)
    make(folder / "data")
    (folder / "demo.toml").write_text(_run_file(), encoding="utf-8")
    progress.stage("simulating a feed")
    feed = simulate(simulation or SimulationSettings())
    feed.log.write_parquet(folder / "data" / "log.parquet")
    feed.users.write_parquet(folder / "data" / "users.parquet")
    feed.items.write_parquet(folder / "data" / "items.parquet")
    run = train(load(folder / "demo.toml"), out=folder, add=True, progress=progress)
    gaps = compare_with_truth(run, feed.truth)
    (folder / "truth.json").write_text(json.dumps(gaps, indent=1), encoding="utf-8")
    return run, gaps


def _run_file() -> str:
    return files("trimtab.training").joinpath("demo.toml").read_text(encoding="utf-8")


def _clear(folder: Path) -> None:
    """Remove an earlier demo; refuse a folder that holds anything else."""
    atomic.sweep(folder)
    run_file = folder / "demo.toml"
    ours = {*LEFT, "data", "demo.toml", "truth.json"}
    others = sorted(p.name for p in folder.iterdir() if p.name not in ours)
    if any(folder.iterdir()) and not run_file.exists():
        raise InputError(f"{folder}: not empty and no demo; choose another --out.")
    if others:
        raise InputError(f"{folder}: {others[0]} is in it, no demo's; choose another --out.")
    if run_file.exists() and run_file.read_text(encoding="utf-8") != _run_file():
        raise InputError(f"{run_file}: was edited; move it, or choose another --out.")
    shutil.rmtree(folder)


def compare_with_truth(run: Run, truth: pl.DataFrame) -> Gaps:
    """Return what was learnt and what could be, for each binary target, on the valid rows.

    The valid rows are the last ones, as the log is in order of time.
    """
    evaluation = run.evaluation()
    last = truth.tail(len(evaluation.columns))
    gaps = {}
    for name in ("stop", "click", "like"):
        label = evaluation.labels[name]
        learnt = auc(label, evaluation.predictions[name])
        best = auc(label, last[name].to_numpy().astype(np.float64))
        gaps[name] = {"learnt": learnt, "best": best, "gap": best - learnt}
    return gaps


def told(run: Run, gaps: Gaps) -> str:
    """Say how close the run comes to the truth, and name the files."""
    lines = ["\nAUC on the held-out days, and the best that anyone could reach there:"]
    lines += [
        f"  {name:6}  learnt {gap['learnt']:.4f}   best {gap['best']:.4f}   gap {gap['gap']:.4f}"
        for name, gap in gaps.items()
    ]
    files = f"The report: {run.folder / REPORT}\nThe run file: {run.folder / 'demo.toml'}"
    return "\n".join([*lines, "", files])
