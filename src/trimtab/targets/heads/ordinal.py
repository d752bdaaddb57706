"""The head ``ordinal``: probabilities of exceeding one threshold after the other."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from torch.nn.functional import huber_loss, logsigmoid, softplus

from trimtab.targets.heads.base import Head, HeadSettings, heads, positive_mean

SURE = 60.0
"""Logit from which a step is as good as certain."""


@heads.register("ordinal")
class OrdinalSettings(HeadSettings):
    """Probabilities of lasting beyond each of some thresholds."""

    kind: Literal["ordinal"] = "ordinal"
    bins: int = Field(default=32, ge=2)
    """Bins above 0."""
    stretch: NonNegativeFloat = 1.0
    """Where the thresholds are: 0 gives every bin the same share of the training rows; the larger,
    the more of them lie at long labels."""
    restoration: NonNegativeFloat = 0.0
    """Weight of Huber's loss of the prediction itself, in means of the training labels; it lowers
    absolute errors and draws the prediction from the mean towards the median."""

    def build(self, *, seconds: float, censored: bool) -> "Ordinal":
        """Build the head."""
        return Ordinal(
            self.bins, stretch=self.stretch, restoration=self.restoration, survival=censored
        )


class Ordinal(Head):
    """``P(T > t_m) = sigmoid(z_1) ... sigmoid(z_m)``, so that it never rises with ``m``.

    The loss is the mean cross-entropy of ``[T > t_m]`` over thresholds; with ``survival``, for
    labels that may be censored, it is the negative log-likelihood of the steps ``P(T > t_m | T >
    t_m-1)`` that were seen, which for constant logits gives the estimate of Kaplan and Meier
    (JASA 1958): of a censored row the steps up to its limit.
    ``E[T] = sum_m P(T > t_m) (b_m - b_m-1)``, where ``b_m`` is the training rows' mean between
    ``t_m`` and ``t_m+1``.

    Sun et al., "CREAD: A Classification-Restoration Framework with Error Adaptive Discretization
    for Watch Time Prediction in Video Recommender Systems", AAAI 2024. The thresholds are theirs,
    of the labels above 0, and 0 is a threshold too. A product of sigmoids stands for their penalty
    on probabilities that rise; bin means for their thresholds in ``E[T]``, which leaves no bias.
    """

    thresholds: Tensor
    steps: Tensor
    counted: Tensor
    scale: Tensor
    ranks: Tensor
    lowest: Tensor

    def __init__(self, bins: int, *, stretch: float, restoration: float, survival: bool) -> None:
        super().__init__()
        self.width = bins
        self.stretch = stretch
        self.restoration = restoration
        self.survival = survival
        for buffer in ("thresholds", "steps"):
            self.register_buffer(buffer, torch.zeros(bins))
        self.register_buffer("counted", (torch.arange(bins) < 1).float())
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("ranks", torch.zeros(bins + 1))
        self.register_buffer("lowest", torch.zeros(()))

    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Learn thresholds and bin means; start from how many rows exceed each threshold."""
        edges = self._edges(label)
        used = len(edges)
        place = torch.bucketize(label.contiguous(), edges)
        rows = place.bincount(minlength=used + 1)
        sums = place.bincount(label.double(), minlength=used + 1)
        # A bin without rows, as above 0 where every label is 0, has the mean of the bin before.
        means = torch.where(rows > 0, sums / rows.clamp(min=1), 0.0).cummax(0).values
        self.thresholds.fill_(edges[-1]).narrow(0, 0, used).copy_(edges)
        self.steps.zero_().narrow(0, 0, used).copy_(means.diff())
        self.counted.copy_(torch.arange(self.width) < used)
        self.scale.copy_(positive_mean(label))
        below = (rows.cumsum(0) - rows / 2) / max(len(label), 1)  # The middle of each bin.
        self.ranks.fill_(below[-1].item()).narrow(0, 0, used + 1).copy_(below)
        self.lowest.copy_(means[0])
        beyond = rows.flip(0).cumsum(0).flip(0).double()
        start = torch.zeros(self.width)
        share = (beyond[1:] / beyond[:-1].clamp(min=1)).clamp(1e-6, 1 - 1e-6)
        start[:used] = share.logit().float()
        return start

    def loss(
        self,
        logit: Float[Tensor, "rows width"],
        label: Float[Tensor, " rows"],
        *,
        censored: Bool[Tensor, " rows"],
        by: Float[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Return the cross-entropy over thresholds, or over the steps seen."""
        beyond = label[:, None] > self.thresholds
        terms = self._steps(logit, beyond, censored) if self.survival else _each(logit, beyond)
        counted = self.counted if self.survival else self.counted / self.counted.sum()
        loss = (terms * counted).sum(1)
        if self.restoration:
            wanted, mean = label / self.scale, self.mean(logit) / self.scale
            mean = torch.where(censored, torch.minimum(mean, wanted), mean)
            loss = loss + self.restoration * huber_loss(mean, wanted, reduction="none")
        return loss

    def mean(
        self, logit: Float[Tensor, "rows width"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return the mean over bins."""
        return (self.exceeds(logit) * self.steps).sum(1)

    def typical(
        self, logit: Float[Tensor, "rows width"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return the label whose rank among the training rows is the expected rank.

        ``F^-1(E[F(T)])`` with ``F`` the share of training rows below, linear between bins. No other
        order puts more pairs of rows right, if pairs are like those of two rows' distributions.
        """
        rank = self.ranks[0] + (self.exceeds(logit) * self.ranks.diff()).sum(1)
        place = torch.searchsorted(self.ranks, rank).clamp(1, len(self.ranks) - 1)
        low, high = self.ranks[place - 1], self.ranks[place]
        share = ((rank - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
        values = torch.cat([self.steps.new_zeros(1), self.steps.cumsum(0)]) + self.lowest
        return torch.lerp(values[place - 1], values[place], share)

    def exceeds(self, logit: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """Return the probability of exceeding each threshold."""
        return logsigmoid(logit).cumsum(1).exp()

    def _edges(self, label: Float[Tensor, " observed"]) -> Float[Tensor, " used"]:
        """Return 0 and ``Psi^-1(gamma(m / M))``, ``gamma(u) = (1 - e^-au) / (1 - e^-a)``.

        ``Psi`` is the distribution of the labels above 0; equal thresholds are one, and none is
        left that no label exceeds.
        """
        ordered = label[label > 0].sort().values
        levels = torch.arange(1, self.width, dtype=torch.float64) / self.width
        if self.stretch:
            levels = torch.expm1(-self.stretch * levels) / math.expm1(-self.stretch)
        places = (levels * (len(ordered) - 1)).long()
        inner = ordered[places].unique() if len(ordered) else ordered
        return torch.cat([inner.new_zeros(1), inner[inner < ordered[-1:]]])

    def _steps(
        self,
        logit: Float[Tensor, "rows width"],
        beyond: Bool[Tensor, "rows width"],
        censored: Bool[Tensor, " rows"],
    ) -> Float[Tensor, "rows width"]:
        """Return ``-log`` of each step that was seen: those passed, and the one that was not."""
        before = torch.cat([torch.ones_like(beyond[:, :1]), beyond[:, :-1]], 1)
        stopped = before & ~beyond & ~censored[:, None]
        passed = torch.where(beyond, softplus(-logit), torch.zeros_like(logit))
        return torch.where(stopped, softplus(logit), passed)


def _each(
    logit: Float[Tensor, "rows width"], beyond: Bool[Tensor, "rows width"]
) -> Float[Tensor, "rows width"]:
    """Return the cross-entropy of each threshold.

    ``log P(T <= t_m)`` comes from ``log P(T > t_m)``, a sum of logarithms, by ``expm1``: taking
    ``log(1 - P)`` of a product of sigmoids would round to ``log(0)`` on confident rows. Beyond
    ``SURE`` the value stays and the gradient goes on, before the sum itself rounds to 0.
    """
    z = logit + (logit.clamp(max=SURE) - logit).detach()
    reached = logsigmoid(z).cumsum(1)
    return -torch.where(beyond, reached, torch.log(-torch.expm1(reached)))
