"""The base of every table of the run file."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A table of the run file: frozen, closed to unknown keys, without NaN or infinity.

    The docstring under a field is its help text; settings live beside the part that they
    configure, which turns them into plain arguments: no ``nn.Module`` ever sees one.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )
