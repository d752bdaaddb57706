"""Notices the update whose loss is not finite, without making a GPU wait for the answer."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.errors import RunError

INTERVAL = 64
"""Updates on a GPU between two looks at what was noticed there."""


class Watch:
    """The first update whose loss was not finite, kept where the losses are.

    On a processor it is looked at in every update, before the weights change. To read it from a
    GPU is to wait for all that was asked of it: there it is looked at now and then, and before
    each save.
    """

    def __init__(self) -> None:
        self.step: Tensor | None = None
        self.losses: Tensor | None = None
        self.names: list[str] = []

    def see(
        self, step: int, total: Float[Tensor, ""], losses: Mapping[str, Float[Tensor, ""]]
    ) -> None:
        """Note the losses of an update.

        Raises
        ------
        RunError
            When a loss was not finite.
        """
        waits = total.device.type == "cpu"
        if waits and total.isfinite():
            return
        shown = torch.stack([loss.detach() for loss in losses.values()])
        if self.step is None or self.losses is None:
            self.step = torch.zeros((), dtype=torch.long, device=total.device)
            self.losses, self.names = torch.zeros_like(shown), list(losses)
        first = ~total.isfinite() & (self.step == 0)
        self.step = torch.where(first, step, self.step)
        self.losses = torch.where(first, shown, self.losses)
        if waits or step % INTERVAL == 0:
            self.require_finite()

    def require_finite(self) -> None:
        """Raise ``RunError`` if a loss was not finite."""
        if self.step is None or self.losses is None or not self.step:
            return
        values = zip(self.names, self.losses.tolist(), strict=True)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values)
        raise RunError(
            f"the loss is not finite at step {int(self.step):,} ({shown}). Go on from the last "
            "checkpoint with --resume (resume=True) and a smaller training.learning_rate, or look "
            "at the labels of that target."
        )
