"""One key of a run file, with what is said about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Line:
    """A key, its value, and a few words for people."""

    name: str
    value: Any
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Everything that was guessed of a log.

    Attributes
    ----------
    sampled
        Rows that values were counted in.
    data, targets, features, training
        The keys of these tables of the run file, in order.
    left_out
        Column to the reason why it is no feature.
    scenes
        Column that could name the scenes, and a suggestion: scene to its values.
    """

    log: str
    rows: int
    columns: int
    sampled: int
    data: list[Line]
    targets: list[Line]
    features: list[Line]
    training: list[Line]
    left_out: Mapping[str, str]
    scenes: tuple[str, list[Line]] | None


def share(part: float) -> str:
    """Write a share as a percentage, with as many digits as it needs."""
    percent = 100 * part
    digits = 0 if percent >= 99.95 or percent == 0 else 1 if percent >= 1 else 2
    return f"{percent:.{digits}f} %" if percent == 0 or percent >= 0.01 else "under 0.01 %"


def number(value: float) -> str:
    """Write a number in few characters."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.3g}"
