"""The data doctor: what a run file's data holds that would mislead a run."""

import tempfile
from pathlib import Path
from typing import Any

from trimtab.config.check_features import check_features
from trimtab.config.check_rows import check_rows
from trimtab.config.check_targets import check_targets
from trimtab.config.counters import counters
from trimtab.config.examined import Examined
from trimtab.config.findings import Finding, most_severe_first
from trimtab.config.schema import RunSettings
from trimtab.data.log import sample

__all__ = ["Finding", "examine"]


def examine(settings: RunSettings, frame: Any = None) -> list[Finding]:
    """Look at the data of a run, as training would read it; most severe first.

    Where ``data.memory`` is set, at a sample of the log that fits in it.

    Parameters
    ----------
    frame
        The log, instead of the one that the run file names.

    Raises
    ------
    DataError
        When training could not read the data either.
    """
    if frame is None and settings.data.memory is not None:
        return _examine_sample(settings, settings.data.memory)
    examined = Examined.read(settings, frame)
    return most_severe_first(
        [
            *check_features(examined),
            *counters(examined),
            *check_targets(examined),
            *check_rows(examined),
        ]
    )


def _examine_sample(settings: RunSettings, memory: int) -> list[Finding]:
    """Look at rows of the log, and of the file of valid rows, that are drawn by their number."""
    data = settings.data
    frame, rows = sample(data.log or "", memory)
    with tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
        if data.valid_file:
            place = Path(folder) / "valid.parquet"
            sample(data.valid_file, memory)[0].write_parquet(place)
            valid = data.valid.model_copy(update={"file": str(place)})
            settings = settings.model_copy(
                update={"data": data.model_copy(update={"valid": valid})}
            )
        found = examine(settings, frame)
    note = Finding(
        severity="note",
        where="data.memory",
        what=f"Looked at {len(frame):,} of {rows:,} rows, drawn at random.",
        advice="Counts of rows are of those. Give more memory to look at more.",
    )
    return [*found, note] if len(frame) < rows else found
