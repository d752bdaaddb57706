"""The ``[embedding]`` table of the run file."""

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from trimtab.features.engines import AutoSettings, engines
from trimtab.settings import Settings


class EmbeddingSettings(Settings):
    """How ids become vectors."""

    width: NonNegativeInt = 16
    """Width of the embeddings that all targets share; 0 for none."""
    own_width: NonNegativeInt = 4
    """Width of the embeddings that each target has for itself; 0 for none."""
    own_hidden: list[PositiveInt] = [32]
    """Hidden layers of each target's own path, over its own embeddings and the trunk's output."""
    first_order: bool = True
    """Whether each target also has one weight for every id, added to its logit."""
    deviation: PositiveFloat = 0.01
    """Standard deviation of the embeddings' start."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the shared representation's inputs set to zero in training."""
    attention_hidden: list[PositiveInt] = [32]
    """Hidden layers of the network that weighs lists with ``pool = "attention"``."""
    engine: engines.union() = AutoSettings()  # type: ignore[valid-type]
    """What keeps, finds and updates the tables."""
