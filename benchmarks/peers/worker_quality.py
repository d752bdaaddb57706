"""What every system under test does alike: read the rows and the trial, train, write predictions.

A worker is started as ``python -m peers.NAME ROWS.npz TRIAL.json`` from this folder's parent,
writes its predictions of the valid rows to the file that the trial names, and prints one line.
Only NumPy is imported here: trees run where there is no PyTorch.
"""

import argparse
import json
import re
import resource
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Training or valid rows.

    Attributes
    ----------
    ids, numbers, labels
        [rows, ids], [rows, numbers], [rows, targets].
    lists
        For each list feature the values of all rows end to end, and where each row's begin.
    """

    ids: NDArray[np.int32]
    numbers: Floats
    labels: Floats
    lists: list[tuple[NDArray[np.int32], NDArray[np.int64]]]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True)
class Work:
    """Rows, what is known of their columns, and one trial.

    Attributes
    ----------
    facts
        Names, tables and sizes of the columns, as `quality.datasets` writes them.
    trial
        ``model``, ``seed``, ``learning_rate``, ``threads`` and ``settings``; of networks also
        ``epochs``, ``evaluations`` (an epoch) and ``patience`` (in evaluations).
    raw
        The number behind each table row of an id feature that is one.
    """

    train: Part
    valid: Part
    facts: dict[str, Any]
    trial: dict[str, Any]
    raw: dict[str, Floats]

    @property
    def settings(self) -> dict[str, Any]:
        return self.trial["settings"]

    @property
    def targets(self) -> list[int]:
        """Columns of the labels to learn: binary ones, and quantities where the trial says so."""
        quantities = self.settings.get("quantities", False)
        measures = [target["measure"] for target in self.facts["targets"]]
        return [t for t, m in enumerate(measures) if quantities or m == "probability"]

    def measure(self, target: int) -> str:
        return self.facts["targets"][target]["measure"]

    def longest(self, feature: int) -> int:
        """Values of the longest list of a feature, over all rows."""
        parts = (self.train, self.valid)
        return max(int(np.diff(part.lists[feature][1]).max(initial=1)) for part in parts)

    def padded(self, part: Part, feature: int) -> NDArray[np.int32]:
        """Return a list feature as [rows, longest]; 0, which no value has, fills short rows."""
        values, offsets = part.lists[feature]
        lengths = np.diff(offsets)
        rows = np.zeros((len(part), self.longest(feature)), np.int32)
        rows[np.arange(rows.shape[1]) < lengths[:, None]] = values
        return rows

    def columns(self, part: Part) -> dict[str, NDArray[Any]]:
        """Return one array a feature, by name."""
        facts = self.facts
        found = {f["name"]: part.ids[:, i].copy() for i, f in enumerate(facts["ids"])}
        found |= {f["name"]: self.padded(part, i) for i, f in enumerate(facts["lists"])}
        return found | {name: part.numbers[:, i].copy() for i, name in enumerate(facts["numbers"])}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a training took; processor time stays the same where the machine is shared."""

    seconds: float
    processor_seconds: float
    peak_memory_bytes: int


class Watch:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def read(self) -> Cost:
        wall, processor = self.start
        return Cost(
            seconds=time.perf_counter() - wall,
            processor_seconds=time.process_time() - processor,
            peak_memory_bytes=peak_memory_bytes(),
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Predictions of the valid rows by target, in the labels' units, and how training went.

    Attributes
    ----------
    epochs, best_epoch
        Passes over the rows, in all and up to what was kept; for trees rounds.
    cost
        Where the worker measures it itself, since it also does what is no training.
    """

    predictions: dict[str, Floats]
    epochs: float
    best_epoch: float
    cost: "Cost | None" = None


def run(package: str, train: Callable[[Work], Outcome]) -> None:
    """Do one trial; what ``train`` prints goes to standard error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=Path)
    parser.add_argument("trial", type=Path)
    options = parser.parse_args()
    work = read(options.rows, json.loads(options.trial.read_text()))
    with redirect_stdout(sys.stderr):
        watch = Watch()
        outcome = train(work)
        cost = outcome.cost or watch.read()
    report(package, work.trial, outcome, cost)


def read(path: Path, trial: dict[str, Any]) -> Work:
    facts = json.loads(path.with_suffix(".json").read_text())
    with np.load(path) as arrays:
        train, valid = (
            Part(
                ids=arrays[f"ids.{part}"],
                numbers=arrays[f"numbers.{part}"],
                labels=arrays[f"labels.{part}"],
                lists=[
                    (arrays[f"values.{part}.{i}"], arrays[f"offsets.{part}.{i}"])
                    for i in range(len(facts["lists"]))
                ],
            )
            for part in ("train", "valid")
        )
        raw = {f["name"]: arrays[k] for f in facts["ids"] if (k := f"raw.{f['name']}") in arrays}
    return Work(train=train, valid=valid, facts=facts, trial=trial, raw=raw)


def report(package: str, trial: dict[str, Any], outcome: Outcome, cost: Cost) -> None:
    """Write the predictions and print what the training cost."""
    bad = [name for name, values in outcome.predictions.items() if not np.isfinite(values).all()]
    if bad:
        raise RuntimeError(f"predictions of {', '.join(bad)} are not finite")
    np.savez_compressed(
        trial["predictions"],
        **{name: values.astype(np.float32) for name, values in outcome.predictions.items()},
    )
    line = {
        "version": version(package),
        **vars(cost),
        "epochs": outcome.epochs,
        "best_epoch": outcome.best_epoch,
    }
    print(json.dumps(line), flush=True)


def peak_memory_bytes() -> int:
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if peak:
        return int(peak[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
