"""torch-rechub: its multi-task models, loaders and MTLTrainer, with its Adam."""

import tempfile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torch_rechub.basic.features import DenseFeature, SequenceFeature, SparseFeature
from torch_rechub.models.multi_task import AITM, MMOE, PLE, SharedBottom
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator, PredictDataset

from .networks_quality import BATCH_ROWS, fit
from .worker_quality import Floats, Outcome, Part, Work, run


def train(work: Work) -> Outcome:
    torch.set_num_threads(work.trial["threads"])
    torch.manual_seed(work.trial["seed"])
    return fit(work, Network(work))


class Network:
    def __init__(self, work: Work) -> None:
        kinds = {"probability": "classification", "quantity": "regression"}
        tasks = [kinds[work.measure(target)] for target in work.targets]
        self.work = work
        self.x = work.columns(work.train)
        self.model = build(work, features(work), tasks)
        self.trainer = MTLTrainer(
            self.model,
            tasks,
            optimizer_params={
                "lr": work.trial["learning_rate"],
                "weight_decay": work.settings["weight_decay"],
            },
            model_path=tempfile.gettempdir(),
        )

    def train(self, rows: NDArray[np.int64], labels: Floats) -> None:
        x = {name: values[rows] for name, values in self.x.items()}
        unused = {"x_val": x, "y_val": labels, "x_test": x, "y_test": labels}
        batches, _, _ = DataGenerator(x, labels).generate_dataloader(
            **unused, batch_size=BATCH_ROWS
        )
        self.trainer.train_one_epoch(batches)  # what `fit` calls before each evaluation

    def predict(self, part: Part) -> Floats:
        rows = DataLoader(PredictDataset(self.work.columns(part)), batch_size=8 * BATCH_ROWS)
        return np.array(self.trainer.predict(self.model, rows), np.float32)


def features(work: Work) -> list[Any]:
    """One feature a column; lists are pooled by their mean, and share tables as ours do."""
    facts, width = work.facts, work.settings["embedding"]

    def shared(feature: dict[str, Any]) -> str | None:
        return None if feature["table"] == feature["name"] else feature["table"]

    ids = [
        SparseFeature(f["name"], f["rows"], embed_dim=width, shared_with=shared(f))
        for f in facts["ids"]
    ]
    lists = [
        SequenceFeature(f["name"], f["rows"], embed_dim=width, shared_with=shared(f), padding_idx=0)
        for f in facts["lists"]
    ]
    return [*ids, *lists, *(DenseFeature(name) for name in facts["numbers"])]


def build(work: Work, columns: list[Any], tasks: list[str]) -> torch.nn.Module:
    settings = work.settings
    towers = [{"dims": settings["tower"]} for _ in tasks]
    expert = {"dims": settings["expert"]}
    models = {
        "shared_bottom": lambda: SharedBottom(columns, tasks, {"dims": settings["bottom"]}, towers),
        "mmoe": lambda: MMOE(columns, tasks, settings["experts"], expert, towers),
        "ple": lambda: PLE(
            columns,
            tasks,
            n_level=settings["levels"],
            n_expert_specific=settings["own_experts"],
            n_expert_shared=settings["shared_experts"],
            expert_params=expert,
            tower_params_list=towers,
        ),
        "aitm": lambda: AITM(columns, len(tasks), {"dims": settings["own_bottom"]}, towers),
    }
    return models[work.trial["model"]]()


if __name__ == "__main__":
    run("torch-rechub", train)
