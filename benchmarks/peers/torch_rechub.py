"""torch-rechub: its multi-task models, its DataGenerator's loader and its MTLTrainer."""

import time
from typing import Any

from torch_rechub.basic.features import DenseFeature, SparseFeature
from torch_rechub.models.multi_task import MMOE, PLE, SharedBottom
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator

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


def train(arrays: Arrays) -> float:
    tasks = ["classification"] * arrays.labels.shape[1]
    model = build(arrays, tasks)
    trainer = MTLTrainer(model, tasks, optimizer_params={"lr": 1e-3})  # Adam, no weight decay

    before = trainer.train_one_epoch(loader(arrays.warm_up()))
    batches = loader(arrays)
    start = time.perf_counter()
    after = trainer.train_one_epoch(batches)  # what `fit` calls, without its evaluation
    seconds = time.perf_counter() - start
    check_learning(sum(before) / len(tasks), sum(after) / len(tasks))
    return arrays.rows / seconds


def build(arrays: Arrays, tasks: list[str]) -> Any:
    features = [
        *(
            SparseFeature(f"id_{f}", vocab_size=v, embed_dim=EMBEDDING_WIDTH)
            for f, v in enumerate(arrays.vocabularies)
        ),
        *(DenseFeature(f"number_{f}") for f in range(arrays.numbers.shape[1])),
    ]
    bottom, expert = {"dims": list(BOTTOM_WIDTHS)}, {"dims": list(EXPERT_WIDTHS)}
    towers = [{"dims": list(TOWER_WIDTHS)} for _ in tasks]
    models = {
        "shared_bottom": lambda: SharedBottom(features, tasks, bottom, towers),
        "mmoe": lambda: MMOE(features, tasks, EXPERTS, expert, towers),
        "ple": lambda: PLE(features, tasks, LEVELS, OWN_EXPERTS, SHARED_EXPERTS, expert, towers),
    }
    return models[MODEL]()


def loader(arrays: Arrays) -> Any:
    columns = arrays.columns()
    unused = {"x_val": columns, "y_val": arrays.labels, "x_test": columns, "y_test": arrays.labels}
    generator = DataGenerator(columns, arrays.labels)
    batches, _, _ = generator.generate_dataloader(**unused, batch_size=arrays.batch_rows)
    return batches


if __name__ == "__main__":
    run("torch-rechub", train)
