"""DeepCTR-Torch: its multi-task models, trained by its own ``fit`` with Adam."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .networks_quality import BATCH_ROWS, fit
from .worker_quality import Floats, Outcome, Part, Work, run

# The package asks the network for its newest version when imported, and needs requests only
# for that. An empty stand-in keeps the measurement offline.
sys.modules["requests"] = ModuleType("requests")

from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat  # noqa: E402
from deepctr_torch.models import MMOE, PLE, SharedBottom  # noqa: E402


def train(work: Work) -> Outcome:
    torch.set_num_threads(work.trial["threads"])
    return fit(work, Network(work))


class Network:
    def __init__(self, work: Work) -> None:
        kinds = {"probability": "binary", "quantity": "regression"}
        losses = {"binary": "binary_crossentropy", "regression": "mse"}
        tasks = [kinds[work.measure(target)] for target in work.targets]
        self.work = work
        self.x = work.columns(work.train)
        self.model = build(work, features(work), tasks)
        adam = torch.optim.Adam(self.model.parameters(), lr=work.trial["learning_rate"])
        self.model.compile(adam, loss=[losses[task] for task in tasks])

    def train(self, rows: NDArray[np.int64], labels: Floats) -> None:
        x = {name: values[rows] for name, values in self.x.items()}
        self.model.fit(x, labels, batch_size=BATCH_ROWS, epochs=1, verbose=0)

    def predict(self, part: Part) -> Floats:
        predictions = self.model.predict(self.work.columns(part), 8 * BATCH_ROWS)
        return predictions.astype(np.float32)


def features(work: Work) -> list[Any]:
    """One feature a column; lists are pooled by their mean, and share tables as ours do."""
    facts, width = work.facts, work.settings["embedding"]

    def sparse(feature: dict[str, Any]) -> SparseFeat:
        return SparseFeat(feature["name"], feature["rows"], width, embedding_name=feature["table"])

    return [
        *(sparse(f) for f in facts["ids"]),
        *(VarLenSparseFeat(sparse(f), work.longest(i)) for i, f in enumerate(facts["lists"])),
        *(DenseFeat(name, 1) for name in facts["numbers"]),
    ]


def build(work: Work, columns: list[Any], tasks: list[str]) -> torch.nn.Module:
    settings = work.settings
    shape = {
        "tower_dnn_hidden_units": settings["tower"],
        "task_types": tasks,
        "task_names": [f"target_{t}" for t in range(len(tasks))],
        "seed": work.trial["seed"],
    }
    expert = {"expert_dnn_hidden_units": settings["expert"]} | shape
    models = {
        "shared_bottom": lambda: SharedBottom(
            columns, bottom_dnn_hidden_units=settings["bottom"], **shape
        ),
        "mmoe": lambda: MMOE(columns, num_experts=settings["experts"], **expert),
        "ple": lambda: PLE(
            columns,
            num_levels=settings["levels"],
            specific_expert_num=settings["own_experts"],
            shared_expert_num=settings["shared_experts"],
            **expert,
        ),
    }
    return models[work.trial["model"]]()


if __name__ == "__main__":
    run("deepctr-torch", train)
