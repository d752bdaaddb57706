"""What the data doctor says, and how it writes numbers and names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["problem", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note")
"""Most severe first: the run will mislead; it may; worth knowing."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found in the data.

    Attributes
    ----------
    where
        Key of the run file that it is about, such as ``targets.like``.
    what
        One sentence with numbers.
    advice
        One sentence on what to do; empty where there is nothing.
    """

    severity: Severity
    where: str
    what: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON."""
        return dict(vars(self))


def most_severe_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings by severity, else in the order found."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def percent(share: float) -> str:
    """Write a share with three digits; only a whole is 100 %."""
    text = f"{100 * share:.3g}"
    return f"{'99.9' if text == '100' and share < 1 else text} %"


def short(value: float) -> str:
    """Write a number with three digits, or all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Write names with commas, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def place(table: str, names: Sequence[str]) -> str:
    """Return the key of one name, or of the table where there are several."""
    return f"{table}.{names[0]}" if len(names) == 1 else table


def verb(names: Sequence[str], one: str, several: str) -> str:
    """Return the form of a verb for so many names."""
    return one if len(names) == 1 else several
