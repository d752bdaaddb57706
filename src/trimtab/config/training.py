"""The ``[training]`` and ``[loss]`` tables of the run file."""

from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from trimtab.balancing.reduction import Denominator
from trimtab.settings import Settings


class LossSettings(Settings):
    """How losses of rows become one number."""

    denominator: Denominator = "rows"
    """What each target's sum over the batch is divided by: ``rows`` of the batch, rows
    ``observed``, or the sum of ``weights`` of those."""
    tower: Literal["sum", "mean"] = "sum"
    """Whether the targets of a tower are added or averaged; towers are always added."""


class TrainingSettings(Settings):
    """The optimisers and the loop."""

    epochs: PositiveInt = 10
    """Passes over the training rows, at most."""
    batch_rows: PositiveInt = 1024
    """Rows an update."""
    learning_rate: PositiveFloat = 3e-3
    """Of Adam, on the dense part."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled, on the dense part."""
    table_learning_rate: PositiveFloat = 0.05
    """Of Adagrad, on the embedding tables."""
    table_weight_decay: NonNegativeFloat = 0.0
    """On the rows that a batch touches."""
    max_gradient_norm: PositiveFloat | None = None
    """Longest gradient of the dense part; longer ones are shortened."""
    max_row_gradient_norm: PositiveFloat | None = None
    """Longest gradient of a table row in an update; longer ones are shortened."""
    renew_tables: bool = False
    """Whether the embedding tables start anew with every epoch, while the dense part goes on: a
    second pass over few rows an id then teaches, where it would be learnt by heart. In a run that
    goes on from another one (``--from``) they go back to where that one left them."""
    passes: PositiveInt = 1
    """Where tables start anew: how many passes are served together, up to the chosen one. Their
    logits are averaged; each takes its own weights and time when served, none when trained."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """Share of the running average of the dense weights that an update keeps; the average is
    evaluated and served. 0 serves the last weights."""
    evaluations: PositiveInt = 4
    """Evaluations an epoch."""
    patience: PositiveInt = 6
    """Evaluations without a better score after which training stops."""
    choose: Literal["mean", "smallest_loss"] = "mean"
    """Which checkpoint of the front is served: that with the highest ``mean`` of the targets'
    ranking metrics, or with the ``smallest_loss`` of the target that loses most."""
    own_peaks: bool = True
    """Whether what a single target reads (its own tables, its path, its heads) is served from the
    evaluation that was best for that target, where that is better on the valid rows; never where
    tables start anew, whose passes do not fit each other."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of the start, the order of the rows and dropout."""
    device: str = "auto"
    """``auto`` (a GPU where there is one), ``cpu``, ``cuda``."""
    precision: Literal["float32", "bf16"] = "float32"
    """In which the layers multiply; tables, weights and losses stay float32. ``bf16`` needs a
    processor with AVX512_BF16 or AMX, or a GPU, and pays where layers are wide."""
    compile: bool = False
    """Whether ``torch.compile`` makes code for trunk, towers and losses: seconds of
    start-up (40 the first time), and no gain for a small bottom; try it where layers are wide."""
    threads: NonNegativeInt = 0
    """Processor threads; 0 leaves PyTorch's choice."""

    @model_validator(mode="after")
    def _passes_differ(self) -> "TrainingSettings":
        if self.passes > 1 and not self.renew_tables:
            raise ValueError("passes: more than one needs renew_tables = true, or they are alike")
        return self
