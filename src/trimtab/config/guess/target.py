"""One target: its kind and its name, from a column's values and name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import nn

from trimtab.config.guess.column import Column
from trimtab.config.guess.line import number
from trimtab.config.guess.names import is_amount_of_time, short, spends_money, time_unit
from trimtab.data.labels import WORDS, LabelColumn, read_labels
from trimtab.data.settings import Scalar
from trimtab.errors import InputError, nearest

MOST_VALUES = 100
"""Different ones that a column may have of which one is a target."""
_YES = {word for word, value in WORDS.items() if value} | {"positive", "pos", "success"}


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A target.

    Attributes
    ----------
    labels
        The label of every row, NaN where it is missing.
    note
        What the settings do not say by themselves.
    """

    name: str
    column: str
    settings: dict[str, Any]
    labels: NDArray[np.float32]
    note: str = ""

    @property
    def binary(self) -> bool:
        """Whether it happens or not."""
        return bool(self.settings["kind"] == "binary")

    @property
    def happened(self) -> int:
        """Rows where it happened, or is over 0."""
        return int((self.labels > 0).sum())

    @property
    def rate(self) -> float:
        """Mean of the observed labels; a missing one counts as 0 behind an earlier step."""
        if self.binary and "given" in self.settings:
            return self.happened / len(self.labels)
        return float(np.nanmean(self.labels, dtype=np.float64))


def guess(column: Column, name: str | None, positive: str | None, taken: Sequence[str]) -> Guess:
    """Choose the kind of a target from its values, then from its name.

    Parameters
    ----------
    name, positive
        The target's name and the value that counts as 1, where the user gives them.
    taken
        Names of other targets.

    Raises
    ------
    InputError
        When the column cannot be a target, or the name or the value does not exist.
    """
    if not column.name:
        raise InputError("targets: a column without a name cannot be a target; name it in the log.")
    if column.single:
        only = repr(column.counts[0][0]) if column.missing < 1 else "missing values"
        raise InputError(
            f"targets: column {column.name!r} holds only {only}; there is nothing to learn."
        )
    if column.listed or column.opaque or column.dated or column.values.dtype == pl.Time:
        raise InputError(
            f"targets: column {column.name!r} is {column.values.dtype}; "
            "expected 0 and 1, numbers or text."
        )
    if not column.finite:
        raise InputError(
            f"targets: column {column.name!r} holds infinities; expected finite numbers."
        )
    settings, note = _kind(column, positive)
    title = _title(column, name, settings, taken)
    if column.name != title:
        settings = {"kind": settings["kind"], "column": column.name} | settings
    labels = _labels(column, settings)
    return Guess(name=title, column=column.name, settings=settings, labels=labels, note=note)


def _labels(column: Column, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    rule = "zero_one" if settings["kind"] == "binary" else "finite"
    label = LabelColumn(
        column=column.name, where="targets", rule=rule, positive=settings.get("positive")
    )
    return read_labels(column.values.to_frame(), {"": label})[""]


def _kind(column: Column, positive: str | None) -> tuple[dict[str, Any], str]:
    """Return the settings without the column, and what to say about them."""
    if positive is not None:
        return {"kind": "binary", "positive": _value(column, positive)}, ""
    if column.zero_one:
        return {"kind": "binary"}, ""
    if column.text:
        return _text_kind(column)
    if column.distinct == 2 and column.whole:
        high = max(value for value, _ in column.counts)
        low = min(value for value, _ in column.counts)
        note = f"{number(high)} counts as 1, {number(low)} as 0"
        return {"kind": "binary", "positive": int(high)}, note
    if column.values.dtype == pl.Duration:
        return {"kind": "duration", "unit": "s"}, "a stretch of time, read in seconds"
    if spends_money(column.words) and column.ends[0] >= 0:
        return {"kind": "amount"}, ""
    if is_amount_of_time(column.words) and column.ends[0] >= 0:
        unit = time_unit(column.words)
        above = column.numbers[column.numbers > 0]
        sized = unit or ("ms" if len(above) and np.median(above) > 1000 else "s")
        note = "" if unit else f"unit guessed from its size: {sized}"
        return {"kind": "duration", "unit": sized}, note
    return {"kind": "number"}, ""


def _text_kind(column: Column) -> tuple[dict[str, Any], str]:
    """Choose the value of text that counts as 1."""
    values = [(str(value).strip(), rows) for value, rows in column.counts]
    yes = [value for value, _ in values if value.lower() in _YES]
    if column.distinct == 2:
        other = "" if yes else "the rarer value counts as 1"
        return {"kind": "binary", "positive": yes[0] if yes else values[-1][0]}, other
    if column.distinct > MOST_VALUES:
        raise InputError(
            f"targets: column {column.name!r} is text of {column.distinct:,} values, such as "
            f"{values[0][0]!r}. Name the one that counts as 1 ({column.name}:VALUE), or store "
            "numbers as numbers."
        )
    note = f"its most frequent value counts as 1, the {column.distinct - 1:,} others as 0"
    return {"kind": "binary", "positive": values[0][0]}, note


def _value(column: Column, positive: str) -> Scalar:
    """Return the column's own value for the one that the user wrote."""
    known = {str(value).strip(): value for value in column.values.unique().drop_nulls().to_list()}
    if column.numeric:
        known |= {f"{float(value):g}": value for value in known.values()}
    if column.boolean:
        known = {"true": True, "false": False}
        positive = positive.lower()
    if positive not in known:
        raise InputError(
            f"targets: column {column.name!r} has no value {positive!r}. {nearest(positive, known)}"
        )
    value: Scalar = known[positive]
    if column.numeric:
        return int(value) if float(value) == int(value) else float(value)
    return value if column.boolean else str(value).strip()


def _title(
    column: Column, name: str | None, settings: Mapping[str, Any], taken: Sequence[str]
) -> str:
    """Return the target's name: the given one, else a short form of the column's that is free."""
    if name is not None:
        if not is_legal(name) or name in taken:
            raise InputError(
                f"targets: {name!r} cannot name a target, or does so already; "
                "expected letters, digits and _."
            )
        return name
    value, long = identifier(str(settings.get("positive", ""))).lower(), identifier(column.name)
    brief = short(column.words, duration=settings["kind"] == "duration")
    names = [brief, long, f"{long}_{value}", f"target_{brief or value}", f"target_{long}_{value}"]
    numbered = (f"target_{i}" for i in range(1, len(taken) + 2))
    return next(n for n in (*names, *numbered) if is_legal(n) and n not in taken)


def is_legal(name: str) -> bool:
    """Say whether the run file's schema takes a name of a target or a scene."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None
    return plain and not hasattr(nn.ModuleDict, name)


def identifier(text: str) -> str:
    """Return text with _ for everything that cannot stand in a name."""
    return re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
