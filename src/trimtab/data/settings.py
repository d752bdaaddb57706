"""The ``[data]`` and ``[scenes]`` tables of the run file."""

import re
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from trimtab.data.spelling import spell
from trimtab.settings import Settings, wrong

Scalar = str | int | float | bool
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(d|h|m|s)\s*$")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([KMGT]B)\s*$")
LEAST_MEMORY = 10**6
_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def seconds_of(text: str) -> float | None:
    """Return the seconds of a stretch of time such as ``"2d"`` or ``"12h"``; None for no such."""
    span = _DURATION.match(text)
    return float(span[1]) * _SECONDS[span[2]] if span else None


def bytes_of(text: str) -> int:
    """Return the bytes of a size such as ``"2GB"``; ``ValueError`` for no such."""
    size = _SIZE.match(text)
    found = round(float(size[1]) * _BYTES[size[2]]) if size else 0
    if found < LEAST_MEMORY:
        raise ValueError(
            f"expected a size such as '500MB' or '2GB', at least '1MB'; found {text!r}"
        )
    return found


def _bytes(value: Any) -> Any:
    """Turn ``"2GB"`` into bytes; leave a number as it is."""
    return bytes_of(value) if isinstance(value, str) else value


class JoinSettings(Settings):
    """One side table: each row of the log takes the columns of the row with the same key."""

    table: str
    """File, glob or folder: Parquet, CSV or Arrow."""
    on: str
    """Key column, in the log and, once a key, in the table."""
    columns: list[str] | None = None
    """Columns to take; all of them when left out."""
    prefix: str = ""
    """Put before the names of the columns taken, where they would clash with the log's."""


class LastSpan(Settings):
    """The last stretch of time of the log: ``valid = "2d"``."""

    last: timedelta


class Since(Settings):
    """Everything from an instant on: ``valid = "2022-05-04T00:00:00+08:00"``."""

    since: datetime


class Fraction(Settings):
    """A share of the rows: the last ones where there is a time, else drawn by ``seed``."""

    fraction: float = Field(gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    random: bool = False
    """Draw the rows at random although the log has a time."""


class InFile(Settings):
    """Rows of another file."""

    file: str


class ByColumn(Settings):
    """Rows in which a column has one of some values."""

    column: str
    values: list[Scalar]


_VALID: dict[str, type[LastSpan | Since | Fraction | InFile | ByColumn]] = {
    "last": LastSpan,
    "since": Since,
    "fraction": Fraction,
    "file": InFile,
    "column": ByColumn,
}
"""The key that tells the forms of ``valid`` apart."""


def _valid(value: Any) -> Any:
    """Turn any form of ``valid`` into the settings that it stands for."""
    table = value if isinstance(value, dict) else _long_form(value)
    form = next((form for key, form in _VALID.items() if key in table), None)
    if form is None:
        raise ValueError(
            "expected a stretch of time ('2d', '12h'), an instant ('2026-05-04T00:00:00+08:00'), a "
            "share (0.1), { file = ... } or { column = ..., values = [...] }; "
            f"found {value!r}"
        )
    try:
        return form(**table)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {wrong(e)}" for e in error.errors()]
        raise ValueError("; ".join(problems) + f"; found {value!r}") from None


def _long_form(value: Any) -> dict[str, Any]:
    """Return the table that a short form stands for; an empty one where it stands for nothing."""
    if isinstance(value, Settings):
        return dict(value)
    if isinstance(value, float | int) and not isinstance(value, bool):
        return {"fraction": value}
    if isinstance(value, date):
        return {"since": value}
    if not isinstance(value, str):
        return {}
    seconds = seconds_of(value)
    if seconds is not None:
        return {"last": timedelta(seconds=min(seconds, timedelta.max.total_seconds() / 2))}
    try:
        return {"since": datetime.fromisoformat(value)}
    except ValueError:
        return {}


Valid = Annotated[LastSpan | Since | Fraction | InFile | ByColumn, BeforeValidator(_valid)]


class DataSettings(Settings):
    """Where the rows come from and which are held out."""

    log: str | list[str] | None = None
    """File, glob or folder (or a list of them): Parquet, CSV or Arrow; a row an impression."""
    join: list[JoinSettings] = []
    """Side tables of users, items and the like."""
    time: str | None = None
    """Column with the time of the row: a date, an instant, or seconds to nanoseconds since 1970."""
    time_zone: str = "UTC"
    """Zone of times that name none, and of the dates shown."""
    user: str | None = None
    """Column with the user: groups of the within-user metrics and of the intervals. A row without
    a user is a group of its own."""
    valid: Valid = Fraction(fraction=0.1)
    """Rows to hold out: ``"2d"``, an instant, a share, a file, or values of a column."""
    memory: int | None = Field(default=None, ge=10**6)
    """Bytes, such as ``"2GB"``, that reading and shuffling the log may take beside the interpreter,
    side tables, vocabularies and the model: the log is read in chunks then. All of it is read at
    once when left out."""
    duplicates: Literal["keep", "drop"] = "keep"
    """Exact copies of a row of the log are counted either way."""
    row_weight: str | None = None
    """Column with a weight >= 0 of the row in every target's loss."""

    _read_memory = field_validator("memory", mode="before")(_bytes)

    @property
    def held_out_by(self) -> str | None:
        """Column whose values hold rows out, where one does."""
        return getattr(self.valid, "column", None)

    @property
    def valid_file(self) -> str | None:
        """File of the valid rows, where they have one."""
        return getattr(self.valid, "file", None)


class ScenesSettings(Settings):
    """Which scene a row happened in, by a column, or which stages every row passes through.

    With ``column``, every other key names a scene and lists its values of the column. With
    ``stages``, every row goes through every stage's tower and targets name their stage.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[Scalar]] = Field(init=False)

    column: str | None = None
    """Column whose value says the scene."""
    stages: list[str] | None = None
    """Stages that each row passes through in turn."""
    weights: dict[str, PositiveFloat | Literal[0]] = {}
    """Weight of a scene or stage in the loss; 1 where not named."""

    @property
    def values(self) -> dict[str, list[Scalar]]:
        """Scene to its values of the column, in the order of the run file."""
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="after")
    def _check(self) -> "ScenesSettings":
        if (self.column is None) == (self.stages is None):
            raise ValueError("give either 'column' and the scenes' values, or 'stages'")
        if self.stages is not None and (self.values or not self.stages):
            raise ValueError("'stages' is a list of one name or more and goes with no other scene")
        if len(set(self.stages or ())) < len(self.stages or ()):
            raise ValueError("'stages' names a stage twice")
        if self.column is not None and not self.values:
            raise ValueError("name at least one scene, such as feed = [1, 2]")
        owner: dict[str, str] = {}
        for name, values in self.values.items():
            for value in values:
                first = owner.setdefault(spell(value), name)
                if first != name:
                    raise ValueError(f"value {value!r} is in both {first!r} and {name!r}")
        return self
