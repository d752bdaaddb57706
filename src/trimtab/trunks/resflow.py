"""ResFlow: a network a task, whose every layer adds to the same layer of the next task."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from trimtab.features.inputs import Inputs
from trimtab.layers import Activation, LayerSettings, Normalisation
from trimtab.trunks.base import Trunk, TrunkSettings, trunks
from trimtab.trunks.experts import Experts
from trimtab.trunks.named import chain_of, check_chain


@trunks.register("resflow")
class ResFlowSettings(TrunkSettings, LayerSettings):
    """A network a task, each layer added to the next task's (Fu et al., KDD 2024)."""

    kind: Literal["resflow"] = "resflow"
    widths: list[PositiveInt] = Field(default=[64, 32], min_length=1)
    """Widths of the layers of each task's network."""
    chain: list[str] | None = None
    """Targets in the order in which they follow each other, such as click, cart, buy; the order
    of the run file when left out. A target that is not named stands alone."""

    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Give each target its own task; raise ``SettingsError`` for a wrong chain."""
        check_chain(self.chain, targets)
        return {target: target for target in targets}

    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> "ResFlow":
        """Build the networks."""
        return ResFlow(
            in_width,
            list(tasks),
            chain_of(self.chain, tasks),
            **self.model_dump(exclude={"kind", "chain"}),
        )


class ResFlow(Trunk):
    """``h_t^l = a(W_t^l h_t^{l-1} + b_t^l) + h_{t-1}^l``: a task learns what differs from the last.

    Fu et al., "Residual Multi-Task Learner for Applied Ranking", KDD 2024. The paper also adds the
    logit of task t-1 to that of task t, so that a later step is the earlier one and a residual. A
    trunk has no logits; a funnel (``given``) adds log-probabilities instead, exactly:
    ``log P(a, b) = log P(a) + log P(b|a)``.

    Parameters
    ----------
    chain
        Tasks in the order in which they follow each other; the others stand alone.
    """

    flow: Tensor

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
        self.tasks = list(tasks)
        self.order = [*chain, *(task for task in tasks if task not in chain)]
        self.networks = Experts(
            in_width, self.order, widths=widths, activation=activation, dropout=dropout, norm=norm
        )
        self.out_width = self.networks.out_width
        flow = torch.eye(len(tasks))
        flow[: len(chain), : len(chain)] = torch.ones(len(chain), len(chain)).tril()
        self.register_buffer("flow", flow, persistent=False)

    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return the last layer of each task."""
        first, *rest = self.networks.after
        h = inputs.x.project(self.networks.first).unflatten(1, (len(self.order), -1))
        h = self._flow(first(h))
        for linear, after in zip(self.networks.later, rest, strict=True):
            h = self._flow(after(linear(h)))
        z = dict(zip(self.order, h.unbind(1), strict=True))
        return {task: z[task] for task in self.tasks}

    def _flow(self, h: Float[Tensor, "rows tasks width"]) -> Float[Tensor, "rows tasks width"]:
        """Add to each task what has come down the chain."""
        # A running sum, as one product: several times faster than cumsum over the middle axis.
        summed = self.flow @ h.transpose(0, 1).flatten(1)
        out: Tensor = summed.unflatten(1, (len(h), h.shape[2])).transpose(0, 1)
        return out

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters: a task trains its own slice, and those of the tasks before it."""
        return self.parameters()
