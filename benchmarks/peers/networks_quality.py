"""How the peers' networks are trained here: parts of an epoch, evaluation, early stopping.

As Trimtab's own: so many evaluations an epoch, the best one is kept, and training stops when
``patience`` of them were no better. Better means a higher mean AUC of the binary targets.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from .worker_quality import Floats, Outcome, Part, Work

BATCH_ROWS = 1024


class Network(Protocol):
    """A peer's model with its own trainer."""

    def train(self, rows: NDArray[np.int64], labels: Floats) -> None:
        """Go over these training rows once, in any order; labels are theirs."""

    def predict(self, part: Part) -> Floats:
        """Return [rows, targets]: probabilities, and quantities as they were learnt."""


def fit(work: Work, network: Network) -> Outcome:
    """Train until no evaluation gets better; return the predictions of the best."""
    evaluations, patience = work.trial["evaluations"], work.trial["patience"]
    logs = Logs(work)
    best, best_part, stale, done = -np.inf, 0, 0, 0
    for rows in parts_of_epochs(work):
        network.train(rows, logs.labels[rows])
        done += 1
        prediction = network.predict(work.valid)
        score = mean_auc(work, prediction)
        print(f"epoch {done / evaluations:.2f}  mean AUC {score:.4f}", flush=True)
        stale += 1
        if score > best:
            best, best_part, stale, kept = score, done, 0, prediction
        if stale >= patience:
            break
    return Outcome(
        predictions=logs.in_units(kept),
        epochs=done / evaluations,
        best_epoch=best_part / evaluations,
    )


def parts_of_epochs(work: Work) -> Iterator[NDArray[np.int64]]:
    """Yield rows of a part of an epoch at a time, whole batches but for an epoch's last."""
    random = np.random.default_rng(work.trial["seed"])
    rows = len(work.train)
    rows -= rows % BATCH_ROWS == 1  # batch normalisation refuses a batch of one row
    steps = -(-rows // BATCH_ROWS)
    pauses = [
        -(-steps * i // work.trial["evaluations"]) for i in range(1, work.trial["evaluations"])
    ]
    for _ in range(work.trial["epochs"]):
        order = random.permutation(len(work.train))[:rows]
        yield from np.split(order, [pause * BATCH_ROWS for pause in pauses])


def mean_auc(work: Work, prediction: Floats) -> float:
    binary = [t for t in work.targets if work.measure(t) == "probability"]
    columns = [work.targets.index(t) for t in binary]
    return float(
        np.mean(
            [
                roc_auc_score(work.valid.labels[:, t], prediction[:, c])
                for t, c in zip(binary, columns, strict=True)
            ]
        )
    )


class Logs:
    """Quantities as networks learn them: log(1 + seconds), scaled to mean 0 and deviation 1.

    What comes back is a typical value, not a mean: as what Trimtab orders quantities by.

    Attributes
    ----------
    labels
        [rows, targets] of the training rows.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.labels = work.train.labels[:, work.targets].copy()
        self.scale: dict[int, tuple[float, float, float]] = {}
        for column, target in enumerate(work.targets):
            if work.measure(target) != "probability":
                seconds = work.facts["targets"][target]["seconds"]
                logs = np.log1p(self.labels[:, column].astype(np.float64) * seconds)
                self.scale[column] = (seconds, float(logs.mean()), float(logs.std()))
                self.labels[:, column] = (logs - logs.mean()) / logs.std()

    def in_units(self, prediction: Floats) -> dict[str, Floats]:
        """Return each target's predictions in its label's unit."""
        found = {}
        for column, target in enumerate(self.work.targets):
            values = prediction[:, column]
            if column in self.scale:
                seconds, center, deviation = self.scale[column]
                highest = self.labels[:, column].max()
                logs = np.minimum(values, highest).astype(np.float64) * deviation + center
                values = np.maximum(np.expm1(logs), 0) / seconds
            found[self.work.facts["targets"][target]["name"]] = values
        return found
