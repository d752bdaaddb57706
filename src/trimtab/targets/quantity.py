"""What targets that are quantities share: a head's distribution, its mean and its correction."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from trimtab.data.labels import LabelColumn
from trimtab.targets.base import Given, Target
from trimtab.targets.heads.base import Head


class Quantity(Target):
    """A quantity that a head tells, learnt where the step before it happened.

    The mean of the head's distribution is multiplied by one factor, learnt after training, that
    makes the predictions of the training rows add up to their labels (a ratio form of Duan's
    smearing, JASA 1983): a head whose mean is biased is right on the whole then. Where labels
    are censored, the factor is the mean of ``T / prediction`` as Kaplan and Meier (JASA 1958)
    estimate it, each row weighted by its prediction, which without censored rows is the same.

    Parameters
    ----------
    limited
        Whether the label ``NAME.limit`` says what was the most that could be seen of a row.
    """

    measure = "quantity"
    corrected = True

    smearing: Tensor

    def __init__(self, name: str, head: Head, *, limited: bool = False) -> None:
        super().__init__()
        self.name = name
        self.head = head
        self.width = head.width
        self.by = head.by
        self.limit = limit_of(name) if limited else None
        self.censored = limited
        self.register_buffer("smearing", torch.ones(()))

    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Let the head learn its scales; a censored label counts as what was seen of it."""
        return self.head.learn(label, by)

    def lifted(
        self, logit: Float[Tensor, "rows width"], weight: Float[Tensor, "rows 1"]
    ) -> Float[Tensor, "rows width"]:
        """Return the numbers with the weight added where the head says."""
        return self.head.lifted(logit, weight)

    def loss(
        self, logit: Float[Tensor, "rows width"], labels: Mapping[str, Tensor], given: Given
    ) -> Float[Tensor, " rows"]:
        """Return the loss where the step before happened and the label is known."""
        label, censored = self._known(labels)
        loss = self.head.loss(logit, label, censored=censored, by=given.by)
        return torch.where(self.observed(labels, given.happened), loss, torch.zeros_like(loss))

    def observed(
        self, labels: Mapping[str, Tensor], happened: Float[Tensor, " rows"]
    ) -> Bool[Tensor, " rows"]:
        """Return the rows with a label where the step before happened."""
        return ~labels[self.name].isnan() & (happened == 1)

    def label(self, labels: Mapping[str, Tensor]) -> Float[Tensor, " rows"]:
        """Return the label, in its unit; of a censored row what was seen of it."""
        return labels[self.name]

    def reached(self, labels: Mapping[str, Tensor]) -> Bool[Tensor, " rows"] | None:
        """Return the rows whose label reaches its limit; None where it has none."""
        return None if self.limit is None else self._known(labels)[1]

    def predict(self, logit: Float[Tensor, "rows width"], given: Given) -> Float[Tensor, " rows"]:
        """Return ``P(steps) E[b | a]``, in the label's unit."""
        return self.smearing * self.head.mean(logit, given.by) * probability(given)

    def typical(
        self, logit: Float[Tensor, "rows width"], given: Given
    ) -> Float[Tensor, " rows"] | None:
        """Return ``P(steps)`` times the middle of the distribution, in the label's unit.

        The mean of a label with a long tail is far above most labels. This value is closer to each
        of them, and orders more pairs of rows right; the mean adds up, and is what fusion uses.
        """
        return self.head.typical(logit, given.by) * probability(given)

    def log_odds(self, logit: Float[Tensor, "rows width"]) -> Float[Tensor, " rows"]:
        """Refuse: a quantity is no step of a funnel (the run file's check says so first)."""
        raise NotImplementedError(f"{self.name}: {self.kind} is no step; a binary target can be.")

    def finish(
        self, logit: Float[Tensor, "rows width"], labels: Mapping[str, Tensor], given: Given
    ) -> None:
        """Learn the factor."""
        seen = self.observed(labels, given.happened)
        label, censored = (values[seen] for values in self._known(labels))
        predicted = self.head.mean(logit, given.by)[seen].double()
        if self.corrected and predicted.sum() > 0:
            predicted = predicted.clamp(min=1e-9 * predicted.mean().item())
            self.smearing.copy_(mean_ratio(label.double(), predicted, censored))

    def _known(
        self, labels: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, " rows"], Bool[Tensor, " rows"]]:
        """Return the label, at most its limit and 0 where missing, and whether it reaches it."""
        label = labels[self.name].nan_to_num()
        if self.limit is None:
            return label, torch.zeros_like(label, dtype=torch.bool)
        limit = labels[self.limit].nan_to_num(nan=math.inf)
        return torch.minimum(label, limit), label >= limit


def limit_of(name: str) -> str:
    """Return the name of the label that says what was the most that could be seen of a row."""
    return f"{name}.limit"


def with_limit(name: str, label: LabelColumn, censored_at: str | None) -> dict[str, LabelColumn]:
    """Return the label of a target, and its limit where it has one.

    The limit is known before the row is shown, so no earlier step says anything of it.
    """
    if censored_at is None:
        return {name: label}
    where = f"targets.{name}.censored_at"
    limit = LabelColumn(column=censored_at, where=where, rule="not_negative")
    return {name: label, limit_of(name): limit}


def mean_ratio(
    label: Float[Tensor, " rows"],
    predicted: Float[Tensor, " rows"],
    censored: Bool[Tensor, " rows"],
) -> Float[Tensor, ""]:
    """Return the mean of ``label / predicted``, weighted by ``predicted``, beyond censoring.

    The area under Kaplan and Meier's estimate of the ratio's survival, up to the largest ratio.
    """
    ratio, order = (label / predicted).sort()
    weight, ended = predicted[order], ~censored[order]
    at_risk = weight.flip(0).cumsum(0).flip(0)
    survival = (1 - weight * ended / at_risk).cumprod(0)
    before = torch.cat([torch.ones_like(survival[:1]), survival[:-1]])
    return (before * torch.cat([ratio[:1], ratio.diff()])).sum()


def probability(given: Given) -> Tensor:
    """Return the probability that every earlier step happens."""
    steps = [logsigmoid(step) for step in given.steps]
    return torch.stack(steps).sum(0).exp() if steps else torch.ones_like(given.happened)
