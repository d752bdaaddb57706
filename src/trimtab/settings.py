"""The base of every table of the run file, and what is said of a value in the wrong form."""

from pydantic import BaseModel, ConfigDict
from pydantic_core import ErrorDetails


class Settings(BaseModel):
    """A table of the run file: frozen, closed to unknown keys, without NaN or infinity.

    The docstring under a field is its help text; settings live beside the part that they
    configure, which turns them into plain arguments: no ``nn.Module`` ever sees one.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


FORMS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of 64 bits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of {ge:g} or more",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of {le:g} or less",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_too_short": "text of {min_length} character or more",
    "literal_error": "{expected}",
    "list_type": "a list, [ ... ]",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} or fewer entries",
    "dict_type": "a table, {{ key = value }}",
    "model_type": "a table, {{ key = value }}",
    "model_attributes_type": "the name of a kind, or a table, {{ kind = ... }}",
}
"""Pydantic's kind of problem to the form that was expected."""

_OTHERS = {"missing": "missing; it must be given", "extra_forbidden": "unknown key"}


def wrong(problem: ErrorDetails) -> str:
    """Say what pydantic found wrong to someone who writes a run file."""
    kind = problem["type"]
    if kind in FORMS:
        return "expected " + FORMS[kind].format(**problem.get("ctx", {}))
    return _OTHERS.get(kind, problem["msg"].removeprefix("Value error, "))
