"""Trimtab: ``trimtab.train`` on the settings of the trial, which are a run file's."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import trimtab
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared
from trimtab.evaluation.predict import order_of
from trimtab.training.progress import Silent
from trimtab.training.state import State

from .worker_quality import Cost, Outcome, Watch, Work, run


class Stages(Silent):
    """Times training and its evaluations alone, as of the peers: no reading, no report."""

    watch: Watch | None = None
    cost: Cost | None = None
    epochs = best_epoch = 0.0

    def start(self, settings: RunSettings, prepared: Prepared, state: State) -> None:
        self.state = state
        self.watch = Watch()

    def stage(self, doing: str) -> None:
        if self.watch and not self.cost:
            self.cost = self.watch.read()

    def finished(self, folder: Path, metrics: Mapping[str, Any], served: str) -> None:
        curves = self.state.curves
        self.epochs = curves[-1]["epoch"]
        self.best_epoch = next(e["epoch"] for e in curves if e["step"] == self.state.best_step)


def train(work: Work) -> Outcome:
    stages = Stages()
    settings: Any = work.trial["run"] | {"report": {"importance": False}}
    with tempfile.TemporaryDirectory() as folder:
        trained = trimtab.train(settings, out=Path(folder) / "run", progress=stages)
        evaluation = trained.evaluation()
    if trained.rows != work.facts["rows"]:
        raise RuntimeError("these are not the rows that the other systems have")
    for target, facts in enumerate(work.facts["targets"]):
        np.testing.assert_array_equal(
            evaluation.labels[facts["name"]], work.valid.labels[:, target]
        )
    names = [facts["name"] for facts in work.facts["targets"]]
    return Outcome(
        # The model's own: a calibration that is fitted on the valid rows has seen their labels.
        predictions={name: order_of(name, evaluation.before) for name in names},
        epochs=stages.epochs,
        best_epoch=stages.best_epoch,
        cost=stages.cost,
    )


if __name__ == "__main__":
    run("trimtab", train)
