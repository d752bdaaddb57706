"""AITM: a bottom a task, and what each task tells the next one along a chain."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from trimtab.features.inputs import Inputs
from trimtab.layers import Activation, LayerSettings, Normalisation
from trimtab.trunks.base import Trunk, TrunkSettings, trunks
from trimtab.trunks.experts import Experts
from trimtab.trunks.named import chain_of, check_chain


@trunks.register("aitm")
class AITMSettings(TrunkSettings, LayerSettings):
    """A bottom a task, each told what the task before it learnt (Xi et al., KDD 2021)."""

    kind: Literal["aitm"] = "aitm"
    widths: list[PositiveInt] = Field(default=[64, 32], min_length=1)
    """Widths of the layers of each task's bottom."""
    chain: list[str] | None = None
    """Targets in the order in which they follow each other, such as click, cart, buy; the order
    of the run file when left out. A target that is not named stands alone."""

    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Give each target its own task; raise ``SettingsError`` for a wrong chain."""
        check_chain(self.chain, targets)
        return {target: target for target in targets}

    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> "AITM":
        """Build the bottoms and the transfers."""
        return AITM(
            in_width,
            list(tasks),
            chain_of(self.chain, tasks),
            **self.model_dump(exclude={"kind", "chain"}),
        )


class AITM(Trunk):
    """``z_t = AIT(g_t(z_{t-1}), q_t)`` with a bottom ``q_t = f_t(x)`` a task; ``z_1 = q_1``.

    AIT attends over the two, ``z = sum_u w_u h1(u)`` with ``w = softmax(<h2(u), h3(u)> / sqrt k)``
    for ``u`` in ``{p, q}`` of width k: a row takes from the step before what it can use. Xi et al.,
    "Modeling the Sequential Dependence among Audience Multi-step Conversions with Multi-task
    Learning in Targeted Display Advertising", KDD 2021, eq. 5-9.

    As there, every g is one linear layer, and h1, h2, h3 are the same along the chain. The paper
    also adds a loss ``max(p_t - p_{t-1}, 0)``, since there nothing else keeps a later step from
    being likelier than an earlier one. A trunk has no part in the loss, and a funnel (``given``)
    has no need of it: ``P(a) P(b|a) <= P(a)`` by construction.

    Parameters
    ----------
    chain
        Tasks in the order in which they follow each other; the others stand alone, ``z = q``.
    """

    links: Mapping[str, nn.Linear]

    def __init__(
        self,
        in_width: int,
        tasks: Sequence[str],
        chain: Sequence[str],
        *,
        widths: Sequence[int],
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Normalisation = "none",
    ) -> None:
        super().__init__()
        self.tasks, self.chain = list(tasks), list(chain)
        self.bottoms = Experts(
            in_width, tasks, widths=widths, activation=activation, dropout=dropout, norm=norm
        )
        width = self.out_width = self.bottoms.out_width
        links = {task: nn.Linear(width, width) for task in chain[1:]}
        self.links = cast(Mapping[str, nn.Linear], nn.ModuleDict(links))
        # h1, h2 and h3 side by side. A chain of one transfers nothing, and holds nothing for it.
        self.attention = nn.Linear(width, 3 * width) if links else nn.Identity()

    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return each task's representation: its bottom's, and what it was told."""
        z = dict(zip(self.tasks, self.bottoms(inputs.x).unbind(1), strict=True))
        for before, task in pairwise(self.chain):
            z[task] = self._transfer(self.links[task](z[before]), z[task])
        return z

    def _transfer(
        self, p: Float[Tensor, "rows width"], q: Float[Tensor, "rows width"]
    ) -> Float[Tensor, "rows width"]:
        """Return AIT(p, q)."""
        h1, h2, h3 = self.attention(torch.stack([p, q], 1)).chunk(3, -1)
        weights = ((h2 * h3).sum(-1, keepdim=True) / self.out_width**0.5).softmax(1)
        out: Tensor = (weights * h1).sum(1)
        return out

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return what two tasks or more train: a link is trained by all tasks behind it."""
        yield from self.bottoms.parameters()
        for task in self.chain[1:-1]:
            yield from self.links[task].parameters()
        if len(self.links) > 1:
            yield from self.attention.parameters()
