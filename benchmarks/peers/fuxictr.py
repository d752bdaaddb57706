"""FuxiCTR: its embeddings and blocks, its loader of a file, and its own ``train_epoch``.

Its packages hold no multi-task models: those here are of its own blocks, as in the comparison of
quality. Clipping of all gradients is part of its loop; its regularisers, a pass over all tables in
every batch, are off.
"""

import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders.npz_dataloader import NpzDataLoader
from fuxictr.pytorch.layers import FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import MultiTaskModel
from torch import Tensor, nn

from .fuxictr_quality import BODIES
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

SETTINGS = {
    "bottom": list(BOTTOM_WIDTHS),
    "expert": list(EXPERT_WIDTHS),
    "experts": EXPERTS,
    "levels": LEVELS,
    "own_experts": OWN_EXPERTS,
    "shared_experts": SHARED_EXPERTS,
}


def train(arrays: Arrays) -> float:
    columns = feature_map(arrays)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / columns.dataset_id).mkdir()
        warm, batches = (
            loader(part, columns, Path(folder) / f"{name}.npz")
            for name, part in (("warm", arrays.warm_up()), ("rows", arrays))
        )
        model = Model(columns, model_root=folder)
        before, _ = epoch(model, warm)
        after, seconds = epoch(model, batches)
    check_learning(before, after)
    return arrays.rows / seconds


def feature_map(arrays: Arrays) -> FeatureMap:
    columns = FeatureMap("rows", ".")
    ids = (
        (f"id_{f}", {"type": "categorical", "vocab_size": v})
        for f, v in enumerate(arrays.vocabularies)
    )
    numbers = ((f"number_{f}", {"type": "numeric"}) for f in range(arrays.numbers.shape[1]))
    columns.features = OrderedDict([*ids, *numbers])
    columns.labels = [f"target_{t}" for t in range(arrays.labels.shape[1])]
    columns.num_fields = columns.get_num_fields()
    columns.set_column_index()
    return columns


def loader(arrays: Arrays, columns: FeatureMap, path: Path) -> Any:
    labels = dict(zip(columns.labels, arrays.labels.T, strict=True))
    np.savez(path, **arrays.columns(), **labels)
    beside = torch.get_num_threads() - 1  # its default, one process, where there is a core for it
    return NpzDataLoader(columns, str(path), arrays.batch_rows, shuffle=True, num_workers=beside)


def epoch(model: "Model", batches: Any) -> tuple[float, float]:
    """Train one epoch; return its mean loss a target, and its seconds."""
    model.total = torch.zeros(())
    start = time.perf_counter()
    model.train_epoch(batches)  # what `fit` calls
    seconds = time.perf_counter() - start
    return float(model.total) / len(batches) / model.num_tasks, seconds


class Model(MultiTaskModel):
    """Embeddings, a body that gives each task a representation, and a tower a task."""

    def __init__(self, columns: FeatureMap, **places: Any) -> None:
        tasks = len(columns.labels)
        super().__init__(
            columns,
            task=["binary_classification"] * tasks,
            num_tasks=tasks,
            metrics=["AUC"],
            eval_steps=1 << 40,  # only batches are timed
            verbose=0,
            **places,
        )
        self._max_gradient_norm, self._stop_training, self._total_steps = 10.0, False, 0
        self.total = torch.zeros(())
        self.embedding_layer = FeatureEmbedding(columns, EMBEDDING_WIDTH)
        self.body = BODIES[MODEL](EMBEDDING_WIDTH * columns.num_fields, tasks, SETTINGS)
        self.towers = nn.ModuleList(
            MLP_Block(self.body.out_width, list(TOWER_WIDTHS), output_dim=1) for _ in range(tasks)
        )
        self.compile("adam", "binary_crossentropy", 1e-3)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = self.embedding_layer(self.get_inputs(inputs)).flatten(start_dim=1)
        parts = zip(self.body(x), self.towers, self.output_activation, strict=True)
        found = [activation(tower(task)) for task, tower, activation in parts]
        return {f"{n}_pred": y for n, y in zip(self.feature_map.labels, found, strict=True)}

    def train_step(self, batch_data: Any) -> Tensor:
        loss = super().train_step(batch_data)
        self.total += loss.detach()
        return loss


if __name__ == "__main__":
    run("fuxictr", train)
