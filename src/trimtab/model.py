"""The ranking model: features, trunk, towers and targets, and nothing else."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from trimtab.batch import Batch
from trimtab.features.encoder import FeatureEncoder
from trimtab.features.inputs import Inputs
from trimtab.own import OwnPath
from trimtab.targets.base import Given, RowLosses, Target
from trimtab.towers import Tower
from trimtab.trunks.base import Trunk

Logits = dict[str, Tensor]


class RankingModel(nn.Module):
    """Features -> trunk -> a tower a scene -> logits of every target.

    Parameters
    ----------
    towers
        Scene to its tower, in the order of ``Batch.scene``.
    staged
        Whether each row passes through every tower; else a row has the tower of its scene.
    given
        Target to the target right before it in a funnel.
    own
        Target to its own path; none where the run has no tables of the targets' own.
    by
        Target to the column of ``Batch.numbers`` that it is grouped by; most have none.
    apart
        Targets whose losses are computed by themselves, as in ``Tower``.

    Attributes
    ----------
    earlier
        The same model at the end of earlier passes, served beside this one; most have none.
    """

    earlier: nn.ModuleList
    present: Tensor
    towers: Mapping[str, Tower]
    targets: Mapping[str, Target]
    own: Mapping[str, OwnPath]

    def __init__(
        self,
        features: FeatureEncoder,
        trunk: Trunk,
        towers: Mapping[str, Tower],
        targets: Mapping[str, Target],
        *,
        staged: bool,
        given: Mapping[str, str],
        own: Mapping[str, OwnPath] | None = None,
        by: Mapping[str, int] | None = None,
        apart: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.features = features
        self.trunk = trunk
        self.towers = cast(Mapping[str, Tower], nn.ModuleDict(towers))
        self.targets = cast(Mapping[str, Target], nn.ModuleDict(targets))
        self.earlier = nn.ModuleList()
        self.staged = staged
        self.given = dict(given)
        self.by = dict(by or {})
        self.tasks = {t: task for tower in towers.values() for t, task in tower.tasks.items()}
        # A target may be in no tower: that of a scene without training rows is left out.
        paths = {name: path for name, path in (own or {}).items() if name in self.tasks}
        self.own = cast(Mapping[str, OwnPath], nn.ModuleDict(paths))
        present = [[staged or t in tower.heads for tower in towers.values()] for t in targets]
        self.everywhere = all(all(scenes) for scenes in present)
        self._group(apart)
        self.register_buffer("present", torch.tensor(present), persistent=False)

    def _group(self, apart: Collection[str]) -> None:
        """Find the targets whose losses are computed together."""
        groups: dict[RowLosses, list[str]] = {}
        for name, target in self.targets.items():
            if target.together is not None and name not in self.given and name not in apart:
                groups.setdefault(target.together, []).append(name)
        self.together = list(groups.values())
        grouped = [name for names in self.together for name in names]
        self.apart = [name for name in self.targets if name not in grouped]

    def forward(self, batch: Batch) -> Logits:
        """Return each target's logits, ``[rows, head width]``; no use where its scene has none."""
        inputs, tasks = self.represent(batch)
        logits = self.head(inputs, tasks)
        if not self.earlier:
            return logits
        parts = [logits, *(model(batch) for model in self.earlier)]
        return {name: torch.stack([part[name] for part in parts]).mean(0) for name in logits}

    def represent(self, batch: Batch) -> tuple[Inputs, dict[str, Tensor]]:
        """Return what the features give, and the trunk's representation a task."""
        inputs = self.features(batch)
        return inputs, self.trunk(inputs)

    def head(self, inputs: Inputs, tasks: Mapping[str, Tensor]) -> Logits:
        """Return each target's logits, given the trunk's representations."""
        some = next(iter(tasks.values()))
        parts = [
            (rows, tower(tasks if rows is None else {task: x[rows] for task, x in tasks.items()}))
            for rows, tower in self._rows_of_towers(inputs)
        ]
        logits = {}
        for name, target in self.targets.items():
            heads = [(rows, part[name]) for rows, part in parts if name in part]
            logits[name] = _merge(heads, some, target.width)
            if name in inputs.first_order:
                logits[name] = target.lifted(logits[name], inputs.first_order[name])
        for name, path in self.own.items():
            logits[name] = logits[name] + path(tasks[self.tasks[name]], inputs.own[name])
        return logits

    def _rows_of_towers(self, inputs: Inputs) -> list[tuple[Tensor | None, Tower]]:
        """Return which rows go through which tower; None for all."""
        towers = list(self.towers.values())
        if self.staged or len(towers) == 1:
            return [(None, tower) for tower in towers]
        rows = [(inputs.scene == i).nonzero().view(-1) for i in range(len(towers))]
        return [(r, tower) for r, tower in zip(rows, towers, strict=True) if len(r)]

    def losses(self, batch: Batch, logits: Logits) -> dict[str, Float[Tensor, " rows"]]:
        """Return each target's loss of every row, 0 where it has no head or was not observed."""
        parts = self.losses_together(batch, logits)
        losses: dict[str, Tensor] = {}
        for names, part in parts:
            losses |= dict(zip(names, part.unbind(), strict=True))
        return {name: losses[name] for name in self.targets}

    def losses_together(
        self, batch: Batch, logits: Logits
    ) -> list[tuple[list[str], Float[Tensor, "targets rows"]]]:
        """Return ``losses``, those of targets of one simple form side by side."""
        parts = []
        for names in self.together:
            labels = [self.targets[name].label(batch.labels) for name in names]
            together = cast(RowLosses, self.targets[names[0]].together)
            parts.append((names, together([logits[name] for name in names], labels)))
        for name in self.apart:
            given = self._given(name, batch, logits, batch.labels)
            loss = self.targets[name].loss(logits[name], batch.labels, given)
            parts.append(([name], loss[None]))
        return parts if self.everywhere else [(n, self._present(n, batch, x)) for n, x in parts]

    def _present(self, names: Sequence[str], batch: Batch, losses: Tensor) -> Tensor:
        """Return losses, 0 on rows whose scene has not the target."""
        present = torch.stack([self.has(name, batch) for name in names])
        return torch.where(present, losses, torch.zeros_like(losses))

    def observed(self, batch: Batch) -> dict[str, Bool[Tensor, " rows"]]:
        """Return for each target the rows that its loss is over."""
        always = torch.ones_like(batch.scene, dtype=torch.float32)
        return {
            name: self.has(name, batch)
            & target.observed(batch.labels, batch.labels.get(self.given.get(name, ""), always))
            for name, target in self.targets.items()
        }

    def has(self, name: str, batch: Batch) -> Bool[Tensor, " rows"]:
        """Return the rows whose scene has the target."""
        return self.present[list(self.targets).index(name)][batch.scene]

    def predict(self, batch: Batch, logits: Logits) -> dict[str, Float[Tensor, " rows"]]:
        """Return each target's prediction over all rows, in its unit.

        Beside a conditional target ``b`` stands ``b_given_a``, its prediction where ``a`` happens,
        and beside a quantity's mean ``NAME_typical``, the middle of its distribution.
        """
        out = {}
        for name, target in self.targets.items():
            given = self._given(name, batch, logits, {})
            wanted = {name: given}
            if name in self.given:
                wanted[f"{name}_given_{self.given[name]}"] = replace(given, steps=())
            for column, steps in wanted.items():
                out[column] = target.predict(logits[name], steps)
                typical = target.typical(logits[name], steps)
                if typical is not None:
                    out[typical_of(column)] = typical
        return out

    def finish(self, batch: Batch, logits: Logits) -> None:
        """Let each target learn what needs the trained model, from training rows."""
        for name, target in self.targets.items():
            here = self.has(name, batch)
            labels = {key: torch.where(here, y, torch.nan) for key, y in batch.labels.items()}
            target.finish(logits[name], labels, self._given(name, batch, logits, labels))

    def _given(
        self, name: str, batch: Batch, logits: Logits, labels: Mapping[str, Tensor]
    ) -> Given:
        """Return the steps before a target, first step first, and what it is grouped by."""
        parent = self.given.get(name)
        ones = torch.ones_like(logits[name][:, 0])
        happened = labels.get(parent, ones) if parent else ones
        steps: list[Tensor] = []
        while parent is not None:
            steps.insert(0, self.targets[parent].log_odds(logits[parent]))
            parent = self.given.get(parent)
        by = batch.numbers[:, self.by[name]] if name in self.by else None
        return Given(steps=tuple(steps), happened=happened, by=by)


def typical_of(column: str) -> str:
    """Return the name of the typical value beside a quantity's mean."""
    return f"{column}_typical"


def _merge(parts: Sequence[tuple[Tensor | None, Tensor]], like: Tensor, width: int) -> Tensor:
    """Put the towers' logits of one target into the rows that are theirs, 0 into the others."""
    merged: Tensor | None = None
    for place, part in parts:
        if place is None:
            return part
        before = part.new_zeros(len(like), width) if merged is None else merged
        merged = before.index_copy(0, place, part)
    return like.new_zeros(len(like), width) if merged is None else merged
