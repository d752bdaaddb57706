"""What every target is: a head's outputs to a loss a row, and to a prediction."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from trimtab.data.labels import LabelColumn
from trimtab.registry import Registry
from trimtab.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Given:
    """The earlier steps of a funnel that a target stands behind; none for most targets.

    Attributes
    ----------
    steps
        Log-odds of each earlier step given the one before it, first step first.
    happened
        Label of the step right before; ones where there is none.
    by
        Encoded number feature that the target is grouped by, such as a video's length.
    """

    steps: tuple[Float[Tensor, " rows"], ...]
    happened: Float[Tensor, " rows"]
    by: Float[Tensor, " rows"] | None = None


RowLosses = Callable[
    [Sequence[Float[Tensor, "rows 1"]], Sequence[Float[Tensor, " rows"]]],
    Float[Tensor, "targets rows"],
]
"""From the logits and the labels of each of several targets to the loss of each target and row."""


class Target(nn.Module, ABC):
    """One behaviour to predict.

    Attributes
    ----------
    kind
        Name of the kind in a run file.
    measure
        How predictions are measured: as a ``probability``, a ``quantity`` or a ``gain``.
    width
        How many numbers its head gives.
    by
        Number feature whose encoded values it needs as ``Given.by``; none for most targets.
    censored
        Whether what is seen of some labels is less than what happened: no level to compare with.
    fused
        Whether C++ computes losses in training, where it knows them.
    """

    kind: str
    measure: str
    width: int = 1
    by: str | None = None
    censored: bool = False
    fused: bool = False

    @property
    def together(self) -> RowLosses | None:
        """What ``loss`` is where no step comes before; None where a target's loss is its own.

        Targets with the same one are computed at once.
        """
        return None

    @abstractmethod
    def learn(
        self, label: Float[Tensor, " observed"], by: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, " width"]:
        """Learn scales from the observed training labels; return the head's starting bias."""

    def lifted(
        self, logit: Float[Tensor, "rows width"], weight: Float[Tensor, "rows 1"]
    ) -> Float[Tensor, "rows width"]:
        """Return the head's numbers with the sum of a row's first-order weights added."""
        return logit + weight

    @abstractmethod
    def loss(
        self, logit: Float[Tensor, "rows width"], labels: Mapping[str, Tensor], given: Given
    ) -> Float[Tensor, " rows"]:
        """Return the loss of each row; exactly 0, with gradient 0, where it was not observed."""

    @abstractmethod
    def observed(
        self, labels: Mapping[str, Tensor], happened: Float[Tensor, " rows"]
    ) -> Bool[Tensor, " rows"]:
        """Return the rows that the loss is over; ``happened`` is the label of the step before."""

    @abstractmethod
    def label(self, labels: Mapping[str, Tensor]) -> Float[Tensor, " rows"]:
        """Return what the prediction is compared with; NaN where it was not observed."""

    def reached(self, labels: Mapping[str, Tensor]) -> Bool[Tensor, " rows"] | None:
        """Return the rows known only to have at least their label; None where all are exact."""
        return None

    @abstractmethod
    def predict(self, logit: Float[Tensor, "rows width"], given: Given) -> Float[Tensor, " rows"]:
        """Return the prediction over all rows, whether earlier steps happen or not, in its unit."""

    def typical(
        self, logit: Float[Tensor, "rows width"], given: Given
    ) -> Float[Tensor, " rows"] | None:
        """Return a value in the middle of a quantity's distribution; None where there is none."""
        return None

    @abstractmethod
    def log_odds(self, logit: Float[Tensor, "rows width"]) -> Float[Tensor, " rows"]:
        """Return the log-odds that it happens, given the step before; for later steps."""

    def finish(
        self, logit: Float[Tensor, "rows width"], labels: Mapping[str, Tensor], given: Given
    ) -> None:
        """Learn what needs the trained model, such as a retransformation factor."""
        return


class TargetSettings(Settings, ABC):
    """The settings of one target, as written under ``[targets]``."""

    kind: str
    column: str | None = None
    """Column of the label; the target's own name when left out."""
    scene: str | list[str] | None = None
    """Scene, or scenes, whose towers have this target; all of them when left out."""
    given: str | None = None
    """Earlier step: this target can only happen where that one did."""
    task: str | None = None
    """Name of the group of targets that share one representation."""
    weight: NonNegativeFloat = 1.0
    """Weight of the target in the loss."""
    row_weight: str | None = None
    """Column with a weight >= 0 of the row in this target's loss."""

    @abstractmethod
    def labels(self, name: str, targets: Mapping[str, "TargetSettings"]) -> dict[str, LabelColumn]:
        """Return the labels that the target needs, by name."""

    @abstractmethod
    def build(self, name: str, targets: Mapping[str, "TargetSettings"]) -> Target:
        """Build the target."""

    def over_all_rows(self) -> "TargetSettings":
        """Return the same target behind no other one: learnt over all rows, by its label alone."""
        return self.model_copy(update={"given": None})

    def problems(self, name: str, targets: Mapping[str, "TargetSettings"]) -> list[str]:
        """Return what does not fit the other targets of the run file, a line a problem."""
        return []

    def label_column(
        self, name: str, rule: str, positive: str | int | float | bool | None = None
    ) -> LabelColumn:
        """Return the target's own label."""
        return LabelColumn(
            column=self.column or name,
            where=f"targets.{name}",
            rule=rule,
            positive=positive,
            given=self.given,
        )


targets: Registry[TargetSettings] = Registry("targets")
