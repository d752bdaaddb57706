"""What is said where rows that a run was trained on come again."""

import warnings
from pathlib import Path

from trimtab.data.columns import Columns
from trimtab.data.prepare import Prepared
from trimtab.data.seen import Seen
from trimtab.errors import SeenWarning


def warn_before_measuring(seen: Seen | None, rows: Columns, run: Path) -> None:
    """Warn where a run is measured on rows that it was trained on."""
    part = seen.share(rows) if seen else 0.0
    if part:
        _warn(
            f"{run}: was trained on about {100 * part:.0f} % of these {len(rows):,} rows; what is "
            "measured on them looks better than it is. Give rows that it never saw."
        )


def warn_before_training(seen: Seen | None, prepared: Prepared, run: Path) -> None:
    """Warn where training goes on from a run on rows that this was trained on."""
    for rows, what, so in (
        (prepared.train, "training", "they count once more."),
        (prepared.valid, "held-out", "what is measured on them looks better than it is."),
    ):
        part = seen.share(rows) if seen else 0.0
        if part:
            _warn(f"{run}: was trained on about {100 * part:.0f} % of the {what} rows; {so}")


def _warn(message: str) -> None:
    warnings.warn(message, SeenWarning, stacklevel=4)
