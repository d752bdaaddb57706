"""DeepCTR-Torch: its multi-task models, trained by its own ``fit``."""

import sys
import time
from types import ModuleType
from typing import Any

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

# The package asks the network for its newest version when imported, and needs requests only
# for that. An empty stand-in keeps the measurement offline.
sys.modules["requests"] = ModuleType("requests")

from deepctr_torch.callbacks import Callback  # noqa: E402
from deepctr_torch.inputs import DenseFeat, SparseFeat  # noqa: E402
from deepctr_torch.models import MMOE, PLE, SharedBottom  # noqa: E402


class EpochTimer(Callback):
    """Times the batches of an epoch alone, without what ``fit`` prepares before them."""

    seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.seconds = -time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.seconds += time.perf_counter()


def train(arrays: Arrays) -> float:
    targets = arrays.labels.shape[1]
    model = build(arrays, targets)
    model.compile("adam", loss=["binary_crossentropy"] * targets)  # no metrics: sklearn a batch

    before, _ = fit(model, arrays.warm_up())
    after, seconds = fit(model, arrays)
    check_learning(before, after)
    return arrays.rows / seconds


def build(arrays: Arrays, targets: int) -> Any:
    features = [
        *(SparseFeat(f"id_{f}", v, EMBEDDING_WIDTH) for f, v in enumerate(arrays.vocabularies)),
        *(DenseFeat(f"number_{f}", 1) for f in range(arrays.numbers.shape[1])),
    ]
    shape = {
        "tower_dnn_hidden_units": TOWER_WIDTHS,
        "l2_reg_embedding": 0,  # by default a pass over all tables in every batch
        "task_types": ["binary"] * targets,
        "task_names": [f"target_{t}" for t in range(targets)],
    }
    expert = {"expert_dnn_hidden_units": EXPERT_WIDTHS} | shape
    own = {"specific_expert_num": OWN_EXPERTS, "shared_expert_num": SHARED_EXPERTS}
    models = {
        "shared_bottom": lambda: SharedBottom(
            features, bottom_dnn_hidden_units=BOTTOM_WIDTHS, **shape
        ),
        "mmoe": lambda: MMOE(features, num_experts=EXPERTS, **expert),
        "ple": lambda: PLE(features, num_levels=LEVELS, **own, **expert),
    }
    return models[MODEL]()


def fit(model: Any, arrays: Arrays) -> tuple[float, float]:
    """Train one epoch; return its mean loss a label, and its seconds."""
    timer = EpochTimer()
    history = model.fit(
        arrays.columns(),
        arrays.labels,
        batch_size=arrays.batch_rows,
        epochs=1,
        verbose=0,
        callbacks=[timer],
    )
    return history.history["loss"][-1] / arrays.labels.shape[1], timer.seconds


if __name__ == "__main__":
    run("deepctr-torch", train)
