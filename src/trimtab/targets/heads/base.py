"""What every head of a quantity is: a few numbers a row that stand for a distribution."""

from abc import ABC, abstractmethod
from typing import Annotated, Any

import torch
from jaxtyping import Bool, Float
from pydantic import BeforeValidator
from torch import Tensor, nn

from trimtab.registry import Registry
from trimtab.settings import Settings


class Head(nn.Module, ABC):
    """From a head's numbers to a loss a row and to the mean of the label, in the label's unit.

    Attributes
    ----------
    width
        How many numbers it reads.
    by
        Number feature that it is grouped by; none for most heads.
    """

    width: int = 1
    by: str | None = None

    @abstractmethod
    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Learn scales from the observed training labels; return the numbers to start from."""

    def lifted(
        self, logit: Float[Tensor, "rows width"], weight: Float[Tensor, "rows 1"]
    ) -> Float[Tensor, "rows width"]:
        """Return the numbers with a row's first-order weight added: to all, where all mean more."""
        return logit + weight

    @abstractmethod
    def loss(
        self,
        logit: Float[Tensor, "rows width"],
        label: Float[Tensor, " rows"],
        *,
        censored: Bool[Tensor, " rows"],
        by: Float[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Return the loss of each row.

        Parameters
        ----------
        label
            Finite on every row; what is not observed is masked by the target.
        censored
            Rows that are known only to have at least their label.
        """

    @abstractmethod
    def mean(
        self, logit: Float[Tensor, "rows width"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return the mean of the label, given that the steps before it happened."""

    def typical(
        self, logit: Float[Tensor, "rows width"], by: Float[Tensor, " rows"] | None = None
    ) -> Float[Tensor, " rows"]:
        """Return a value in the middle of the label's distribution; the mean where none is told."""
        return self.mean(logit, by)


class HeadSettings(Settings, ABC):
    """The settings of one head, as written under ``head`` of a duration or an amount."""

    kind: str

    @abstractmethod
    def build(self, *, seconds: float, censored: bool) -> Head:
        """Build the head.

        Parameters
        ----------
        seconds
            Seconds of one unit of the label; 1 for an amount.
        censored
            Whether some labels may be known only to be at least a limit.
        """


heads: Registry[HeadSettings] = Registry("heads")


def known_kind(value: Any) -> Any:
    """Refuse a kind of head that is not known, by the names of those that are."""
    kind = value.get("kind", "") if isinstance(value, dict) else value
    if isinstance(value, dict | str) and kind not in list(heads):
        *others, last = [repr(known) for known in heads]
        found = "its kind is missing" if kind == "" else f"found {kind!r}"
        raise ValueError(f"expected {', '.join(others)} or {last}; {found}")
    return value


def any_head() -> Any:
    """Return the type of "any registered head"."""
    return Annotated[heads.union(), BeforeValidator(known_kind)]


def first_lifted(
    logit: Float[Tensor, "rows width"], weight: Float[Tensor, "rows 1"]
) -> Float[Tensor, "rows width"]:
    """Return the numbers with a weight added to the first one alone."""
    return torch.cat([logit[:, :1] + weight, logit[:, 1:]], 1)


def mean_and_deviation(values: Float[Tensor, " observed"]) -> tuple[Tensor, Tensor]:
    """Return what scales values to mean 0 and deviation 1; values all alike keep deviation 1."""
    if not len(values):
        return torch.zeros(()), torch.ones(())
    deviation = values.std(correction=0)
    return values.mean(), torch.where(deviation > 1e-12, deviation, 1.0)


def positive_mean(values: Float[Tensor, " observed"]) -> Float[Tensor, ""]:
    """Return the mean, as a unit to measure values in; 1 where it is 0 or there are none."""
    mean = values.double().mean().nan_to_num()
    return torch.where(mean > 0, mean, 1.0)


def quantiles(
    values: Float[Tensor, " observed"], levels: Float[Tensor, " levels"]
) -> Float[Tensor, " levels"]:
    """Return quantiles, linear between order statistics; ``torch.quantile`` stops at 16M rows."""
    if not len(values):
        return torch.zeros_like(levels)
    ordered = values.sort().values.to(levels.dtype)
    place = levels * (len(values) - 1)
    below = place.long()
    return torch.lerp(ordered[below], ordered[place.ceil().long()], place - below)


def one_sided(
    logit: Float[Tensor, " rows"], best: Float[Tensor, " rows"], censored: Bool[Tensor, " rows"]
) -> Float[Tensor, " rows"]:
    """Return the logit, but where the label is censored at most the one that suits it best.

    So a prediction beyond what is known to have happened costs nothing more.
    """
    return torch.where(censored, torch.minimum(logit, best), logit)
