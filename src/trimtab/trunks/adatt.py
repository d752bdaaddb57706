"""AdaTT: levels of experts a task; each task weighs those of all, and keeps its own besides."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import pad

from trimtab.features.inputs import Inputs
from trimtab.layers import Activation, LayerSettings, Normalisation
from trimtab.trunks.base import Trunk, TrunkSettings, trunks
from trimtab.trunks.experts import Experts, Gates, mix
from trimtab.trunks.levels import GatesEach


@trunks.register("adatt")
class AdaTTSettings(TrunkSettings, LayerSettings):
    """Task-to-task fusion, level by level (Li et al., KDD 2023)."""

    kind: Literal["adatt"] = "adatt"
    widths: list[PositiveInt] = Field(default=[64, 32], min_length=1)
    """Widths of the levels: each is one layer of experts, and their fusion."""
    experts: PositiveInt = 1
    """Experts of each task, at each level."""
    shared_experts: NonNegativeInt = 0
    """Experts that belong to no task, at each level; with none it is the paper's AdaTT-sp."""

    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Give each target its own task."""
        return {target: target for target in targets}

    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> "AdaTT":
        """Build the levels."""
        return AdaTT(in_width, list(tasks), **self.model_dump(exclude={"kind"}))


class AdaTT(Trunk):
    """``h_t = g_t(h_t)^T E + v_t^T E_t`` a level: gated fusion of all experts, plus one's own.

    The experts of a unit (a task, or the shared ones together) read that unit's output of the level
    before; E are those of all units and ``E_t`` the unit's own. The second term, the paper's
    NativeExpertLF, has one learnt weight an expert and no softmax; with one expert a unit it is
    that expert's output itself. The shared unit is fused like a task, but for the last level,
    where nothing would read it. Li et al., "AdaTT: Adaptive Task-to-Task Fusion Network for
    Multitask Learning in Recommendations", KDD 2023.

    Where we differ from the authors' code (facebookresearch/AdaTT): the weights v start as an
    average, not at random, so that the term starts alike for any number of experts; an expert is
    one layer a level.
    """

    reads: Tensor
    gates: Sequence[GatesEach]

    def __init__(
        self,
        in_width: int,
        tasks: Sequence[str],
        *,
        widths: Sequence[int],
        experts: int = 1,
        shared_experts: int = 0,
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Normalisation = "none",
    ) -> None:
        super().__init__()
        self.tasks = list(tasks)
        counts = {f"task/{task}": experts for task in tasks}
        if shared_experts:
            counts["shared"] = shared_experts
        names = [f"{unit}/{i}" for unit, count in counts.items() for i in range(count)]
        reads = [i for i, count in enumerate(counts.values()) for _ in range(count)]
        self.register_buffer("reads", torch.tensor(reads), persistent=False)
        self.experts = Experts(
            in_width, names, widths=widths, activation=activation, dropout=dropout, norm=norm
        )
        units = [list(counts)] * (len(widths) - 1) + [list(counts)[: len(tasks)]]
        self.first_gates = Gates(in_width, units[0], names)
        gates = [GatesEach(a, fused, names) for a, fused in zip(widths, units[1:], strict=False)]
        self.gates = cast(Sequence[GatesEach], nn.ModuleList(gates))
        self.native = nn.ModuleList(
            NativeFusion([counts[unit] for unit in fused], len(names)) for fused in units
        )
        self.out_width = widths[-1]

    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return each task's fusion at the last level."""
        first = inputs.x.project(self.experts.first).unflatten(1, (len(self.reads), -1))
        fused = self._fuse(0, self.first_gates(inputs.x), first)
        later = zip(self.experts.later, self.gates, strict=True)
        for level, (linear, gates) in enumerate(later, 1):
            weights = gates(fused[:, : len(gates.names)])
            fused = self._fuse(level, weights, linear(fused.index_select(1, self.reads)))
        return dict(zip(self.tasks, fused.unbind(1), strict=True))

    def _fuse(
        self,
        level: int,
        weights: Float[Tensor, "rows units experts"],
        linear: Float[Tensor, "rows experts width"],
    ) -> Float[Tensor, "rows units width"]:
        """Return each unit's weighted sum, given what the experts' linear layers gave."""
        return mix(weights + self.native[level](), self.experts.after[level](linear))

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters; each task trains its slice of those that are batched."""
        return self.parameters()


class NativeFusion(nn.Module):
    """NativeExpertLF: the weights of each unit's own experts; 1 where each unit has one.

    Parameters
    ----------
    counts
        Experts of each unit; first come the first unit's, then the second's.
    experts
        Experts in all; those behind the units' own have the weight 0.
    """

    own: Tensor
    weight: Tensor

    def __init__(self, counts: Sequence[int], experts: int) -> None:
        super().__init__()
        own = torch.block_diag(*[torch.ones(1, count) for count in counts])
        self.register_buffer("own", own, persistent=False)
        weight = (own / own.sum(1, keepdim=True)).sum(0)
        if all(count == 1 for count in counts):
            self.register_buffer("weight", weight, persistent=False)
        else:
            self.weight = nn.Parameter(weight)
        self.others = experts - len(weight)

    def forward(self) -> Float[Tensor, "units experts"]:
        """Return each unit's weights of all experts."""
        return pad(self.own * self.weight, (0, self.others))
