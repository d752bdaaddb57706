"""What every system under test does alike: read the work, time one pass, print one line.

A worker is started as ``python -m peers.NAME WORK.npz --batch-rows N --threads N`` from this
folder's parent (a plain script here would shadow the package that it is named after).
"""

import argparse
import json
import os
import re
import resource
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

EMBEDDING_WIDTH = 16
BOTTOM_WIDTHS = (64, 32, 16)
TOWER_WIDTHS = (32,)
MODEL = os.environ.get("TRUNK") or "shared_bottom"
"""What every system trains: ``shared_bottom``, ``mmoe`` or ``ple``."""
EXPERT_WIDTHS = (64, 32)
EXPERTS = 4
LEVELS = 1
OWN_EXPERTS = 2
SHARED_EXPERTS = 2
WARM_UP_BATCHES = 2


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """The rows to train on, ready made, and how many of them make a batch."""

    ids: NDArray[np.int32]
    """[rows, features]; column f lies in [0, vocabularies[f])."""
    numbers: NDArray[np.float32]
    labels: NDArray[np.float32]
    """[rows, targets], 0 or 1."""
    vocabularies: list[int]
    batch_rows: int

    @property
    def rows(self) -> int:
        return len(self.ids)

    def warm_up(self) -> "Arrays":
        """The first few batches: the first steps also allocate the optimiser's state."""
        first = slice(WARM_UP_BATCHES * self.batch_rows)
        return Arrays(
            ids=self.ids[first],
            numbers=self.numbers[first],
            labels=self.labels[first],
            vocabularies=self.vocabularies,
            batch_rows=self.batch_rows,
        )

    def columns(self) -> dict[str, NDArray[Any]]:
        """One array a feature, as users of data frames have them: ``id_0 ..``, ``number_0 ..``."""
        ids = {f"id_{f}": column.copy() for f, column in enumerate(self.ids.T)}
        numbers = {f"number_{f}": column.copy() for f, column in enumerate(self.numbers.T)}
        return ids | numbers


def run(package: str, train: Callable[[Arrays], float]) -> None:
    """Train once over the rows and print what came out, as one JSON line.

    ``train`` builds its model, warms up, and returns the rows per second of one timed pass.
    What it prints goes to standard error.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--batch-rows", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rows", type=int, help="only the first rows of the work")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    with np.load(options.work) as work:
        arrays = Arrays(
            ids=work["ids"][: options.rows],
            numbers=work["numbers"][: options.rows],
            labels=work["labels"][: options.rows],
            vocabularies=work["vocabularies"].tolist(),
            batch_rows=options.batch_rows,
        )
    with redirect_stdout(sys.stderr):
        rows_per_second = train(arrays)
    outcome = {
        "system": package,
        "version": _version(package),
        "torch": torch.__version__,
        "rows_per_second": rows_per_second,
        "seconds": arrays.rows / rows_per_second,
        "rows": arrays.rows,
        "peak_memory_bytes": peak_memory_bytes(),
    }
    print(json.dumps(outcome), flush=True)


def check_learning(before: float, after: float) -> None:
    """Refuse to report the speed of a system whose loss did not fall.

    Raises
    ------
    RuntimeError
        When the loss of the timed pass is not under that of the warm-up.
    """
    print(f"loss: {before:.4f} in the warm-up, {after:.4f} in the timed pass", file=sys.stderr)
    if not after < before:
        raise RuntimeError(f"The loss did not fall: {before} in the warm-up, then {after}.")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def peak_memory_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would report the parent's peak where that was higher
        peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if peak:
            return int(peak[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
