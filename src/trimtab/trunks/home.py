"""HoME: experts of all tasks, of groups of tasks and of each task, in two levels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import silu

from trimtab.features.inputs import Inputs, SharedInputs
from trimtab.trunks.base import Trunk, TrunkSettings, trunks
from trimtab.trunks.experts import BatchedLinear, BatchNormEach, Gates, Spread, mix
from trimtab.trunks.levels import GatesEach
from trimtab.trunks.named import name_problems, refuse


@trunks.register("home")
class HoMESettings(TrunkSettings):
    """A hierarchy of experts, by groups of tasks (Wang et al., KDD 2025)."""

    kind: Literal["home"] = "home"
    widths: list[PositiveInt] = Field(default=[64, 32], min_length=2, max_length=2)
    """Widths of the experts of the level of groups, then of the level of tasks."""
    groups: dict[str, list[str]] | None = None
    """Group to its targets, such as those of watching and those of interacting; every target is in
    one. All targets are one group when left out."""
    experts: PositiveInt = 1
    """Experts of each task, of each group and of all together, at each level."""
    rank: PositiveInt = 4
    """Rank of the gates by which each expert weighs its inputs."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of each level's outputs set to zero in training."""

    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Give each target its own task; raise ``SettingsError`` for wrong groups."""
        self._group_of(targets)
        return {target: target for target in targets}

    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> "HoME":
        """Build the two levels; raise ``SettingsError`` for a task in two groups."""
        group_of = self._group_of([target for members in tasks.values() for target in members])
        groups = {task: {group_of[t]: t for t in members} for task, members in tasks.items()}
        refuse(
            [
                f"trunk.groups: the task {task!r} has targets in {', '.join(map(repr, inside))}; "
                "expected one group a task"
                for task, inside in groups.items()
                if len(inside) > 1
            ]
        )
        first = {task: next(iter(inside), "all") for task, inside in groups.items()}
        return HoME(in_width, first, **self.model_dump(exclude={"kind", "groups"}))

    def _group_of(self, targets: Sequence[str]) -> dict[str, str]:
        """Return target to group; raise ``SettingsError`` for wrong groups."""
        if self.groups is None:
            return dict.fromkeys(targets, "all")
        group_of = {target: group for group, inside in self.groups.items() for target in inside}
        named = [target for inside in self.groups.values() for target in inside]
        refuse(
            [
                *name_problems("trunk.groups", named, targets),
                *(f"trunk.groups.{group}: no targets" for group, g in self.groups.items() if not g),
                *(f"trunk.groups: {t!r} is in no group" for t in targets if t not in group_of),
            ]
        )
        return group_of


class HoME(Trunk):
    """A level of experts for groups of tasks and for all, and upon it one for each task.

    The first level gives ``z_g`` a group from the group's experts and the shared ones, and ``z_s``
    from all experts. The second has experts of each task and of each group over ``z_g``, and shared
    ones over ``z_s``; a task weighs its own, its group's and the shared ones. Thereby

    - an expert is ``Swish(BatchNorm(W v'))``, so that none dies and all have one scale;
    - it reads ``v' = v * 2 sigmoid((v B + b) A)``, a low-rank feature gate of its own;
    - to a softmax over all that an output sees, a self gate adds the output's own experts once
      more (with one expert a sigmoid, else a softmax), so that a rare task trains its own.

    The gates of the first level read x, those of the second ``[z_g, z_s]``. Wang et al., "HoME:
    Hierarchy of Multi-Gate Experts for Multi-Task Learning at Kuaishou", KDD 2025
    (arXiv 2408.05430). Where we differ: an expert is one layer, and has one low-rank feature gate,
    with a bias b, where the paper mixes several for wide inputs.

    Parameters
    ----------
    tasks
        Task to its group.
    widths
        Of the experts of the first level and of the second.
    """

    group_of: Tensor
    reads: Tensor

    def __init__(
        self,
        in_width: int,
        tasks: Mapping[str, str],
        *,
        widths: Sequence[int],
        experts: int = 1,
        rank: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tasks = list(tasks)
        groups = {group: f"group/{group}" for group in tasks.values()}
        above = {group: [group, "shared"] for group in groups.values()}
        above["shared"] = list(above) + ["shared"]
        below = {f"task/{task}": [f"task/{task}", groups[g], "shared"] for task, g in tasks.items()}
        width, self.out_width = widths
        self.above = Level(above, experts, in_width=in_width, width=width, rank=rank)
        self.above_down = Spread(in_width, self.above.names, rank)
        self.above_gates = Gates(in_width, list(above), self.above.names, sees=self.above.sees)
        self.above_self_gates = Spread(in_width, list(above), experts)
        self.below = Level(below, experts, in_width=width, width=self.out_width, rank=rank)
        self.below_down = BatchedLinear(self.below.names, width, rank)
        self.below_gates = GatesEach(2 * width, list(below), self.below.names, sees=self.below.sees)
        self.below_self_gates = BatchedLinear(list(below), 2 * width, experts)
        self.dropout = nn.Dropout(dropout)
        # What comes from above that each expert below reads, and each task.
        source = {name: name for name in above} | {n: seen[1] for n, seen in below.items()}
        reads = [list(above).index(source[name.rsplit("/", 1)[0]]) for name in self.below.names]
        group_of = [list(above).index(seen[1]) for seen in below.values()]
        self.register_buffer("reads", torch.tensor(reads), persistent=False)
        self.register_buffer("group_of", torch.tensor(group_of), persistent=False)

    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return each task's mixture of the second level's experts."""
        z = self.dropout(self._groups(inputs.x))
        of_group, of_all = z.index_select(1, self.group_of), z[:, -1:]
        both = torch.cat([of_group, of_all.expand_as(of_group)], -1)
        read = z.index_select(1, self.reads)
        h = self.dropout(
            self.below(
                read, self.below_down(read), self.below_gates(both), self.below_self_gates(both)
            )
        )
        return dict(zip(self.tasks, h.unbind(1), strict=True))

    def _groups(self, x: SharedInputs) -> Float[Tensor, "rows outputs width"]:
        """Return each group's mixture of the first level's experts, and that of all as the last."""
        low = x.project(self.above_down).unflatten(1, (len(self.above.names), -1))
        logits = x.project(self.above_self_gates).unflatten(1, (-1, self.above.each))
        out: Tensor = self.above(x.dense.unsqueeze(1), low, self.above_gates(x), logits)
        return out

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters; each task trains its slice of those that are batched."""
        return self.parameters()


class Level(nn.Module):
    """Experts ``Swish(BatchNorm(W v'))`` of several owners, mixed by gates and self gates.

    Parameters
    ----------
    owners
        Output to the owners whose experts it sees; every output owns experts itself.
    each
        Experts of each owner.

    Attributes
    ----------
    names
        Of the experts, ``owner/number``; those of the outputs come first.
    sees
        Output to the experts that it sees.
    """

    def __init__(
        self,
        owners: Mapping[str, Sequence[str]],
        each: int,
        *,
        in_width: int,
        width: int,
        rank: int,
    ) -> None:
        super().__init__()
        named = dict.fromkeys([*owners, *(o for seen in owners.values() for o in seen)])
        of = {owner: [f"{owner}/{i}" for i in range(each)] for owner in named}
        self.each, self.owned = each, len(owners) * each
        self.names = [name for owned in of.values() for name in owned]
        self.sees = {out: [name for o in seen for name in of[o]] for out, seen in owners.items()}
        self.up = BatchedLinear(self.names, rank, in_width, bias=False)
        self.linear = BatchedLinear(self.names, in_width, width, bias=False)
        self.norm = BatchNormEach(len(self.names), width)

    def forward(
        self,
        x: Float[Tensor, "rows #experts in_width"],
        low: Float[Tensor, "rows experts rank"],
        weights: Float[Tensor, "rows outputs experts"],
        logits: Float[Tensor, "rows outputs each"],
    ) -> Float[Tensor, "rows outputs width"]:
        """Return each output's mixture.

        Parameters
        ----------
        x, low
            What each expert reads, or all of them, and that at a low rank.
        weights, logits
            What gates give the experts, and self gates the outputs' own before they are weights.
        """
        experts = silu(self.norm(self.linear(x * (2 * self.up(low).sigmoid()))))
        own = experts[:, : self.owned].unflatten(1, (-1, self.each))
        again = logits.softmax(-1) if self.each > 1 else logits.sigmoid()
        out: Tensor = mix(weights, experts) + (again.unsqueeze(-1) * own).sum(2)
        return out
