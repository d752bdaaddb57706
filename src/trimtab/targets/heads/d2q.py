"""The head ``d2q``: the label's rank among rows of the same group."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from trimtab.targets.heads.base import Head, HeadSettings, heads, one_sided, quantiles

DEVIATION = 12**-0.5
"""Deviation of a rank, which is spread evenly between 0 and 1."""


@heads.register("d2q")
class D2QSettings(HeadSettings):
    """The rank among rows alike in another number: watch time among videos of similar length.

    It takes the bias of length out of an order; as an amount of time it is rough.
    """

    kind: Literal["d2q"] = "d2q"
    by: str | None = None
    """Number feature whose equal shares of rows are the groups; one group when left out."""
    groups: int = Field(default=30, ge=1)
    """How many groups."""
    points: int = Field(default=100, ge=2)
    """Steps by which a group's distribution is kept."""
    loss: Literal["cross_entropy", "squared"] = "cross_entropy"
    """Cross-entropy with the rank as a soft label, or its squared error in deviations."""

    def build(self, *, seconds: float, censored: bool) -> "D2Q":
        """Build the head; without ``by`` there is one group."""
        groups = self.groups if self.by else 1
        return D2Q(self.by, groups=groups, points=self.points, squared=self.loss == "squared")


class D2Q(Head):
    """Predict the rank ``F_g(T)`` in the row's group; the mean is ``F_g^-1`` of the prediction.

    Groups are equal shares of the training rows by a number feature. Equal labels share the middle
    of their ranks. ``F_g`` is linear between ``points + 1`` quantiles of the group.
    Cross-entropy reads the logit of the rank; squared error reads the rank itself, in deviations
    of an even spread around the middle.

    Zhan et al., "Deconfounding Duration Bias in Watch-time Prediction for Video Recommendation",
    KDD 2022, section 4, who use squared error.
    """

    edges: Tensor
    grid: Tensor

    def __init__(self, by: str | None, *, groups: int, points: int, squared: bool) -> None:
        super().__init__()
        self.by = by
        self.points = points
        self.squared = squared
        self.register_buffer("edges", torch.zeros(groups - 1))
        self.register_buffer("grid", torch.zeros(groups, points + 1))

    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Learn the groups and their distributions; start from the middle rank."""
        groups = len(self.grid)
        if by is not None:
            shares = torch.arange(1, groups, dtype=torch.float64) / groups
            self.edges.copy_(quantiles(by, shares))
        group = self._group(by, len(label))
        levels = torch.linspace(0, 1, self.points + 1, dtype=torch.float64)
        for i in range(groups):
            inside = label[group == i]
            self.grid[i] = quantiles(inside if len(inside) else label, levels)
        return torch.zeros(1)

    def loss(
        self,
        logit: Float[Tensor, "rows width"],
        label: Float[Tensor, " rows"],
        *,
        censored: Bool[Tensor, " rows"],
        by: Float[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Return the cross-entropy, or the squared error, of the rank."""
        rank = self.rank(label, by)
        if self.squared:
            wanted = (rank - 0.5) / DEVIATION
            return (one_sided(logit[:, 0], wanted, censored) - wanted).square()
        z = one_sided(logit[:, 0], rank.logit(eps=1e-6), censored)
        return rank * softplus(-z) + (1 - rank) * softplus(z)

    def mean(
        self, logit: Float[Tensor, "rows width"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return the group's quantile at the predicted rank."""
        z = logit[:, 0]
        rank = (z * DEVIATION + 0.5).clamp(0, 1) if self.squared else z.sigmoid()
        place = rank * self.points
        below = place.long().clamp(max=self.points - 1)
        group = self._group(by, len(z))
        low, high = self.grid[group, below], self.grid[group, below + 1]
        return low + (high - low) * (place - below)

    def rank(
        self, label: Float[Tensor, " rows"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return the share of the row's group below the label, and half of that equal to it."""
        grid = self.grid[self._group(by, len(label))]
        value = label.to(grid.dtype)[:, None].contiguous()
        first = torch.searchsorted(grid, value)
        after = torch.searchsorted(grid, value, right=True)
        low = grid.gather(1, (first - 1).clamp(min=0))
        high = grid.gather(1, first.clamp(max=self.points))
        inside = (first > 0) & (first <= self.points)
        part = torch.where(inside, (value - low) / torch.where(high > low, high - low, 1.0), 0.0)
        between = (first - 1).clamp(min=0) + part
        equal = (first + after - 1) / 2
        return torch.where(after > first, equal, between)[:, 0] / self.points

    def _group(self, by: Float[Tensor, " rows"] | None, rows: int) -> Int[Tensor, " rows"]:
        if by is None:
            return torch.zeros(rows, dtype=torch.int64, device=self.grid.device)
        return torch.searchsorted(self.edges, by.to(self.edges.dtype).contiguous())
