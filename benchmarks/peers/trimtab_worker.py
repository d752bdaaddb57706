"""Trimtab: the same shared bottom, by its own loop over its own encoded columns.

Its own form: one tower with a head a target, where the peers know only a tower a target (a tenth
more multiplications). With ``EQUAL_TOWERS`` set in the environment it has a tower a target too.
What the default model adds (first-order weights, a target's own tables) is left out.

More of the environment: ``ENGINE`` (``auto``, ``torch``, ``native``), ``PRECISION`` (``float32``,
``bf16``), ``COMPILE`` (any text but the empty one), ``TRUNK`` (``shared_bottom``, or another kind
by its defaults).
"""

import os
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from trimtab.config.load import parse
from trimtab.config.training import TrainingSettings
from trimtab.data.columns import Columns, Names
from trimtab.data.prepare import Prepared
from trimtab.data.scenes import Scenes
from trimtab.data.statistics import Statistics
from trimtab.data.vocabulary import FIRST
from trimtab.training.build import build_state
from trimtab.training.loop import updates
from trimtab.training.order import Order
from trimtab.training.state import State

from .worker import (
    BOTTOM_WIDTHS,
    EMBEDDING_WIDTH,
    EXPERT_WIDTHS,
    EXPERTS,
    LEVELS,
    MODEL,
    OWN_EXPERTS,
    SHARED_EXPERTS,
    TOWER_WIDTHS,
    Arrays,
    check_learning,
    run,
)

EQUAL_TOWERS = bool(os.environ.get("EQUAL_TOWERS")) or MODEL != "shared_bottom"
EXPERT_LAYERS = {"kind": MODEL, "widths": list(EXPERT_WIDTHS)}
TRUNKS = {
    "shared_bottom": {"kind": MODEL, "widths": list(BOTTOM_WIDTHS)},
    "mmoe": EXPERT_LAYERS | {"experts": EXPERTS},
    "ple": EXPERT_LAYERS
    | {"levels": LEVELS, "experts": OWN_EXPERTS, "shared_experts": SHARED_EXPERTS},
}
ENGINE = os.environ.get("ENGINE", "auto")
PRECISION = os.environ.get("PRECISION", "float32")
COMPILE = bool(os.environ.get("COMPILE"))


def build(arrays: Arrays) -> tuple[State, Columns, TrainingSettings]:
    """Return a training of the benchmark's model at its start, and its encoded rows."""
    labels = range(arrays.labels.shape[1])
    settings = parse(
        {
            "features": {f"id_{f}": "id" for f in range(arrays.ids.shape[1])}
            | {f"number_{f}": "number" for f in range(arrays.numbers.shape[1])},
            "targets": {
                f"label_{t}": {"kind": "binary", "task": f"task_{t if EQUAL_TOWERS else 0}"}
                for t in labels
            },
            "embedding": {
                "width": EMBEDDING_WIDTH,
                "own_width": 0,
                "first_order": False,
                "engine": ENGINE,
            },
            "trunk": TRUNKS[MODEL],
            "tower": {"widths": list(TOWER_WIDTHS)},
            "training": {
                "batch_rows": arrays.batch_rows,
                "device": "cpu",
                "precision": PRECISION,
                "compile": COMPILE,
            },
        }
    )
    rows = columns(arrays)
    learnt: dict[str, Any] = {  # without the values: no system here holds them
        f"id_{f}": SimpleNamespace(rows=FIRST + values, pieces=0)
        for f, values in enumerate(arrays.vocabularies)
    }
    statistics = Statistics(
        settings={name: settings.features[name] for name in learnt},
        learnt=learnt,
        scenes=Scenes.learn(None, pl.DataFrame()),
    )
    prepared = Prepared(train=rows, valid=rows, statistics=statistics, summary={})
    state = build_state(settings, prepared)
    return state, rows, settings.training


def train(arrays: Arrays) -> float:
    state, rows, training = build(arrays)
    before = epoch(state, columns(arrays.warm_up()), training)
    start = time.perf_counter()
    after = epoch(state, rows, training)
    seconds = time.perf_counter() - start
    check_learning(before, after)
    return arrays.rows / seconds


def epoch(state: State, rows: Columns, training: TrainingSettings) -> float:
    """Go over all rows once; return the mean loss of a target."""
    order = Order(len(rows), training.batch_rows, training.seed)
    waiting = state.batches(rows, order.buffers(0, order.steps))
    losses = [each for batches in waiting for each in updates(state, batches, training)]
    return float(np.mean([float(loss) for each in losses for loss in each.values()]))


def columns(arrays: Arrays) -> Columns:
    """Encode the arrays as the library's cache holds them."""
    nothing = np.zeros((arrays.rows, 0), dtype=np.float32)
    return Columns(
        names=Names(
            ids=tuple(f"id_{f}" for f in range(arrays.ids.shape[1])),
            numbers=tuple(f"number_{f}" for f in range(arrays.numbers.shape[1])),
            lists=(),
            labels=tuple(f"label_{t}" for t in range(arrays.labels.shape[1])),
            weights=(),
        ),
        arrays={
            "ids": arrays.ids + np.int32(FIRST),
            "numbers": arrays.numbers,
            "labels": arrays.labels,
            "weights": nothing,
            "scene": np.zeros(arrays.rows, dtype=np.int64),
            "user": np.zeros(arrays.rows, dtype=np.int64),
        },
    )


if __name__ == "__main__":
    run("trimtab", train)
