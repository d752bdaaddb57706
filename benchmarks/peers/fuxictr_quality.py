"""FuxiCTR: its embeddings, blocks, loader, losses, and its ``fit`` with early stopping.

Its wheel and its source package hold the base class of the multi-task models but not the models
(``import model_zoo.multitask`` fails), so the shared bottom, MMoE and PLE here are written anew
from the papers, of FuxiCTR's own blocks. It has no metric of quantities: binary targets only.
"""

import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders.npz_dataloader import NpzDataLoader
from fuxictr.pytorch.layers import FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import MultiTaskModel
from fuxictr.pytorch.torch_utils import seed_everything
from torch import Tensor, nn

from .networks_quality import BATCH_ROWS
from .worker_quality import Outcome, Part, Work, run


def train(work: Work) -> Outcome:
    torch.set_num_threads(work.trial["threads"])
    seed_everything(work.trial["seed"])
    evaluations, epochs = work.trial["evaluations"], work.trial["epochs"]
    columns = feature_map(work)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / columns.dataset_id).mkdir()
        batches, valid = (
            loader(work, part, columns, Path(folder) / f"{name}.npz", shuffle=name == "train")
            for name, part in (("train", work.train), ("valid", work.valid))
        )
        model = Model(
            work, columns, eval_steps=max(1, len(batches) // evaluations), model_root=folder
        )
        model.fit(batches, epochs=epochs, validation_data=valid)
        predictions = model.predict(valid)
    steps = len(batches)
    return Outcome(
        predictions={name: np.array(values) for name, values in predictions.items()},
        epochs=model._total_steps / steps,
        best_epoch=model.best_step / steps,
    )


def feature_map(work: Work) -> FeatureMap:
    facts = work.facts
    columns = FeatureMap("rows", ".")
    shared = {f["table"] for f in facts["lists"]} - {f["name"] for f in facts["lists"]}
    specs: list[tuple[str, dict[str, Any]]] = []
    for feature in facts["ids"]:
        spec = {"type": "categorical", "vocab_size": feature["rows"]}
        # Its mean of a list knows padding by a zero embedding, which row 0 then needs.
        specs.append((feature["name"], spec | padding(feature["name"] in shared)))
    for i, feature in enumerate(facts["lists"]):
        spec = {
            "type": "sequence",
            "vocab_size": feature["rows"],
            "max_len": work.longest(i),
            "feature_encoder": "layers.MaskedAveragePooling()",
        }
        if feature["table"] != feature["name"]:
            spec["share_embedding"] = feature["table"]
        specs.append((feature["name"], spec | padding(True)))
    specs += [(name, {"type": "numeric"}) for name in facts["numbers"]]
    columns.features = OrderedDict(specs)
    columns.labels = [facts["targets"][target]["name"] for target in work.targets]
    columns.num_fields = columns.get_num_fields()
    columns.set_column_index()
    return columns


def padding(needed: bool) -> dict[str, int]:
    return {"padding_idx": 0} if needed else {}


def loader(work: Work, part: Part, columns: FeatureMap, path: Path, *, shuffle: bool) -> Any:
    names = [work.facts["targets"][target]["name"] for target in work.targets]
    labels = {name: part.labels[:, t] for name, t in zip(names, work.targets, strict=True)}
    np.savez(path, **work.columns(part), **labels)
    batch_rows = BATCH_ROWS if shuffle else 8 * BATCH_ROWS
    return NpzDataLoader(columns, str(path), batch_rows, shuffle=shuffle, num_workers=0)


class Model(MultiTaskModel):
    """Embeddings, a body that gives each task a representation, and a tower a task."""

    def __init__(self, work: Work, columns: FeatureMap, **places: Any) -> None:
        settings, tasks = work.settings, len(work.targets)
        super().__init__(
            columns,
            task=["binary_classification"] * tasks,
            num_tasks=tasks,
            metrics=["AUC"],
            early_stop_patience=work.trial["patience"],
            embedding_regularizer=settings["embedding_regularizer"],
            reduce_lr_on_plateau=settings["lower_rate_on_plateau"],
            verbose=0,
            **places,
        )
        self.best_step = 0
        self.embedding_layer = FeatureEmbedding(columns, settings["embedding"])
        body = BODIES[work.trial["model"]]
        self.body = body(settings["embedding"] * columns.num_fields, tasks, settings)
        self.towers = nn.ModuleList(
            MLP_Block(self.body.out_width, settings["tower"], output_dim=1) for _ in range(tasks)
        )
        self.compile("adam", "binary_crossentropy", work.trial["learning_rate"])
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = self.embedding_layer(self.get_inputs(inputs)).flatten(start_dim=1)
        parts = zip(self.body(x), self.towers, self.output_activation, strict=True)
        found = [activation(tower(task)) for task, tower, activation in parts]
        labels = self.feature_map.labels
        return {f"{name}_pred": y for name, y in zip(labels, found, strict=True)}

    def save_weights(self, checkpoint: str) -> None:
        self.best_step = self._total_steps
        super().save_weights(checkpoint)


class SharedBottom(nn.Module):
    def __init__(self, in_width: int, tasks: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.tasks, self.out_width = tasks, settings["bottom"][-1]
        self.bottom = MLP_Block(in_width, settings["bottom"])

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.bottom(x)] * self.tasks


class MMoE(nn.Module):
    """Ma et al., KDD 2018, eq. 6 and 7: gates of one linear layer."""

    def __init__(self, in_width: int, tasks: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.out_width = settings["expert"][-1]
        self.experts = experts(settings["experts"], in_width, settings)
        self.gates = nn.ModuleList(
            nn.Linear(in_width, settings["experts"], bias=False) for _ in range(tasks)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        found = [expert(x) for expert in self.experts]
        return [mixed(found, gate(x)) for gate in self.gates]


class PLE(nn.Module):
    """Tang et al., RecSys 2020, eq. 1 to 7."""

    def __init__(self, in_width: int, tasks: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.out_width = settings["expert"][-1]
        widths = [in_width, *[self.out_width] * (settings["levels"] - 1)]
        last = len(widths) - 1
        self.levels = nn.ModuleList(
            Extraction(width, tasks, settings, last=i == last) for i, width in enumerate(widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        found = [x] * (len(self.levels[0].own) + 1)
        for level in self.levels:
            found = level(found)
        return found


class Extraction(nn.Module):
    """One level: a mixture a task, and but for the last level one of all experts."""

    def __init__(self, width: int, tasks: int, settings: dict[str, Any], *, last: bool) -> None:
        super().__init__()
        own, shared = settings["own_experts"], settings["shared_experts"]
        self.own = nn.ModuleList(experts(own, width, settings) for _ in range(tasks))
        self.shared = experts(shared, width, settings)
        sizes = [own + shared] * tasks + [own * tasks + shared] * (not last)
        self.gates = nn.ModuleList(nn.Linear(width, size, bias=False) for size in sizes)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        shared = [expert(inputs[-1]) for expert in self.shared]
        own = [
            [expert(x) for expert in bank] for bank, x in zip(self.own, inputs[:-1], strict=True)
        ]
        banks = [[*bank, *shared] for bank in own] + [[*sum(own, []), *shared]]
        parts = zip(banks, inputs, self.gates, strict=False)  # the last level has no last gate
        return [mixed(bank, gate(x)) for bank, x, gate in parts]


def experts(count: int, width: int, settings: dict[str, Any]) -> nn.ModuleList:
    return nn.ModuleList(MLP_Block(width, settings["expert"]) for _ in range(count))


def mixed(outputs: list[Tensor], gate: Tensor) -> Tensor:
    return (torch.stack(outputs, dim=1) * gate.softmax(dim=1).unsqueeze(2)).sum(dim=1)


BODIES = {"shared_bottom": SharedBottom, "mmoe": MMoE, "ple": PLE}


if __name__ == "__main__":
    run("fuxictr", train)
