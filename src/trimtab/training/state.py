"""Everything that changes while training, and so everything that a checkpoint holds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trimtab.balancing.base import Balancer
from trimtab.balancing.objective import Objective
from trimtab.batch import Batches
from trimtab.data.columns import Columns, Take, take_by_numpy
from trimtab.layers import seed_of
from trimtab.model import RankingModel
from trimtab.training import checkpoint
from trimtab.training.at_once import AtOnce, in_parts
from trimtab.training.dense import Dense
from trimtab.training.order import Buffer, batches
from trimtab.training.watch import Watch

TABLE = "features.tables.weight"
"""Name of the one parameter that holds all tables."""


@dataclass(kw_only=True)
class State:
    """A training under way.

    Attributes
    ----------
    at_once
        Does whole steps, or none; then each part of a step is called for itself.
    take
        Copies a batch's rows.
    average
        Running average of the dense weights; empty where none is kept.
    origin
        File with the tables that ``renew`` goes back to; None where it draws them.
    step
        Updates done.
    best, best_step
        Best score so far and the step it was reached at.
    curves
        One entry an evaluation, for the report.
    """

    model: RankingModel
    objective: Objective
    forward: Dense
    at_once: AtOnce = in_parts
    take: Take = take_by_numpy
    balancer: Balancer
    optimizers: list[torch.optim.Optimizer]
    keep: float = 0.0
    average: dict[str, Tensor] = field(default_factory=dict)
    origin: Path | None = None
    step: int = 0
    best: float = float("-inf")
    best_step: int = 0
    stale: int = 0
    seconds: float = 0.0
    watch: Watch = field(default_factory=Watch)
    curves: list[dict[str, Any]] = field(default_factory=list)

    FACTS = ("step", "best", "best_step", "stale", "seconds", "curves")

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state, by name."""
        found = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        found |= {f"average.{name}": t for name, t in self.average.items()}
        found |= {f"balancer.{name}": t for name, t in self.balancer.state_dict().items()}
        for name, parameter, optimizer in self.learnt():
            for key, value in optimizer.state[parameter].items():
                found[f"optimizer.{name}.{key}"] = value
        found["random"] = torch.get_rng_state()
        return found

    def learnt(self) -> Iterator[tuple[str, Tensor, torch.optim.Optimizer]]:
        """Return the name of every parameter that is learnt, the parameter and its optimiser."""
        parts = {"model": self.model, "balancer": self.balancer}
        names = {id(p): f"{part}.{n}" for part, m in parts.items() for n, p in m.named_parameters()}
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    yield names[id(parameter)], parameter, optimizer

    def facts(self) -> dict[str, Any]:
        """Return the numbers of the state."""
        return {name: getattr(self, name) for name in self.FACTS}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Set everything from what ``tensors`` and ``facts`` returned.

        Raises
        ------
        ValueError
            When they are of another model, or of other optimisers.
        """
        self.model.load_state_dict(under("model.", tensors))
        self.balancer.load_state_dict(under("balancer.", tensors))
        device = self.model.present.device
        self.average = {name: t.to(device) for name, t in under("average.", tensors).items()}
        for name, parameter, optimizer in self.learnt():
            saved = under(f"optimizer.{name}.", tensors)
            optimizer.state[parameter] = {k: t.to(parameter.device) for k, t in saved.items()}
        torch.set_rng_state(tensors["random"])
        for name in self.FACTS:
            setattr(self, name, facts[name])
        if self.tensors().keys() != tensors.keys():
            raise ValueError("The tensors are of other parts.")

    def batches(self, rows: Columns, buffers: Iterator[Buffer]) -> Iterator[Batches]:
        """Gather the batches of some buffers, as this training reads them."""
        pinned = self.model.present.device.type == "cuda"
        return batches(rows, buffers, take=self.take, pinned=pinned)

    def dense(self) -> dict[str, Tensor]:
        """Return the weights that the average is kept of: all but the tables."""
        table = self.model.features.tables.weight
        return {n: p.data for n, p in self.model.named_parameters() if p is not table}

    def follow(self) -> None:
        """Move the running average towards the weights; a young average moves faster."""
        if not self.keep:
            return
        weights = self.dense()
        if not self.average:
            self.average = {name: weight.clone() for name, weight in weights.items()}
        share = 1 - min(self.keep, self.step / (self.step + 10))
        current = [weights[name] for name in self.average]
        torch._foreach_lerp_(list(self.average.values()), current, share)

    def tables(self) -> dict[str, Tensor]:
        """Return the tables' rows, and their optimiser's state beside them."""
        return {"weight": self.model.features.tables.read()} | self.tables_state()

    def tables_state(self) -> dict[str, Tensor]:
        """Return the state of the tables' optimiser; to set it, change it in place."""
        weight = self.model.features.tables.weight
        found: dict[str, Tensor] = {}
        for optimizer in self.optimizers:
            found |= optimizer.state.get(weight, {})
        return found

    def renew(self, seed: int) -> None:
        """Start the tables anew, and their optimiser; the same whatever happened before.

        Where the training went on from a run, they go back to where that left them.

        Liu et al., "Multi-Epoch Learning with Data Augmentation for Deep Click-Through Rate
        Prediction", arXiv 2407.01607: ids are learnt by heart in the second pass, the dense part
        is not.
        """
        tables = self.model.features.tables
        if self.origin is not None:
            saved, _ = checkpoint.load(self.origin)
            tables.write(slice(None), slice(None), saved["weight"])
            for name, value in self.tables_state().items():
                value.copy_(saved[name])
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, f"tables/{self.step}"))
            tables.reset_parameters()
        for value in self.tables_state().values():
            value.zero_()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the averaged weights in the model for a while."""
        weights = self.dense()
        trained = {name: weights[name].clone() for name in self.average}
        for name, value in self.average.items():
            weights[name].copy_(value)
        try:
            yield
        finally:
            for name, value in trained.items():
                weights[name].copy_(value)


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose name starts with ``prefix``, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
