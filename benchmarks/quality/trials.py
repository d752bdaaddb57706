"""Trials: each system tunes its learning rate on seed 0, then trains with every seed."""

import json
import os
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .datasets import Dataset
from .scores import measure
from .systems import Candidate

BENCHMARKS = Path(__file__).resolve().parents[1]
FACTORS = (1.0, 1 / 3, 3.0)
"""Learning rates that are tried, times the default of the system."""

Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much is trained.

    Attributes
    ----------
    epochs
        At most, of the other networks.
    own_epochs
        At most, of Trimtab; the run file's when None.
    evaluations, patience
        An epoch, and in evaluations, of the other networks; the run file's when None.
    """

    seeds: int
    trials: int
    threads: int
    epochs: int
    own_epochs: int | None = None
    evaluations: int | None = None
    patience: int | None = None

    def training(self, dataset: Dataset, candidate: Candidate) -> dict[str, int]:
        """Return how long a model may train and when it stops; empty for trees, in rounds."""
        if not candidate.in_epochs:
            return {}
        own = dataset.settings.training
        if candidate.run is not None:
            return {
                "epochs": self.own_epochs or own.epochs,
                "evaluations": own.evaluations,
                "patience": own.patience,
            }
        return {
            "epochs": self.epochs,
            "evaluations": self.evaluations or own.evaluations,
            "patience": self.patience or own.patience,
        }


class WorkerError(Exception):
    """A system did not finish a training; the others go on."""


class Results:
    """One JSON line a training, in a file that several processes may append to.

    A training is known by its data set and rows, system, model, settings, epochs, evaluations and
    patience (``training``), learning rate and seed.
    """

    KEY = ("dataset", "rows", "system", "model", "settings", "training", "factor", "seed")

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def lines(self) -> list[Line]:
        """Return what is known now, the last line of a training said twice."""
        if not self.path.exists():
            return []
        lines = [json.loads(line) for line in self.path.read_text("utf-8").splitlines() if line]
        return list({key_of(line): line for line in lines}.values())

    def add(self, line: Line) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def key_of(line: Line) -> str:
    return json.dumps([line.get(part) for part in Results.KEY], sort_keys=True)


def work_through(
    results: Results, dataset: Dataset, candidate: Candidate, budget: Budget
) -> Iterator[Line]:
    """Do the trainings of one model that are not done; yield each one's line."""

    def done(factor: float, seed: int) -> Iterator[Line]:
        trial = trial_of(dataset, candidate, budget, factor=factor, seed=seed)
        known = {key_of(line): line for line in results.lines()}
        if key_of(trial) not in known:
            line = trial | train(results, dataset, candidate, trial, budget)
            results.add(line)
            known[key_of(trial)] = line
            yield line
        scores[factor] = known[key_of(trial)]["score"]

    scores: dict[float, float] = {}
    for factor in FACTORS[: budget.trials]:
        yield from done(factor, 0)
    best = max(scores, key=lambda factor: scores[factor])
    for seed in range(1, budget.seeds):
        yield from done(best, seed)


def trial_of(
    dataset: Dataset, candidate: Candidate, budget: Budget, *, factor: float, seed: int
) -> Line:
    rows = "-".join(mark.split()[-1] for mark in dataset.facts["rows"].values())
    return {
        "dataset": dataset.name,
        "rows": rows,
        "system": candidate.system,
        "model": candidate.model,
        "settings": candidate.settings,
        "training": budget.training(dataset, candidate),
        "factor": round(factor, 4),
        "seed": seed,
    }


def train(
    results: Results, dataset: Dataset, candidate: Candidate, trial: Line, budget: Budget
) -> Line:
    """Run one worker; return what it cost and what its predictions are worth."""
    predictions = results.path.parent / "predictions" / f"{_name(trial)}.npz"
    predictions.parent.mkdir(exist_ok=True)
    rate = candidate.learning_rate * trial["factor"]
    order = {
        "model": trial["model"].partition("+")[0],
        "seed": trial["seed"],
        "learning_rate": rate,
        "threads": budget.threads,
        **trial["training"],
        "settings": candidate.settings,
        "predictions": str(predictions.resolve()),
        "run": _run_file(candidate, trial, budget),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.json"
        path.write_text(json.dumps(order), encoding="utf-8")
        outcome = work(candidate, dataset, path, budget)
    metrics = measure(dataset, predictions)
    return outcome | {
        "learning_rate": rate,
        "metrics": metrics,
        "score": float(np.mean([m["auc"] for m in metrics.values() if "auc" in m])),
        "threads": budget.threads,
        "data": os.path.relpath(dataset.path, results.path.parent),
        "predictions": os.path.relpath(predictions, results.path.parent),
    }


def _name(trial: Line) -> str:
    words = [trial[part] for part in ("dataset", "system", "model", "seed")]
    return "-".join(map(str, [*words, f"{zlib.crc32(key_of(trial).encode()):08x}"]))


def _run_file(candidate: Candidate, trial: Line, budget: Budget) -> Line | None:
    """Return our own settings for this trial; both learning rates move by the same factor."""
    if candidate.run is None:
        return None
    content = candidate.run.model_dump(mode="json")
    content["training"] |= {
        "learning_rate": candidate.run.training.learning_rate * trial["factor"],
        "table_learning_rate": candidate.run.training.table_learning_rate * trial["factor"],
        "seed": trial["seed"],
        "epochs": trial["training"]["epochs"],
        "threads": budget.threads,
        "device": "cpu",
    }
    return content


def work(candidate: Candidate, dataset: Dataset, trial: Path, budget: Budget) -> Line:
    """What one worker printed."""
    threads = str(budget.threads)
    quiet = {"TQDM_DISABLE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    limits = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "POLARS_MAX_THREADS": threads}
    done = subprocess.run(
        [candidate.python(), "-m", candidate.module, dataset.path.resolve(), trial],
        cwd=BENCHMARKS,
        env=os.environ | quiet | limits,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        name = f"{candidate.system} {candidate.model}"
        raise WorkerError(f"{name}: its worker failed:\n{done.stderr[-4000:]}")
    outcome: Line = json.loads(done.stdout.splitlines()[-1])
    return outcome
