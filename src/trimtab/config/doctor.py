"""The data doctor: what a run file's data holds that would mislead a run."""

from typing import Any

from trimtab.config.check_features import check_features
from trimtab.config.check_rows import check_rows
from trimtab.config.check_targets import check_targets
from trimtab.config.counters import counters
from trimtab.config.examined import Examined
from trimtab.config.findings import Finding, most_severe_first
from trimtab.config.schema import RunSettings

__all__ = ["Finding", "examine"]


def examine(settings: RunSettings, frame: Any = None) -> list[Finding]:
    """Look at the data of a run, as training would read it; most severe first.

    Parameters
    ----------
    frame
        The log, instead of the one that the run file names.

    Raises
    ------
    DataError
        When training could not read the data either.
    """
    examined = Examined.read(settings, frame)
    return most_severe_first(
        [
            *check_features(examined),
            *counters(examined),
            *check_targets(examined),
            *check_rows(examined),
        ]
    )
